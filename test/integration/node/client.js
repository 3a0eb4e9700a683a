// SPDX-License-Identifier: PostgreSQL
// node-postgres against the server in DATABASE_URL: named statements, parameters,
// transactions, errors, many clients of a pool at once. Exit status 0 when all held.
'use strict';
const assert = require('node:assert');
const { Client, Pool } = require('pg');

const url = process.env.DATABASE_URL;

async function namedStatements() {
  const clients = await Promise.all([...Array(6)].map(async () => {
    const c = new Client({ connectionString: url });
    await c.connect();
    return c;
  }));
  for (let turn = 0; turn < 10; turn++) {
    for (const [i, c] of clients.entries()) {
      const same = await c.query({ name: 'same', text: `SELECT $1::int + ${i} AS n`, values: [turn] });
      assert.strictEqual(same.rows[0].n, turn + i);
    }
  }
  await Promise.all(clients.map((c) => c.end()));
}

async function transactions(pool) {
  await pool.query('DROP TABLE IF EXISTS node_rows');
  await pool.query('CREATE TABLE node_rows(k int PRIMARY KEY, doc jsonb, at timestamptz)');
  const c = await pool.connect();
  try {
    await c.query('BEGIN');
    await c.query('INSERT INTO node_rows VALUES ($1, $2, now())', [1, { a: [1, 2] }]);
    const inside = await c.query('SELECT count(*)::int AS n FROM node_rows');
    assert.strictEqual(inside.rows[0].n, 1);
    await c.query('ROLLBACK');
    const after = await c.query('SELECT count(*)::int AS n FROM node_rows');
    assert.strictEqual(after.rows[0].n, 0);
    await c.query('INSERT INTO node_rows VALUES ($1, $2, now())', [2, { b: 'x' }]);
    const own = await c.query('SELECT doc FROM node_rows WHERE k = $1', [2]);
    assert.deepStrictEqual(own.rows[0].doc, { b: 'x' });
    await assert.rejects(c.query('INSERT INTO node_rows VALUES (2)'), { code: '23505' });
    await assert.rejects(c.query('SELECT nonsense'), { code: '42703' });
  } finally {
    c.release();
  }
}

async function manyAtOnce(pool) {
  const jobs = [...Array(400)].map(async (_, i) => {
    const r = await pool.query('SELECT $1::int AS n, $2::text AS t', [i, `text ${i}`]);
    assert.deepStrictEqual(r.rows[0], { n: i, t: `text ${i}` });
  });
  await Promise.all(jobs);
}

async function settings() {
  const c = new Client({ connectionString: url, application_name: 'node test', statement_timeout: 30000 });
  await c.connect();
  await c.query("SET TIME ZONE 'Asia/Tokyo'");
  for (let i = 0; i < 5; i++) {
    const r = await c.query('SHOW TimeZone');
    assert.strictEqual(r.rows[0].TimeZone, 'Asia/Tokyo');
  }
  const many = await c.query('SELECT 1 AS a; SELECT 2 AS b');
  assert.deepStrictEqual(many.map((r) => r.rows[0]), [{ a: 1 }, { b: 2 }]);
  await c.end();
}

async function main() {
  const pool = new Pool({ connectionString: url, max: 20 });
  await namedStatements();
  await transactions(pool);
  await manyAtOnce(pool);
  await settings();
  await pool.query('DROP TABLE node_rows');
  await pool.end();
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
