# SPDX-License-Identifier: PostgreSQL
"""asyncpg: everything binary and prepared, one statement cache per connection."""
import asyncio
import io

import asyncpg


async def told(what, awaitable):
    try:
        print(f"{what}: {await awaitable!r}")
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as e:
        print(f"{what}: {type(e).__name__} {getattr(e, 'sqlstate', '')} {str(e).splitlines()[0]}")


async def connect(**kw):
    return await asyncpg.connect(**kw)


async def table(c):
    await c.execute("DROP TABLE IF EXISTS ta; CREATE TABLE ta(k int PRIMARY KEY, v text, a int[], j jsonb)")


async def statements():
    c = await connect()
    st = await c.prepare("SELECT $1::int + $2::int8 AS n, $3::text")
    print([p.name for p in st.get_parameters()], [(a.name, a.type.name) for a in st.get_attributes()],
          st.get_statusmsg())
    for i in range(5):
        print(await st.fetchrow(i, i, "x"), st.get_statusmsg())
    print(await st.fetchval(1, 2, None, column=1), await st.fetch(1, 1, "z"))
    print(await st.executemany([(1, 1, "a"), (2, 2, "b")]))
    print((await st.explain(1, 1, "x"))[0]["Plan"]["Node Type"])
    for i in range(150):    # more than its cache holds
        if await c.fetchval(f"SELECT $1::int + {i}", 1) != i + 1:
            print("wrong", i)
    await told("syntax", c.prepare("SELEC"))
    await told("zero", c.fetchval("SELECT 1 / $1::int", 0))
    await told("bad type", c.fetchval("SELECT $1::int", "x"))
    await told("multi", c.execute("SELECT 1; SELECT 2; SET work_mem = '3MB'"))
    await told("show", c.fetchval("SHOW work_mem"))
    await told("multi prepared", c.fetch("SELECT 1; SELECT 2"))
    await told("limit", st.fetch(1, 1, "x", timeout=5))
    await told("portal", c.fetchrow("SELECT generate_series(1, 100)"))
    await told("next", c.fetchval("SELECT 'next'"))
    await c.close()
    c = await connect(statement_cache_size=0)
    for i in range(6):
        print(await c.fetchval("SELECT $1::int", i), end=" ")
    await told("in transaction", c.fetch("SELECT $1::text[]", ["a", None]))
    await c.close()


async def changes():
    c, d = await connect(), await connect()
    await table(c)
    await c.execute("INSERT INTO ta VALUES (1, 'a', '{1}', '{}')")
    print(await d.fetch("SELECT * FROM ta"))
    await c.execute("ALTER TABLE ta ADD w int DEFAULT 5")
    await told("changed", d.fetch("SELECT * FROM ta"))
    async with d.transaction():
        await told("read", d.fetch("SELECT * FROM ta WHERE k = $1", 1))
    await c.execute("ALTER TABLE ta DROP w")
    tr = d.transaction()
    await tr.start()
    await told("changed inside", d.fetch("SELECT * FROM ta WHERE k = $1", 1))
    await tr.rollback()
    await told("after", d.fetch("SELECT * FROM ta WHERE k = $1", 1))
    await told("discard", d.execute("DISCARD ALL"))
    await told("forgotten", d.fetch("SELECT * FROM ta WHERE k = $1", 1))
    await told("reset", d.reset())
    await d.reload_schema_state()
    await told("fresh", d.fetch("SELECT * FROM ta WHERE k = $1", 1))
    await told("deallocate", d.execute("DEALLOCATE ALL"))
    await told("forgotten", d.fetch("SELECT * FROM ta WHERE k = $1", 1))
    await c.close()
    await d.close()


