// SPDX-License-Identifier: PostgreSQL
// tokio-postgres: everything prepared, pipelined on one connection, and closed behind the caller's back.
use bytes::Bytes;
use futures_util::{future::join_all, future::poll_fn, pin_mut, SinkExt, TryStreamExt};
use std::fmt::Debug;
use std::time::Duration;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Error, IsolationLevel, NoTls, SimpleQueryMessage};

type Notes = tokio::sync::mpsc::UnboundedReceiver<AsyncMessage>;

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn config() -> Config {
    let mut c = Config::new();
    c.host(&env("PGHOST")).port(env("PGPORT").parse().unwrap()).user(&env("PGUSER")).dbname(&env("PGDATABASE"));
    c
}

async fn connect_as(config: Config) -> (Client, Notes) {
    let (client, mut connection) = config.connect(NoTls).await.expect("connect");
    let (send, notes) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            let _ = send.send(message);
        }
    });
    (client, notes)
}

async fn connect() -> Client {
    connect_as(config()).await.0
}

fn why(e: &Error) -> String {
    match e.as_db_error() {
        Some(d) => format!("{} {} {}", d.severity(), d.code().code(), d.message()),
        None => format!("{}", e),
    }
}

fn told<T: Debug>(what: &str, result: Result<T, Error>) {
    match result {
        Ok(v) => println!("{}: {:?}", what, v),
        Err(e) => println!("{}: {}", what, why(&e)),
    }
}

