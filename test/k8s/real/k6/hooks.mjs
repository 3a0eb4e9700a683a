// SPDX-License-Identifier: PostgreSQL
// Leads the names of k6's modules to modules.mjs. The query tells the one which of them it is to be.
const NAMES = ["k6", "k6/http", "k6/metrics", "k6/execution", "k6/x/sql", "k6/x/sql/driver/postgres"];

export async function resolve(name, context, next) {
  if (!name.startsWith("k6")) return next(name, context);
  if (!NAMES.includes(name)) throw new Error(`this k6 has no module ${name}`);
  return { url: new URL(`./modules.mjs?${name}`, import.meta.url).href, shortCircuit: true };
}

// What each module exports, from the one set of objects that modules.mjs keeps.
const EXPORTS = {
  "k6": ["check", "sleep"], "k6/http": ["default"], "k6/metrics": ["Counter", "Gauge", "Rate", "Trend"],
  "k6/execution": ["default"], "k6/x/sql": ["default"], "k6/x/sql/driver/postgres": ["default"],
};

export async function load(url, context, next) {
  const name = decodeURIComponent(new URL(url).search.slice(1));
  if (!EXPORTS[name]) return next(url, context);
  const at = new URL(url);
  at.search = "";
  const lines = EXPORTS[name].map((one) => one === "default"
    ? `export default modules[${JSON.stringify(name)}].default;` : `export const ${one} = modules[${JSON.stringify(name)}].${one};`);
  return { format: "module", shortCircuit: true,
           source: `import { modules } from ${JSON.stringify(at.href)};\n${lines.join("\n")}\n` };
}
