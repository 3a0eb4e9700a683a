// SPDX-License-Identifier: PostgreSQL
// Judges objects by the models of their kind, without a network: node judge.mjs < input > output.
//
// In:  {"objects": [[id, object], ...], "files": [path, ...]}
// Out: {"invalid": {id: [text]}, "unmodelled": {id: "apiVersion Kind"}, "parsed": {path: [document]},
//       "unparsed": {path: [text]}}
//
// Two judgements of one object, for each is blind where the other sees. At run time the model's JSON
// schema finds wrong types, enums, patterns and missing fields, but accepts fields that it doesn't know.
// As types, each object is a literal in objects.ts, where TypeScript's check of excess properties refuses
// unknown fields at any depth. Files are parsed once more by a second YAML parser.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';

// The package of a group that isn't Kubernetes' own.
const PACKAGES = {
  'autoscaling.k8s.io': '@kubernetes-models/autoscaler',
  'cert-manager.io': '@kubernetes-models/cert-manager',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
  'networking.istio.io': '@kubernetes-models/istio',
  'security.istio.io': '@kubernetes-models/istio',
  'telemetry.istio.io': '@kubernetes-models/istio',
};
const OWN = /^(v1$|[a-z]+\/|[a-z.]+\.k8s\.io\/)/;

/** The module of an object's kind, or null. */
function moduleOf(object) {
  const group = object.apiVersion.split('/')[0];
  const home = PACKAGES[group] ?? (OWN.test(object.apiVersion) ? 'kubernetes-models' : null);
  const place = `${home}/${object.apiVersion}/${object.kind}`;
  return home && existsSync(`node_modules/${place}.d.ts`) ? place : null;
}

/**
 * The Prometheus Operator's CRD has a claim's template without a kind of its own; the models made a kind of
 * it and want its name. With that name put in, the rest of the template is judged like everything else.
 */
function named(object) {
  const claim = object.apiVersion === 'monitoring.coreos.com/v1' && object.spec?.storage?.volumeClaimTemplate;
  if (claim && !claim.kind) Object.assign(claim, { apiVersion: object.apiVersion, kind: 'EmbeddedPersistentVolumeClaim' });
  return object;
}

async function validate(objects, say) {
  const models = new Map();
  for (const { id, object, place } of objects) {
    if (!models.has(place)) models.set(place, (await import(place))[object.kind]);
    try {
      new (models.get(place))(object).validate();
    } catch (error) {
      say(id, error.message.replaceAll('\n', ' '));
    }
  }
}

/** objects.ts, and which object stands on which line. */
function typescript(objects) {
  const lines = [], owner = [];
  const names = new Map();
  for (const { object, place } of objects) {
    if (names.has(place)) continue;
    names.set(place, `T${names.size}`);
    lines.push(`import type { I${object.kind} as ${names.get(place)} } from '${place}';`);
  }
  for (const { id, object, place } of objects) {
    const text = `export const x${lines.length}: ${names.get(place)} = ${JSON.stringify(object, null, 1)};`;
    for (const line of text.split('\n')) {
      owner[lines.length] = id;
      lines.push(line);
    }
  }
  return { text: lines.join('\n') + '\n', owner };
}

function compile(objects, say) {
  const { text, owner } = typescript(objects);
  writeFileSync('objects.ts', text);
  const run = spawnSync(process.execPath, ['node_modules/typescript/lib/tsc.js', '--noEmit', '--strict', '--skipLibCheck',
    '--module', 'node16', '--pretty', 'false', 'objects.ts'], { encoding: 'utf8' });
  let last = null;
  for (const line of run.stdout.split('\n')) {
    const found = /^objects\.ts\((\d+),\d+\): error (.*)$/.exec(line);
    if (found) {
      last = owner[found[1] - 1];
      if (last === undefined) throw new Error(`no object at: ${line}`);
      say(last, found[2]);
    } else if (line && !line.startsWith(' ')) {
      throw new Error(`tsc: ${line}`);
    }
  }
  if (run.status !== 0 && last === null) throw new Error(`tsc ended with ${run.status}: ${run.stderr}`);
}

function parse(path) {
  const documents = parseAllDocuments(readFileSync(path, 'utf8'), { version: '1.1', strict: true, uniqueKeys: true });
  const wrong = documents.flatMap((d) => [...d.errors, ...d.warnings]).map((e) => e.message.split('\n')[0]);
  return { wrong, plain: documents.map((d) => d.toJSON()).filter((d) => d !== null) };
}

const input = JSON.parse(readFileSync(0, 'utf8'));
const output = { invalid: {}, unmodelled: {}, parsed: {}, unparsed: {} };
const say = (id, text) => (output.invalid[id] ??= []).push(text);
const known = [];
for (const [id, object] of input.objects) {
  const place = moduleOf(object);
  if (place) known.push({ id, object: named(object), place });
  else output.unmodelled[id] = `${object.apiVersion} ${object.kind}`;
}
await validate(known, say);
compile(known, say);
for (const path of input.files) {
  const { wrong, plain } = parse(path);
  output.parsed[path] = plain;
  if (wrong.length) output.unparsed[path] = wrong;
}
process.stdout.write(JSON.stringify(output));
