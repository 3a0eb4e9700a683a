// SPDX-License-Identifier: PostgreSQL
// Calls that wait: the main thread sleeps on a word of shared memory while a worker does the request.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isMainThread, MessageChannel, receiveMessageOnPort, Worker, workerData } from "node:worker_threads";

let port = null;
let word = null;
let worker = null;

// One operation in the worker; its result, or its error thrown here.
export function call(what, wish) {
  if (!worker) {
    const channel = new MessageChannel();
    word = new Int32Array(new SharedArrayBuffer(4));
    worker = new Worker(new URL(import.meta.url), { workerData: { port: channel.port2, word }, transferList: [channel.port2] });
    worker.unref();
    port = channel.port1;
  }
  Atomics.store(word, 0, 0);
  port.postMessage({ what, wish });
  if (Atomics.wait(word, 0, 0, 60000) === "timed-out") throw new Error(`${what}: no answer in a minute`);
  const { message } = receiveMessageOnPort(port);
  if (message.error) throw new Error(message.error);
  return message.value;
}

async function http({ method, url, body, headers, timeoutMs }) {
  const began = performance.now();
  try {
    const answer = await fetch(url, { method, body, headers, signal: AbortSignal.timeout(timeoutMs) });
    const text = await answer.text();
    return { status: answer.status, body: text, headers: Object.fromEntries(answer.headers), ms: performance.now() - began };
  } catch (error) {
    return { status: 0, body: null, headers: {}, error: String(error.cause || error), ms: performance.now() - began };
  }
}

// The SQL side: one line of JSON to sql.py, one line back.
let python = null;
let answered = null;

function sql(wish) {
  if (!python) {
    python = spawn("/usr/bin/python3", ["-B", fileURLToPath(new URL("./sql.py", import.meta.url))],
                   { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: python.stdout }).on("line", (line) => answered(JSON.parse(line)));
  }
  return new Promise((resolve, reject) => {
    answered = ({ error, value }) => (error ? reject(new Error(error)) : resolve(value));
    python.stdin.write(JSON.stringify(wish) + "\n");
  });
}

if (!isMainThread) {
  const doers = { http, sql };
  workerData.port.on("message", async ({ what, wish }) => {
    let message;
    try {
      message = { value: await doers[what](wish) };
    } catch (error) {
      message = { error: String(error.message || error) };
    }
    workerData.port.postMessage(message);
    Atomics.store(workerData.word, 0, 1);
    Atomics.notify(workerData.word, 0);
  });
}
