# SPDX-License-Identifier: PostgreSQL
"""What kube-proxy is to a cluster: TCP from a Service's address to a ready pod.

A process of its own, so that a busy test doesn't slow it down. It reads one
JSON object per line from stdin, the whole table each time: {"IP:PORT":
["POD_IP:PORT", ...]}. Connections go to the targets in turn; those that are
open stay with their pod when the table changes, as with kube-proxy.
"""
import asyncio
import json
import sys


class Relay:
    def __init__(self):
        self.targets, self.servers, self.turn = {}, {}, 0

    async def update(self, table):
        self.targets = table
        for address in table:
            if address not in self.servers:
                host, port = address.rsplit(":", 1)
                self.servers[address] = await asyncio.start_server(
                    lambda r, w, a=address: self.serve(a, r, w), host, int(port), backlog=1024)

    def next_target(self, address):
        targets = self.targets.get(address) or []
        self.turn += 1
        return targets[self.turn % len(targets)] if targets else None

    async def serve(self, address, reader, writer):
        target = self.next_target(address)
        try:
            if target is None:
                return
            host, port = target.rsplit(":", 1)
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            try:
                await asyncio.gather(self.copy(reader, far_writer), self.copy(far_reader, writer))
            finally:
                far_writer.close()
        except OSError:
            pass
        finally:
            writer.close()

    @staticmethod
    async def copy(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            # The other direction may still have bytes to bring.
            if writer.can_write_eof() and not writer.is_closing():
                try:
                    writer.write_eof()
                except OSError:
                    pass


async def main():
    relay = Relay()
    stdin = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    while line := await stdin.readline():
        await relay.update(json.loads(line))
        print("ok", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
