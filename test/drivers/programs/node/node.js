// SPDX-License-Identifier: PostgreSQL
// Node: pg with its cursors, streams and COPY, postgres.js, knex, Sequelize, TypeORM, drizzle.
'use strict';
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');
const copyStreams = require('pg-copy-streams');
const { pipeline } = require('node:stream/promises');
const { Readable, Writable } = require('node:stream');

const env = process.env;

async function told(what, work) {
  try {
    console.log(`${what}:`, JSON.stringify(await work()));
  } catch (e) {
    const cause = e.original || e.cause || e;
    console.log(`${what}: ${e.constructor.name} ${cause.code} ${String(cause.message).split('\n')[0]}`);
  }
}

async function open(more = {}) {
  const c = new Client(more);
  c.on('error', () => {});
  await c.connect();
  return c;
}

const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

async function cursors() {
  const c = await open();
  for (const inside of [false, true]) {
    if (inside) await c.query('BEGIN');
    const cur = c.query(new Cursor('SELECT generate_series(1, $1::int) AS n', [100]));
    await told('read', async () => [(await cur.read(10)).length, (await cur.read(3)).map((r) => r.n)]);
    await told('close', () => cur.close());
    await told('next', async () => (await c.query('SELECT 1 AS a')).rows);
    const all = c.query(new Cursor('SELECT generate_series(1, 25) AS n'));
    await told('all', async () => { let n = 0; for (;;) { const r = await all.read(7); if (!r.length) return n; n += r.length; } });
    const bad = c.query(new Cursor('SELECT 10 / (5 - g) AS n FROM generate_series(1, 9) g'));
    await told('bad', async () => { const got = []; for (;;) { const r = await bad.read(2); if (!r.length) return got; got.push(...r.map((x) => x.n)); } });
    if (inside) await c.query('ROLLBACK');
    const s = c.query(new QueryStream('SELECT generate_series(1, 5000) AS n', [], { batchSize: 100 }));
    await told('stream', async () => { let n = 0; for await (const r of s) n += r.n; return n; });
    const left = c.query(new QueryStream('SELECT generate_series(1, 5000) AS n', [], { batchSize: 10 }));
    await told('left', async () => { for await (const r of left) if (r.n === 35) return r; });
    await told('next', async () => (await c.query('SELECT 2 AS a')).rows);
  }
  await told('rows', async () => (await c.query({ text: 'SELECT generate_series(1, 50) AS n', rows: 10 })).rows.length);
  await c.end();
}

async function copies() {
  const c = await open();
  await c.query('DROP TABLE IF EXISTS tn; CREATE TABLE tn(k int, v text)');
  const into = (sql, chunks) => pipeline(Readable.from(chunks), c.query(copyStreams.from(sql)));
  const out = async (sql) => { const got = []; await pipeline(c.query(copyStreams.to(sql)), new Writable({ write(b, _e, done) { got.push(b); done(); } })); return Buffer.concat(got); };
  await told('in', async () => { await into('COPY tn FROM STDIN', [...Array(1000)].map((_, i) => `${i}\tv${i}\n`)); return (await c.query('SELECT count(*) FROM tn')).rows; });
  let raw;
  await told('binary', async () => { raw = await out('COPY tn TO STDOUT (FORMAT BINARY)'); return raw.length; });
  await told('back', async () => { await into('COPY tn FROM STDIN (FORMAT BINARY)', [raw.subarray(0, 777), raw.subarray(777)]); return (await c.query('SELECT count(*) FROM tn')).rows; });
  await told('broken', () => into('COPY tn FROM STDIN', ['x\n']));
  await told('next', async () => (await c.query('SELECT 1 AS a')).rows);
  await told('no table', () => into('COPY nothing FROM STDIN', ['x\n']));
  await told('next', async () => (await c.query('SELECT 1 AS a')).rows);
  await c.end();
}

