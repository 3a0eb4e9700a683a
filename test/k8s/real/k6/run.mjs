// SPDX-License-Identifier: PostgreSQL
// Plays a k6 script: loads it, setup, some iterations of each scenario, teardown, thresholds. `node run.mjs SCRIPT ITERATIONS`.
import { readFileSync } from "node:fs";
import { register } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

register("./hooks.mjs", import.meta.url);
const { world } = await import("./modules.mjs");

const OPTIONS = { scenarios: 1, thresholds: 1, summaryTrendStats: 1, noVUConnectionReuse: 1 };
const SCENARIO = { executor: 1, exec: 1, startVUs: 1, stages: 1, gracefulRampDown: 1, tags: 1 };

function onlyKnown(what, object, known) {
  for (const key of Object.keys(object)) if (!known[key]) throw new Error(`${what}: no option ${key}`);
}

// "p(95)<100" on a metric's samples: {value, isMet}.
export function judge(expression, samples) {
  const found = /^(count|rate|value|avg|min|max|med|p\((\d+(?:\.\d+)?)\))\s*(<=|>=|==|!=|<|>)\s*(\d+(?:\.\d+)?)$/.exec(expression);
  if (!found) throw new Error(`no threshold: ${expression}`);
  const [, how, share, operator, limit] = found;
  const sorted = [...samples].sort((a, b) => a - b);
  const sum = samples.reduce((a, b) => a + b, 0);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
  const value = share ? at(Number(share) / 100) : {
    count: () => sum, value: () => samples[samples.length - 1], rate: () => sum / samples.length, avg: () => sum / samples.length,
    min: () => sorted[0], max: () => sorted[sorted.length - 1], med: () => at(0.5) }[how]();
  const isMet = { "<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit,
                  "==": value === Number(limit), "!=": value !== Number(limit) }[operator];
  return { value, isMet };
}

// The most users at once, as the stages of all scenarios together say.
function peak(scenarios) {
  return Object.values(scenarios).reduce((sum, one) => sum + Math.max(...one.stages.map((stage) => stage.target)), 0);
}

function seconds(stages) {
  return stages.reduce((sum, { duration }) => sum + Number(duration.slice(0, -1)) * { s: 1, m: 60 }[duration.slice(-1)], 0);
}

async function main(file, iterations) {
  globalThis.__ENV = { ...process.env };
  globalThis.open = (name) => {
    if (world.phase !== "init") throw new Error("open isn't allowed once the script is loaded");
    return readFileSync(path.join(path.dirname(file), name), "utf8");
  };
  const script = await import(pathToFileURL(path.resolve(file)));
  onlyKnown("options", script.options, OPTIONS);
  for (const [name, one] of Object.entries(script.options.scenarios)) {
    onlyKnown(name, one, SCENARIO);
    if (one.executor !== "ramping-vus" || typeof script[one.exec] !== "function") throw new Error(`${name}: can't be run`);
  }
  world.phase = "run";
  // As text and back, which is what k6 does between setup and the users.
  const data = JSON.parse(JSON.stringify(script.setup()));
  // In the middle of the time when everybody is there.
  const lengths = Object.values(script.options.scenarios).map((one) => seconds(one.stages));
  world.aheadMs = 600000;
  for (const [number, one] of Object.values(script.options.scenarios).entries()) {
    world.vu = number + 1;
    for (let i = 0; i < iterations; i++) {
      script[one.exec](structuredClone(data));
      world.iterations++;
    }
  }
  world.aheadMs = 0;
  script.teardown(data);
  const thresholds = Object.entries(script.options.thresholds).flatMap(([metric, list]) => list.map((expression) => {
    const samples = world.metrics.get(metric)?.samples ?? [];
    if (!samples.length) throw new Error(`threshold of ${metric}, which nobody has measured`);
    return { metric, expression, count: samples.length, ...judge(expression, samples) };
  }));
  console.log(JSON.stringify({ thresholds, problems: world.problems, peak: peak(script.options.scenarios), lengths,
                               iterations: world.iterations }));
  process.exit(0);
}

if (process.argv[1]?.endsWith("run.mjs")) {
  await main(process.argv[2], Number(process.argv[3]));
}