async def cursors():
    c = await connect()
    async with c.transaction():
        print(sum([r[0] async for r in c.cursor("SELECT generate_series(1, 1000)", prefetch=37)]))
        cur = await c.cursor("SELECT generate_series($1::int, 100)", 1)
        print(await cur.fetchrow(), await cur.forward(10), len(await cur.fetch(5)), await c.fetchval("SELECT 9"),
              await cur.fetch(3))
        st = await c.prepare("SELECT generate_series(1, $1)")
        print(len([r async for r in st.cursor(77, prefetch=5)]))
        one, two = await c.cursor("SELECT generate_series(1, 4)"), await c.cursor("SELECT generate_series(5, 8)")
        print([(await one.fetchrow(), await two.fetchrow()) for _ in range(5)])
    await told("outside", cur.fetch(1))
    try:
        async for _ in c.cursor("SELECT 1"):
            pass
    except asyncpg.InterfaceError as e:
        print(type(e).__name__)
    try:
        async with c.transaction():
            async for r in c.cursor("SELECT 10 / (5 - g) FROM generate_series(1, 9) g", prefetch=2):
                print(r[0], end=" ")
    except asyncpg.PostgresError as e:
        print(e.sqlstate)
    await told("next", c.fetchval("SELECT 1"))
    await c.close()


async def transactions():
    c = await connect()
    await table(c)
    for isolation in ("read_committed", "repeatable_read", "serializable", None):
        for readonly in (True, False):
            async with c.transaction(isolation=isolation, readonly=readonly,
                                     deferrable=readonly and isolation == "serializable"):
                await told(f"{isolation} {readonly}", c.fetchrow(
                    "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"))
    try:
        async with c.transaction():
            await c.execute("INSERT INTO ta VALUES (1)")
            try:
                async with c.transaction():
                    await c.execute("INSERT INTO ta VALUES ($1)", 1)
            except asyncpg.UniqueViolationError as e:
                print(e.constraint_name, e.table_name)
            async with c.transaction():
                await c.execute("INSERT INTO ta VALUES ($1)", 2)
            print(await c.fetch("SELECT k FROM ta ORDER BY k"), c.is_in_transaction())
            raise KeyError
    except KeyError:
        print(await c.fetch("SELECT k FROM ta"), c.is_in_transaction())
    await told("many", c.executemany("INSERT INTO ta VALUES ($1, $2)", [(i, str(i)) for i in range(3000)]))
    await told("many fails", c.executemany("INSERT INTO ta VALUES ($1, $2)", [(4000, "a"), (1, "b"), (4001, "c")]))
    await told("atomic", c.fetchval("SELECT count(*) FROM ta"))
    async with c.transaction():
        await told("many inside", c.executemany("UPDATE ta SET v = $1 WHERE k = $2", [("z", i) for i in range(200)]))
    await told("rows", c.fetchval("SELECT count(*) FROM ta WHERE v = 'z'"))
    await c.close()


async def copies():
    c = await connect()
    await table(c)
    rows = [(i, f"v{i}" * (i % 50), [i, i], None) for i in range(4000)]
    await told("records", c.copy_records_to_table("ta", records=rows, columns=["k", "v", "a", "j"]))
    await told("conflict", c.copy_records_to_table("ta", records=rows[:3]))
    out = io.BytesIO()
    await told("query", c.copy_from_query("SELECT k, v FROM ta WHERE k < $1 ORDER BY k", 20, output=out, format="csv"))
    print(out.getvalue()[:40])
    out = io.BytesIO()
    await told("binary", c.copy_from_table("ta", output=out, format="binary"))
    await c.execute("TRUNCATE ta")
    out.seek(0)
    await told("back", c.copy_to_table("ta", source=out, format="binary"))
    await told("broken", c.copy_to_table("ta", source=io.BytesIO(b"x\n"), format="csv"))

    async def failing():
        yield b"9001,x\n"
        raise KeyError("mine")
    try:
        await c.copy_to_table("ta", source=failing(), format="csv", columns=["k", "v"])
    except KeyError as e:
        print("KeyError", e)

    async def full(_data):
        raise KeyError("full")
    try:
        await c.copy_from_query("SELECT generate_series(1, 100000)", output=full)
    except KeyError as e:
        print("KeyError", e)
    await told("count", c.fetchval("SELECT count(*) FROM ta"))
    async with c.transaction():
        await told("inside", c.copy_records_to_table("ta", records=[(9000, "x", [], "{}")]))
        await told("count", c.fetchval("SELECT count(*) FROM ta"))
    await c.close()


