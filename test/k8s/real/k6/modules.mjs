// SPDX-License-Identifier: PostgreSQL
// k6's modules, as far as k8s/testing uses them, on real requests and real SQL. `world` is what run.mjs sees of it.
import { call } from "./bridge.mjs";

export const world = { phase: "init", vu: 0, iterations: 0, began: Date.now(), aheadMs: 0, metrics: new Map(), problems: [] };
// So that a test isn't spent with thinking.
const SLEEP_SCALE = 0.02;

function notInInit(what) {
  if (world.phase === "init") throw new Error(`${what} isn't allowed while the script is loaded`);
}

// ---------------------------------------------------------------- metrics

class Metric {
  constructor(name, isTime = false) {
    if (world.phase !== "init" && !BUILT_IN.has(name)) throw new Error(`metric ${name} must be made while the script is loaded`);
    if (!/^[a-zA-Z_][a-zA-Z0-9_]{0,127}$/.test(name)) throw new Error(`no name for a metric: ${name}`);
    if (world.metrics.has(name)) throw new Error(`metric ${name} is there already`);
    Object.assign(this, { name, isTime, samples: [] });
    world.metrics.set(name, this);
  }

  add(value) {
    notInInit("add");
    const number = Number(value);
    if (!Number.isFinite(number)) throw new Error(`${this.name}: ${value} is no number`);
    this.samples.push(number);
  }
}
class Counter extends Metric {}
class Gauge extends Metric {}
class Rate extends Metric {}
class Trend extends Metric {}

const BUILT_IN = new Set(["checks", "http_reqs", "http_req_duration", "http_req_failed"]);
const checks = new Rate("checks");
const httpReqs = new Counter("http_reqs");
const httpReqDuration = new Trend("http_req_duration", true);
const httpReqFailed = new Rate("http_req_failed");

// ---------------------------------------------------------------- k6

function check(value, tests) {
  notInInit("check");
  let isGood = true;
  for (const [name, test] of Object.entries(tests)) {
    const held = Boolean(test(value));
    checks.add(held);
    if (!held) world.problems.push(`check ${name}: ${value && value.status} ${String(value && value.body).slice(0, 200)}`);
    isGood = isGood && held;
  }
  return isGood;
}

function sleep(seconds) {
  notInInit("sleep");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000 * SLEEP_SCALE);
}

// ---------------------------------------------------------------- k6/http

let isExpected = (status) => status >= 200 && status < 400;

const http = {
  expectedStatuses: (...wanted) => (status) => wanted.some((one) =>
    typeof one === "number" ? one === status : status >= one.min && status <= one.max),
  setResponseCallback(judge) { isExpected = judge; },
  request(method, url, body = null, params = {}) {
    notInInit("a request");
    for (const key of Object.keys(params)) {
      if (!["headers", "tags", "timeout"].includes(key)) throw new Error(`http.request: ${key} isn't known here`);
    }
    if (body !== null && typeof body !== "string") throw new Error("http.request: a body is text");
    const timeoutMs = 1000 * Number(/^(\d+)s$/.exec(params.timeout || "60s")[1]);
    const answer = call("http", { method, url, body, headers: params.headers || {}, timeoutMs });
    httpReqs.add(1);
    httpReqDuration.add(answer.ms);
    httpReqFailed.add(!isExpected(answer.status));
    if (!isExpected(answer.status)) world.problems.push(`${method} ${url}: ${answer.status} ${answer.error || answer.body}`);
    return { ...answer, json: (path) => path.split(".").reduce((node, key) => node?.[key], JSON.parse(answer.body)) };
  },
  get: (url, params) => http.request("GET", url, null, params),
};

// ---------------------------------------------------------------- k6/execution, k6/x/sql

const execution = {
  instance: {
    get currentTestRunDuration() { return Date.now() - world.began + world.aheadMs; },
    get iterationsCompleted() { return world.iterations; },
  },
  vu: { get idInTest() { return world.vu; } },
  test: { abort(why) { throw new Error(`aborted: ${why}`); } },
};

const driver = Symbol("postgres");
let databases = 0;
const sql = {
  open(which, url, options = {}) {
    if (which !== driver) throw new Error("sql.open: no such driver");
    for (const key of Object.keys(options)) {
      if (!["max_open_conns", "max_idle_conns", "conn_max_idle_time", "conn_max_lifetime"].includes(key)) {
        throw new Error(`sql.open: no option ${key}`);
      }
    }
    // An option of lib/pq's own; sql.py always does as it says.
    const address = url.replace(/[?&]binary_parameters=yes/, "");
    if (address === url) throw new Error("without binary_parameters=yes each query is two round trips");
    const db = ++databases;
    const run = (what) => (text, ...args) => {
      if (!args.every((arg) => typeof arg === "string")) throw new Error("parameters are texts here");
      return call("sql", { what, db, url: address, sql: text, args });
    };
    return { query: run("query"), exec: run("exec"), close: () => call("sql", { what: "close", db }) };
  },
};

export const modules = {
  "k6": { check, sleep }, "k6/http": { default: http }, "k6/metrics": { Counter, Gauge, Rate, Trend },
  "k6/execution": { default: execution }, "k6/x/sql": { default: sql }, "k6/x/sql/driver/postgres": { default: driver },
};
