// SPDX-License-Identifier: PostgreSQL
//
// The page: quotes every few seconds, one account, a transfer. Plain DOM, no framework, no inline code (the CSP allows
// none). Text from the server only ever becomes textContent. A transfer's Idempotency-Key is made once for what the form
// says and kept until an answer has come, so pressing Send again after a lost answer can't move the money twice.

const QUOTES_EVERY_MS = 3000;
const REQUEST_TIMEOUT_MS = 12000;
// Longer than the second click of a double click takes to come.
const SETTLE_MS = 600;
const byId = (id) => document.getElementById(id);

class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `the server answered ${status}`);
    this.status = status;
    this.field = body.field;
  }
}

async function ask(path, options = {}) {
  const reply = await fetch(path, { ...options, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  const isJson = (reply.headers.get("Content-Type") || "").includes("json");
  const body = isJson ? await reply.json() : {};
  if (!reply.ok) throw new Problem(reply.status, body);
  return body;
}

// Past every cache, from the primary: for what must show the transfer just made.
const fresh = (path) => ask(path, { headers: { "Cache-Control": "no-cache" } });

// Amounts are decimal strings and stay so: no sum is ever calculated here.
function grouped(amount) {
  const [whole, part] = amount.replace("-", "").split(".");
  const sign = amount.startsWith("-") ? "\u2212" : "";
  return sign + whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") + (part ? "." + part : "");
}

const money = (amount, currency) => `${grouped(amount)} ${currency}`;
const when = (text) => new Date(text).toLocaleString([], { dateStyle: "short", timeStyle: "medium" });

function row(...cells) {
  const tr = document.createElement("tr");
  for (const [text, className] of cells) {
    const td = document.createElement("td");
    td.textContent = text;
    if (className) td.className = className;
    tr.append(td);
  }
  return tr;
}

function fill(table, rows, empty) {
  const columns = table.tHead.rows[0].cells.length;
  const body = table.tBodies[0];
  if (!rows.length) {
    rows = [row([empty])];
    rows[0].cells[0].colSpan = columns;
  }
  body.replaceChildren(...rows);
}

function setState(text, isDown) {
  const state = byId("state");
  if (state.textContent !== text) state.textContent = text;
  state.classList.toggle("is-down", isDown);
}

async function showQuotes() {
  try {
    const { quotes } = await ask("/api/quotes");
    fill(byId("quotes"), quotes.map((q) => {
      const direction = q.change.startsWith("-") ? "down" : "up";
      const sign = direction === "up" ? "+" : "";
      return row([q.symbol], [q.name], [money(q.price, q.currency), "number"],
                 [sign + grouped(q.change), `number ${direction}`], [when(q.as_of), "time aside"]);
    }), "No quotes");
    setState("live", false);
  } catch (error) {
    setState(`no quotes: ${error.message}`, true);
  }
}

async function showAccounts() {
  const { accounts } = await ask("/api/accounts?limit=50");
  const select = byId("account");
  const chosen = select.value;
  select.replaceChildren(...accounts.map((a) => new Option(`${a.id} - ${a.owner}`, a.id)));
  if (chosen) select.value = chosen;
}

async function showAccount() {
  const id = byId("account").value;
  if (!id) return;
  const [account, { transfers }] = await Promise.all([
    fresh(`/api/accounts/${id}`), fresh(`/api/transfers?account=${id}&limit=10`)]);
  if (byId("account").value !== id) return;    // another has been chosen meanwhile
  byId("owner").textContent = account.owner;
  byId("balance").textContent = money(account.balance, account.currency);
  byId("balance").dataset.amount = account.balance;
  fill(byId("movements"), transfers.map((t) => {
    const isOut = String(t.from_account) === id;
    return row([when(t.created_at), "time"], [String(isOut ? t.to_account : t.from_account)],
               [(isOut ? "\u2212" : "+") + money(t.amount, t.currency), `number ${isOut ? "down" : "up"}`], [t.note || "", "note"]);
  }), "None yet");
}

const NOTICES = ["transfer-error", "transfer-done"];

function hideNotices() {
  for (const id of NOTICES) byId(id).hidden = true;
}

function notice(id, text) {
  hideNotices();
  byId(id).textContent = text;
  byId(id).hidden = false;
}

function markField(name) {
  for (const field of byId("transfer").elements) {
    if (field.name) field.removeAttribute("aria-invalid");
  }
  const field = name && byId("transfer").elements[name];
  if (field) {
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
}

// What can be seen before anything is sent; the server has the last word on everything else.
function mistake({ to_account: to, amount }) {
  if (!/^[1-9]\d{0,15}$/.test(to)) return { field: "to_account", text: "Enter the number of the account to send to." };
  if (!/^\d{1,10}(\.\d{1,2})?$/.test(amount) || /^[0.]*$/.test(amount)) {
    return { field: "amount", text: "Enter an amount from 0.01 on, with at most two decimals." };
  }
  return null;
}

let pending = { what: "", key: "" };

function keyFor(what) {
  if (pending.what !== what) pending = { what, key: newKey() };
  return pending.key;
}

// crypto.randomUUID is there on https and localhost only.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

function read(form) {
  const text = (name) => form.elements[name].value.trim();
  return { to_account: text("to_account"), amount: text("amount").replace(",", "."), note: text("note") };
}

function refuse(text, field) {
  notice("transfer-error", text);
  markField(field);
}

async function post(form, wish) {
  const body = JSON.stringify({ from_account: Number(byId("account").value), ...wish, to_account: Number(wish.to_account) });
  try {
    const done = await ask("/api/transfers", { method: "POST", body,
      headers: { "Content-Type": "application/json", "Idempotency-Key": keyFor(body) } });
    pending = { what: "", key: "" };
    form.reset();
    notice("transfer-done", `${money(done.amount, done.currency)} sent to ${done.to_account}, transfer ${done.id}`);
  } catch (error) {
    // A refusal is final, so the next try is a new transfer; of anything else the outcome isn't known.
    if (error instanceof Problem && error.status < 500) {
      pending = { what: "", key: "" };
      refuse(error.message, error.field);
    } else {
      refuse(`No answer came (${error.message}), so it isn't known whether the money was sent. Press Send again: ` +
             "the same transfer is never done twice.");
    }
  }
}

async function send(event) {
  event.preventDefault();
  const form = byId("transfer");
  const wish = read(form);
  const wrong = mistake(wish);
  markField(null);
  hideNotices();
  if (wrong) {
    refuse(wrong.text, wrong.field);
    return;
  }
  byId("send").disabled = true;
  try {
    await post(form, wish);
  } finally {
    setTimeout(() => { byId("send").disabled = false; }, SETTLE_MS);
  }
  await showAccount().catch((error) => setState(`no account: ${error.message}`, true));
}

async function showEverything() {
  try {
    await showAccounts();
    await showAccount();
  } catch (error) {
    setState(`no accounts: ${error.message}`, true);
  }
}

async function refresh() {
  if (document.hidden) return;
  await showQuotes();
  // The page may have been opened when nobody answered.
  if (!byId("account").options.length) await showEverything();
}

async function start() {
  byId("transfer").addEventListener("submit", send);
  byId("account").addEventListener("change", () =>
    showAccount().catch((error) => setState(`no account: ${error.message}`, true)));
  await Promise.all([showQuotes(), showEverything()]);
  setInterval(refresh, QUOTES_EVERY_MS);
  document.body.dataset.ready = "yes";
}

start();