async function sessions() {
  const c = await open({ statement_timeout: 700, application_name: 'n', options: '-c work_mem=3MB' });
  await told('timeout', () => c.query('SELECT pg_sleep(10)'));
  await told('settings', async () => (await c.query("SELECT current_setting('work_mem'), current_setting('application_name')")).rows);
  await told('named', async () => { const q = { name: 'n1', text: 'SELECT $1::int AS a' }; return [(await c.query({ ...q, values: [1] })).rows, (await c.query({ ...q, values: [2] })).rows]; });
  await told('other text', () => c.query({ name: 'n1', text: 'SELECT 5', values: [] }));
  await told('named fails', () => c.query({ name: 'n2', text: 'SELECT nothing' }));
  await told('named fails again', () => c.query({ name: 'n2', text: 'SELECT nothing' }));
  await told('queued', () => Promise.all([c.query('SET work_mem = \'5MB\''), c.query('SHOW work_mem'), c.query('BEGIN'), c.query('SELECT $1::int', [3]), c.query('ROLLBACK')]).then((r) => r.map((x) => [x.command, x.rows])));
  const heard = [];
  c.on('notification', (n) => heard.push([n.channel, n.payload]));
  await c.query('LISTEN node');
  await c.query("NOTIFY node, 'own'");
  const o = await open();
  await o.query("NOTIFY node, 'x'");
  while (heard.length < 2) await sleep(20);
  console.log(JSON.stringify(heard));
  const notices = [];
  c.on('notice', (n) => notices.push(n.message));
  await c.query("DO $$ BEGIN RAISE NOTICE 'n'; END $$");
  console.log(notices);
  await o.end();
  await c.end();
}

async function postgresJs() {
  const postgres = require('postgres');
  const options = { host: '127.0.0.1', port: +env.PGPORT, database: env.PGDATABASE, username: env.PGUSER, max: 3, onnotice: () => {}, idle_timeout: 20 };
  for (const more of [{}, { prepare: false }, { fetch_types: false, max_pipeline: 1 }]) {
    const sql = postgres({ ...options, ...more });
    await sql`DROP TABLE IF EXISTS tn2`;
    await sql`CREATE TABLE tn2(k int PRIMARY KEY, v jsonb, a int[])`;
    await told('insert', () => sql`INSERT INTO tn2 ${sql([{ k: 1, v: sql.json({ x: 1 }), a: [1] }, { k: 2, v: null, a: [] }])} RETURNING *`);
    await told('many', async () => (await Promise.all([...Array(300)].map((_, i) => sql`SELECT ${i}::int AS n`))).reduce((t, r) => t + r[0].n, 0));
    await told('pipelined', () => sql.begin((t) => [t`INSERT INTO tn2 VALUES (3)`, t`SELECT count(*) FROM tn2`, t`SELECT 1 AS one`]));
    await told('rolled back', () => sql.begin(async (t) => { await t`INSERT INTO tn2 VALUES (4)`; await t`INSERT INTO tn2 VALUES (4)`; }));
    await told('savepoint', () => sql.begin(async (t) => { await t`INSERT INTO tn2 VALUES (5)`; await t.savepoint(async (s) => { await s`INSERT INTO tn2 VALUES (5)`; }).catch((e) => console.log(e.code)); return t`SELECT count(*) FROM tn2`; }));
    await told('cursor', async () => { const got = []; for await (const rows of sql`SELECT generate_series(1, 25) AS n`.cursor(10)) got.push(rows.length); return got; });
    await told('cursor left', async () => { for await (const [r] of sql`SELECT generate_series(1, 25) AS n`.cursor(1)) if (r.n === 4) break; return sql`SELECT 1 AS a`; });
    await told('each', async () => { let n = 0; await sql`SELECT generate_series(1, 100) AS n`.forEach((r) => { n += r.n; }); return n; });
    await told('describe', async () => (await sql`SELECT ${1}::int AS a, 'x' AS b`.describe()).columns.map((c) => [c.name, c.type]));
    await told('simple', () => sql`SELECT 1 AS a; SELECT 2 AS b`.simple());
    await told('zero', () => sql`SELECT 1 / ${0}::int`);
    await told('syntax', () => sql`SELEC`);
    await told('cancel', async () => { const q = sql`SELECT pg_sleep(20)`.execute(); setTimeout(() => q.cancel(), 500); return q; });
    await told('copy', async () => { await pipeline(Readable.from(['90\t{}\t{}\n']), await sql`COPY tn2 FROM STDIN`.writable()); return sql`SELECT count(*) FROM tn2`; });
    await told('copy out', async () => { let n = 0; for await (const b of await sql`COPY tn2 TO STDOUT`.readable()) n += b.length; return n; });
    await told('listen', async () => { let done; const heard = new Promise((r) => { done = r; }); const l = await sql.listen('pgjs', done); await sql.notify('pgjs', 'hi'); const got = await heard; await l.unlisten(); return got; });
    await told('reserved', async () => { const r = await sql.reserve(); await r`SET work_mem = '6MB'`; const got = await r`SHOW work_mem`; r.release(); return got; });
    await sql`ALTER TABLE tn2 ADD w int`;
    await told('altered', () => sql`SELECT * FROM tn2 WHERE k = ${1}`);
    await sql`ALTER TABLE tn2 DROP w`;
    await told('altered', () => sql`SELECT * FROM tn2 WHERE k = ${1}`);
    await sql.end();
  }
}