async def listening():
    c, d = await connect(), await connect()
    got, notices = [], []
    await c.add_listener("chan", lambda _c, _pid, channel, payload: got.append((channel, payload)))
    c.add_log_listener(lambda _c, m: notices.append((m.severity, m.message)))
    for i in range(5):
        await d.execute(f"NOTIFY chan, '{i}'")
    while len(got) < 5:
        await asyncio.sleep(0.05)
    print(got)
    await c.execute("DO $$ BEGIN RAISE NOTICE 'n'; RAISE WARNING 'w'; END $$")
    await asyncio.sleep(0.1)
    print(notices)
    await told("reset", c.reset())
    await c.close()
    await d.close()


async def timeouts():
    c = await connect()
    for _ in range(3):
        try:
            await c.fetch("SELECT pg_sleep(20)", timeout=0.3)
        except asyncio.TimeoutError:
            print("timeout")
        await told("next", c.fetchval("SELECT 1"))
    task = asyncio.ensure_future(c.fetch("SELECT pg_sleep(20)"))
    await asyncio.sleep(0.3)
    await told("busy", c.fetch("SELECT 1"))
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled")
    await told("next", c.fetchval("SELECT 2"))
    async with c.transaction():
        try:
            async with c.transaction():
                await c.execute("SELECT pg_sleep(20)", timeout=0.3)
        except asyncio.TimeoutError:
            print("timeout")
        await told("next", c.fetchval("SELECT 3"))
    await c.close()


async def pools():
    async def setup(c):
        await c.execute("SET work_mem = '7MB'")
    async with asyncpg.create_pool(min_size=2, max_size=8, setup=setup) as pool:
        async def job(i):
            async with pool.acquire() as c, c.transaction():
                return (await c.fetchval("SHOW work_mem"), await c.fetchval("SELECT $1::int", i))
        got = await asyncio.gather(*(job(i) for i in range(200)))
        print(set(g[0] for g in got), [g[1] for g in got] == list(range(200)))
        async with pool.acquire() as c:
            await c.execute("SET work_mem = '9MB'; CREATE TEMP TABLE left_over()")
            await c.execute("SELECT pg_advisory_lock(77)")
        print(await pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77"))


async def types():
    c = await connect(server_settings={"search_path": "public", "application_name": "asyncpg test", "jit": "off"})
    await c.execute("DROP TYPE IF EXISTS mooda, paira CASCADE; DROP DOMAIN IF EXISTS shorta;"
                    "CREATE TYPE mooda AS ENUM ('sad', 'glad'); CREATE DOMAIN shorta AS text CHECK (length(VALUE) < 5);"
                    "CREATE TYPE paira AS (a int, m mooda, d shorta)")
    print(await c.fetchrow("SELECT $1::paira, $2::mooda[], $3::shorta", (1, "sad", "x"), ["glad"], "y"))
    print(await c.fetchrow("SELECT '[1,5)'::int4range, '{[1,2)}'::int4multirange, '1 day'::interval, "
                           "'::1'::inet, '{1,2}'::int[], B'101', '1.5'::numeric, '(1,2)'::point"))
    import json
    await c.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    print(await c.fetchval("SELECT $1::jsonb", {"a": [1, 2]}))
    print(await c.fetchrow("SELECT current_setting('search_path'), current_setting('application_name'), current_setting('jit')"))
    print(c.get_settings().TimeZone, c.get_settings().server_version, c.get_server_version().major)
    await c.execute("SET timezone = 'Asia/Tokyo'")
    print(c.get_settings().TimeZone, await c.fetchval("SELECT '2020-01-01 UTC'::timestamptz"))
    await c.close()


async def main():
    for func in (statements, changes, cursors, transactions, copies, listening, timeouts, pools, types):
        print(f"== {func.__name__}")
        try:
            await func()
        except Exception as e:    # noqa: BLE001: it is told and compared
            print(f"ended by {type(e).__name__} {e}".strip())


asyncio.run(main())