async fn ints(c: &Client, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<i32>, Error> {
    Ok(c.query(sql, params).await?.iter().map(|r| r.get(0)).collect())
}

async fn text(c: &Client, sql: &str) -> Result<Vec<String>, Error> {
    let rows = c.simple_query(sql).await?;
    Ok(rows
        .iter()
        .map(|m| match m {
            SimpleQueryMessage::Row(r) => (0..r.len()).map(|i| r.get(i).unwrap_or("-")).collect::<Vec<_>>().join("|"),
            SimpleQueryMessage::CommandComplete(n) => format!("#{}", n),
            _ => "?".to_string(),
        })
        .collect())
}

async fn table(c: &Client) {
    c.batch_execute("DROP TABLE IF EXISTS tr; CREATE TABLE tr(k int PRIMARY KEY, v text)").await.unwrap();
}

async fn statements() {
    let c = connect().await;
    let st = c.prepare("SELECT $1::int + 1, $2::text").await.unwrap();
    println!("{:?} {:?}", st.params(), st.columns().iter().map(|x| (x.name(), x.type_())).collect::<Vec<_>>());
    for i in 0..5 {
        let r = c.query_one(&st, &[&i, &"x"]).await.unwrap();
        println!("{} {}", r.get::<_, i32>(0), r.get::<_, &str>(1));
    }
    told("syntax", c.prepare("SELEC").await.map(|_| ()));
    told("zero", ints(&c, "SELECT 1 / $1::int", &[&0]).await);
    told("next", ints(&c, "SELECT 1 + $1::int", &[&0]).await);
    told("typed", c.prepare_typed("SELECT $1", &[Type::INT8]).await.map(|s| s.params().to_vec()));
    told("execute", c.execute("SELECT 1 WHERE $1::bool", &[&true]).await);
    told("simple", text(&c, "SELECT 1, NULL; SET work_mem = '3MB'; SHOW work_mem; SELECT 2 WHERE false").await);
    told("simple error", text(&c, "SELECT 1; SELECT 1/0; SELECT 2").await);
    told("empty", text(&c, "").await);
    told("statements", ints(&c, "SELECT count(*)::int FROM pg_prepared_statements WHERE statement LIKE '%$1::int + 1, $2%'", &[]).await);
    drop(st);
    told("closed", ints(&c, "SELECT count(*)::int FROM pg_prepared_statements WHERE statement LIKE '%$1::int + 1, $2%'", &[]).await);
}

async fn types() {
    let c = connect().await;
    c.batch_execute("DROP TYPE IF EXISTS tr_mood; CREATE TYPE tr_mood AS ENUM ('sad', 'ok');
        DROP DOMAIN IF EXISTS tr_small; CREATE DOMAIN tr_small AS int CHECK (VALUE < 10);
        DROP TYPE IF EXISTS tr_pair; CREATE TYPE tr_pair AS (a int, b text)").await.unwrap();
    for sql in ["SELECT 'sad'::tr_mood", "SELECT 3::tr_small", "SELECT (1, 'x')::tr_pair", "SELECT '{ok,sad}'::tr_mood[]"] {
        let st = c.prepare(sql).await.unwrap();
        let kind = format!("{:?}", st.columns()[0].type_().kind());
        println!("{} {}", st.columns()[0].type_(), kind.split("oid: ").next().unwrap());
    }
    let d = connect().await;
    let both = join_all((0..6).map(|i| {
        let d = &d;
        async move { d.prepare(if i % 2 == 0 { "SELECT $1::tr_mood" } else { "SELECT $1::tr_pair" }).await }
    })).await;
    for st in both {
        told("at once", st.map(|s| s.params().to_vec().iter().map(|t| t.name().to_string()).collect::<Vec<_>>()));
    }
    told("domain", c.query("SELECT $1::int::tr_small", &[&12]).await.map(|r| r.len()));
}

async fn pipelines() {
    let c = connect().await;
    table(&c).await;
    let answers = join_all((0..60).map(|i| {
        let c = &c;
        async move {
            match i % 4 {
                0 => ints(c, "SELECT $1::int * 2", &[&i]).await,
                1 => c.execute("INSERT INTO tr VALUES ($1, 'p')", &[&i]).await.map(|n| vec![n as i32]),
                2 => ints(c, "SELECT 10 / ($1::int % 3)", &[&i]).await,
                _ => ints(c, "SELECT count(*)::int FROM tr WHERE k < $1", &[&i]).await,
            }
        }
    })).await;
    for (i, a) in answers.into_iter().enumerate() {
        told(&i.to_string(), a);
    }
    let mixed = join_all((0..30).map(|i| {
        let c = &c;
        async move {
            match i % 3 {
                0 => text(c, &format!("SELECT {}; SELECT 'b'", i)).await,
                1 => text(c, &format!("SET work_mem = '{}MB'", i + 1)).await,
                _ => text(c, "SHOW work_mem").await,
            }
        }
    })).await;
    for (i, a) in mixed.into_iter().enumerate() {
        told(&format!("mixed {}", i), a);
    }
}

async fn transactions() {
    let mut c = connect().await;
    table(&c).await;
    for (level, read_only) in [(IsolationLevel::Serializable, true), (IsolationLevel::RepeatableRead, false), (IsolationLevel::ReadCommitted, true)] {
        let t = c.build_transaction().isolation_level(level).read_only(read_only).deferrable(read_only).start().await.unwrap();
        let r = t.query_one("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')", &[]).await.unwrap();
        println!("{} {}", r.get::<_, &str>(0), r.get::<_, &str>(1));
        told("write", t.execute("INSERT INTO tr VALUES (1)", &[]).await);
        told("rollback", t.rollback().await);
    }
    {
        let mut t = c.transaction().await.unwrap();
        told("insert", t.execute("INSERT INTO tr VALUES (1, 'a')", &[]).await);
        {
            let s = t.transaction().await.unwrap();
            told("insert", s.execute("INSERT INTO tr VALUES (2, 'b')", &[]).await);
            told("twice", s.execute("INSERT INTO tr VALUES (2, 'b')", &[]).await);
        } // dropped: rolls back behind us
        let s = t.savepoint("named").await.unwrap();
        told("insert", s.execute("INSERT INTO tr VALUES (3, 'c')", &[]).await);
        told("release", s.commit().await);
        told("commit", t.commit().await);
    }
    told("rows", ints(&c, "SELECT k FROM tr ORDER BY k", &[]).await);
    {
        let t = c.transaction().await.unwrap();
        told("insert", t.execute("INSERT INTO tr VALUES (9)", &[]).await);
    }
    told("dropped", ints(&c, "SELECT k FROM tr ORDER BY k", &[]).await);
    let t = c.transaction().await.unwrap();
    told("broken", t.execute("SELECT 1/0", &[]).await);
    told("aborted", t.execute("SELECT 1", &[]).await);
    told("commit", t.commit().await);
    told("next", ints(&c, "SELECT 1", &[]).await);
}

async fn portals() {
    let mut c = connect().await;
    let t = c.transaction().await.unwrap();
    let st = t.prepare("SELECT g FROM generate_series(1, $1::int) g").await.unwrap();
    let one = t.bind(&st, &[&10]).await.unwrap();
    let two = t.bind(&st, &[&3]).await.unwrap();
    for (portal, rows) in [(&one, 4), (&two, 2), (&one, 4), (&two, 2), (&one, 4), (&one, 4)] {
        let got = t.query_portal(portal, rows).await.unwrap();
        println!("{:?}", got.iter().map(|r| r.get::<_, i32>(0)).collect::<Vec<_>>());
    }
    let raw = t.query_portal_raw(&t.bind(&st, &[&2000]).await.unwrap(), 1500).await.unwrap();
    pin_mut!(raw);
    let mut sum = 0i64;
    while let Some(r) = raw.try_next().await.unwrap() {
        sum += r.get::<_, i32>(0) as i64;
    }
    println!("{}", sum);
    drop(one);
    let late = t.bind("SELECT 6 / (3 - g) FROM generate_series(1, 5) g", &[]).await.unwrap();
    told("rows", t.query_portal(&late, 2).await.map(|r| r.len()));
    told("error", t.query_portal(&late, 2).await.map(|r| r.len()));
    told("aborted", t.query_portal(&two, 2).await.map(|r| r.len()));
    told("rollback", t.rollback().await);
    // A stream left half read, while others go on.
    let stream = c.query_raw("SELECT g FROM generate_series(1, $1::int) g", [100_000i32]).await.unwrap();
    pin_mut!(stream);
    println!("{:?}", stream.try_next().await.unwrap().map(|r| r.get::<_, i32>(0)));
    let rest = stream.try_fold(0i64, |n, r| async move { Ok(n + r.get::<_, i32>(0) as i64) }).await;
    told("rest", rest);
}

async fn copies() {
    let mut c = connect().await;
    table(&c).await;
    let sink = c.copy_in("COPY tr FROM STDIN").await.unwrap();
    pin_mut!(sink);
    for i in 0..500 {
        sink.send(Bytes::from(format!("{}\trow {}\n", i, "x".repeat(i)))).await.unwrap();
    }
    told("in", sink.finish().await);
    let out = c.copy_out("COPY tr TO STDOUT").await.unwrap();
    let bytes: usize = out.map_ok(|b| b.len()).try_fold(0, |n, b| async move { Ok(n + b) }).await.unwrap();
    println!("{}", bytes);
    {
        let sink = c.copy_in("COPY tr FROM STDIN").await.unwrap();
        pin_mut!(sink);
        sink.send(Bytes::from_static(b"1000\tgone\n")).await.unwrap();
    } // dropped: CopyFail
    told("given up", ints(&c, "SELECT count(*)::int FROM tr", &[]).await);
    let sink = c.copy_in::<_, Bytes>("COPY tr FROM STDIN").await.unwrap();
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"7\ttwice\n")).await.unwrap();
    told("twice", sink.finish().await);
    told("no table", c.copy_out("COPY nothing TO STDOUT").await.map(|_| ()));
    let t = c.transaction().await.unwrap();
    let sink = t.copy_in("COPY tr FROM STDIN").await.unwrap();
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"2000\tin transaction\n")).await.unwrap();
    told("in transaction", sink.finish().await);
    told("rollback", t.rollback().await);
    told("count", ints(&c, "SELECT count(*)::int FROM tr", &[]).await);
}

