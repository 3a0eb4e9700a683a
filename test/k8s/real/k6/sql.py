# SPDX-License-Identifier: PostgreSQL
"""SQL for bridge.mjs: one JSON object per line in, one out. Statements go out as lib/pq's binary_parameters=yes sends
them: an unnamed Parse, Bind with text parameters, Execute and Sync in one go (PQexecParams)."""
import json
import sys

import psycopg

OPEN = {}


def run(wish):
    number, what = wish["db"], wish["what"]
    if what == "close":
        OPEN.pop(number).close()
        return None
    if number not in OPEN:
        OPEN[number] = psycopg.connect(wish["url"], autocommit=True, connect_timeout=10)
    done = OPEN[number].pgconn.exec_params(wish["sql"].encode(), [a.encode() for a in wish["args"]])
    if done.error_message:
        raise psycopg.Error(done.error_message.decode().strip())
    names = [done.fname(i).decode() for i in range(done.nfields)]
    return [{name: (done.get_value(r, i) or b"").decode() for i, name in enumerate(names)} for r in range(done.ntuples)]


for line in sys.stdin:
    try:
        answer = {"value": run(json.loads(line))}
    except (psycopg.Error, KeyError) as e:
        answer = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answer), flush=True)