async function knexes() {
  const knex = require('knex')({ client: 'pg', connection: { host: env.PGHOST, port: +env.PGPORT, user: env.PGUSER, database: env.PGDATABASE }, pool: { min: 0, max: 5 }, searchPath: ['public'] });
  await knex.schema.dropTableIfExists('tk');
  await knex.schema.createTable('tk', (t) => { t.increments(); t.string('v').unique(); t.jsonb('j'); });
  await told('insert', () => knex('tk').insert([{ v: 'a' }, { v: 'b' }]).returning('id'));
  await told('unique', () => knex('tk').insert({ v: 'a' }));
  await told('upsert', () => knex('tk').insert({ v: 'a', j: { q: 1 } }).onConflict('v').merge().returning('*'));
  await told('transaction', () => knex.transaction(async (t) => { await t('tk').insert({ v: 'c' }); await t.transaction(async (n) => { await n('tk').insert({ v: 'c' }); }).catch((e) => console.log(e.code)); return t('tk').count(); }));
  await told('batch', async () => (await knex.batchInsert('tk', [...Array(300)].map((_, i) => ({ v: `x${i}` })), 50)).length);
  await told('stream', async () => { let n = 0; for await (const r of knex('tk').select().stream()) n += r.id > 0; return n; });
  await told('columns', async () => Object.keys(await knex('tk').columnInfo()));
  await told('parallel', async () => (await Promise.all([...Array(60)].map((_, i) => knex.transaction((t) => t.raw('SELECT ?::int AS n', [i]), { isolationLevel: 'serializable' })))).reduce((s, r) => s + r.rows[0].n, 0));
  await knex.schema.dropTable('tk');
  await knex.destroy();
}

async function sequelizes() {
  const { Sequelize, DataTypes } = require('sequelize');
  const s = new Sequelize(env.PGDATABASE, env.PGUSER, null, { host: '127.0.0.1', port: +env.PGPORT, dialect: 'postgres', logging: false, pool: { max: 5 } });
  const T = s.define('ts', { v: { type: DataTypes.STRING, unique: true }, j: DataTypes.JSONB, e: DataTypes.ENUM('a', 'b'), at: DataTypes.DATE(6) }, { timestamps: false });
  await s.sync({ force: true });
  await told('bulk', async () => (await T.bulkCreate([{ v: 'x', e: 'a' }, { v: 'y', e: 'b' }])).map((r) => r.id));
  await told('find or create', async () => (await Promise.all([...Array(6)].map(() => T.findOrCreate({ where: { v: 'z' } })))).filter((r) => r[1]).length);
  await told('unique', () => T.create({ v: 'x' }));
  await told('upsert', async () => (await T.upsert({ v: 'x', j: { k: 1 } }))[0].v);
  await told('transaction', () => s.transaction({ isolationLevel: 'SERIALIZABLE' }, async (t) => { await T.create({ v: 'q' }, { transaction: t }); await s.transaction({ transaction: t }, async (n) => { await T.create({ v: 'r' }, { transaction: n }); }); return T.count({ transaction: t }); }));
  await told('lock', () => s.transaction(async (t) => (await T.findOne({ where: { v: 'x' }, lock: t.LOCK.UPDATE, skipLocked: true, transaction: t })).v));
  await told('bind', async () => (await s.query('SELECT $1::int AS a', { bind: [4] }))[0]);
  await s.drop();
  await s.close();
}