async fn notes() {
    let (c, mut notes) = connect_as(config()).await;
    let d = connect().await;
    c.batch_execute("LISTEN tr_one").await.unwrap();
    for i in 0..5 {
        d.batch_execute(&format!("NOTIFY tr_one, '{}'", i)).await.unwrap();
    }
    c.batch_execute("NOTIFY tr_one, 'own'; DO $$ BEGIN RAISE NOTICE 'hello %', 1; END $$").await.unwrap();
    for _ in 0..7 {
        match tokio::time::timeout(Duration::from_secs(20), notes.recv()).await {
            Ok(Some(AsyncMessage::Notification(n))) => println!("{} {}", n.channel(), n.payload()),
            Ok(Some(AsyncMessage::Notice(n))) => println!("{} {}", n.severity(), n.message()),
            other => println!("{:?}", other.is_ok()),
        }
    }
    c.batch_execute("UNLISTEN *").await.unwrap();
}

async fn cancels() {
    let c = connect().await;
    let token = c.cancel_token();
    let sleep = c.query("SELECT pg_sleep(60)", &[]);
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        token.cancel_query(NoTls).await
    };
    let (slept, canceled) = tokio::join!(sleep, cancel);
    told("slept", slept.map(|r| r.len()));
    told("canceled", canceled);
    told("next", ints(&c, "SELECT 1", &[]).await);
}

async fn settings() {
    let mut with = config();
    with.application_name("tr app").options("-c statement_timeout=12345 -c search_path=pg_catalog");
    let (c, _notes) = connect_as(with).await;
    for name in ["application_name", "statement_timeout", "search_path", "client_encoding"] {
        told(name, text(&c, &format!("SHOW {}", name)).await);
    }
    c.batch_execute("SET search_path = public; SET statement_timeout = 0").await.unwrap();
    c.batch_execute("RESET ALL").await.unwrap();
    told("reset", text(&c, "SHOW search_path; SHOW statement_timeout").await);
    c.batch_execute("CREATE TEMP TABLE tr_temp(k int); INSERT INTO tr_temp VALUES (1)").await.unwrap();
    told("temp", text(&c, "SELECT k FROM tr_temp").await);
    c.batch_execute("DISCARD ALL").await.unwrap();
    told("gone", text(&c, "SELECT k FROM tr_temp").await);
    let mut wrong = config();
    wrong.dbname("no such");
    told("no database", wrong.connect(NoTls).await.map(|_| ()));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("== statements");
    statements().await;
    println!("== types");
    types().await;
    println!("== pipelines");
    pipelines().await;
    println!("== transactions");
    transactions().await;
    println!("== portals");
    portals().await;
    println!("== copies");
    copies().await;
    println!("== notes");
    notes().await;
    println!("== cancels");
    cancels().await;
    println!("== settings");
    settings().await;
}
