# SPDX-License-Identifier: PostgreSQL
"""Debian's PgBouncer as a process of a test, with an ini that pgweir may get as well."""
import os
import pwd
import subprocess

import psycopg

import servers
from lib import patient, until
from ports import free_port

PROGRAM = os.environ.get("PGBOUNCER", "/usr/sbin/pgbouncer")


def write(path, text, port):
    """The ini for that port: what every test needs, then the text, which begins with options. Its users
    beside it: all of the tier's, and one that never connects."""
    users = path + ".users"
    with open(users, "w", encoding="utf-8") as f:
        f.write("".join(f'"{name}" "{word}"\n' for name, word in servers.USERS.items()) +
                '"listed" "x"\n')
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
                f"auth_type = trust\nauth_file = {users}\n{text}")
    for one in (users, path):
        os.chmod(one, 0o644)


class Bouncer:
    """Use as a context manager."""

    def __init__(self, folder, text):
        self.port = free_port()
        path = os.path.join(folder, f"bouncer-{self.port}.ini")
        write(path, text, self.port)
        user = pwd.getpwnam("postgres")
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} \
            if os.geteuid() == 0 else {}
        self.proc = subprocess.Popen([PROGRAM, path], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     **as_user)

    def console(self):
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres",
                               dbname="pgbouncer", autocommit=True,
                               cursor_factory=psycopg.ClientCursor)

    def __enter__(self):
        def answers():
            try:
                self.console().close()
                return True
            except psycopg.OperationalError:
                return False
        until("PgBouncer", 20, answers)
        return self

    def __exit__(self, *_):
        self.proc.kill()    # a console session may be open: 1.18 would wait for it
        self.proc.wait(patient(20))