async function typeorms() {
  const { DataSource, EntitySchema } = require('typeorm');
  const E = new EntitySchema({ name: 'to_row', columns: { id: { type: Number, primary: true, generated: true }, v: { type: String, unique: true }, j: { type: 'jsonb', nullable: true } } });
  const ds = new DataSource({ type: 'postgres', host: '127.0.0.1', port: +env.PGPORT, username: env.PGUSER, database: env.PGDATABASE, entities: [E], synchronize: true, dropSchema: false, installExtensions: false });
  await ds.initialize();
  const repo = ds.getRepository(E);
  await repo.clear();
  await told('save', async () => (await repo.save([{ v: 'a' }, { v: 'b', j: { x: 1 } }])).length);
  await told('unique', () => repo.insert({ v: 'a' }));
  await told('transaction', () => ds.transaction('REPEATABLE READ', async (m) => { await m.save(E, { v: 'c' }); await m.transaction(async (n) => { await n.insert(E, { v: 'c' }); }).catch((e) => console.log(e.code)); return m.count(E); }));
  await told('lock', () => ds.transaction(async (m) => (await m.findOne(E, { where: { v: 'a' }, lock: { mode: 'pessimistic_write' } })).v));
  await told('stream', async () => { let n = 0; for await (const r of await repo.createQueryBuilder('r').stream()) n += !!r; return n; });
  await told('many', async () => (await Promise.all([...Array(50)].map((_, i) => ds.query('SELECT $1::int AS n', [i])))).reduce((t, r) => t + r[0].n, 0));
  await ds.dropDatabase().catch(() => {});
  await ds.destroy();
}

async function drizzles() {
  const { drizzle } = require('drizzle-orm/node-postgres');
  const { sql } = require('drizzle-orm');
  const { pgTable, serial, text } = require('drizzle-orm/pg-core');
  const T = pgTable('td', { id: serial('id').primaryKey(), v: text('v') });
  const pool = new Pool({ max: 4 });
  const db = drizzle(pool);
  await db.execute(sql`DROP TABLE IF EXISTS td`);
  await db.execute(sql`CREATE TABLE td(id serial PRIMARY KEY, v text)`);
  await told('insert', () => db.insert(T).values([{ v: 'a' }, { v: 'b' }]).returning());
  const p = db.select().from(T).where(sql`${T.id} = ${sql.placeholder('id')}`).prepare('by_id');
  await told('prepared', async () => { const got = []; for (let i = 0; i < 12; i++) got.push((await p.execute({ id: 1 + i % 2 }))[0].v); return got; });
  await told('transaction', () => db.transaction(async (t) => { await t.insert(T).values({ v: 'c' }); await t.transaction(async (n) => { await n.insert(T).values({ id: 1 }); }).catch((e) => console.log((e.cause || e).code)); return t.select().from(T); }, { isolationLevel: 'serializable' }));
  await db.execute(sql`DROP TABLE td`);
  await pool.end();
}

(async () => {
  for (const part of [cursors, copies, sessions, postgresJs, knexes, sequelizes, typeorms, drizzles]) {
    console.log(`== ${part.name}`);
    try {
      await part();
    } catch (e) {
      console.log(`ended by ${e.constructor.name} ${e.code} ${String(e.message).split('\n')[0]}`);
    }
  }
  process.exit(0);
})();
