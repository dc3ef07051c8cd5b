// What does an operator see, and what does his key do? Nothing here decides: the server does, this shows and asks.
//
// Times on screen are differences on the server's clock (`skewMs`), ages of the link on this machine's own.
// Kept apart: when something was last *heard* and when it was last *tried*.
"use strict";

const AMBER_AFTER_MS = 5000;
const RED_AFTER_MS = 10000;
const RETRY_MS = 2000;
const SNAPSHOT_WITHIN_MS = 2000;
const LOG_SILENT_MS = 5000;
const TINTED_MAX = 3;
const PAGE_MAX = 200;
const PROTECTION_EVERY_MS = 3000;
const PROTECTION_STALE_MS = 10000;
const PAIRS_SHOWN_MAX = 20;
const URGENT_SHOWN_MAX = 5;

const byId = (id) => document.getElementById(id);
const state = {
  me: null, token: sessionStorage.getItem("tocsin-token"), name: sessionStorage.getItem("tocsin-name"),
  alerts: new Map(), cursor: null, selected: null, skewMs: 0, heardAt: null, logAgeMs: 0, consoles: 0, shown: "",
  protection: null, protectionAt: null, incidents: new Map(),
};

// --- the one order -----------------------------------------------------------------------------------------

function isTaken(alert, nowMs) {
  return alert.state === "acknowledged" && alert.expires_at !== null && nowMs < Date.parse(alert.expires_at);
}

// A countdown that runs is the first of its priority.
const isGone = (alert) => alert.state === "closed" || alert.state === "folded";
const isCountingDown = (alert) => alert.code === "IMMINENT" && alert.over_at === null;

function urgency(a, b, nowMs) {
  return isTaken(a, nowMs) - isTaken(b, nowMs) || a.priority - b.priority || isCountingDown(b) - isCountingDown(a) ||
    Date.parse(a.occurred_at) - Date.parse(b.occurred_at) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

const serverNow = () => Date.now() + state.skewMs;

function blocks() {
  const now = serverNow();
  const open = [...state.alerts.values()].filter((alert) => !isGone(alert));
  open.sort((a, b) => urgency(a, b, now));
  return {
    untaken: open.filter((alert) => !isTaken(alert, now)),
    mine: open.filter((alert) => isTaken(alert, now) && alert.owner === state.me.name),
    others: open.filter((alert) => isTaken(alert, now) && alert.owner !== state.me.name),
  };
}

// --- the server --------------------------------------------------------------------------------------------

function headers(more = {}) {
  if (state.me === null || state.me.auth === "token") return { Authorization: `Bearer ${state.token ?? ""}`, ...more };
  return { "Tocsin-Actor": encodeURIComponent(state.name ?? ""), ...more };
}

async function ask(method, path, { body, etag, withinMs = 5000 } = {}) {
  const more = {};
  if (body !== undefined) more["Content-Type"] = "application/json";
  if (etag !== undefined) more["If-Match"] = etag;
  const answer = await fetch(`/api/v1${path}`, {
    method, headers: headers(more), body: body && JSON.stringify(body), cache: "no-store",
    signal: AbortSignal.timeout(withinMs),
  });
  const said = await answer.json().catch(() => ({}));
  return { ok: answer.ok, status: answer.status, said };
}

async function snapshot() {
  const found = new Map();
  let next = null, cursor = null;
  do {
    const query = `/alerts?open=true&limit=${PAGE_MAX}${next ? `&cursor=${encodeURIComponent(next)}` : ""}`;
    const { ok, status, said } = await ask("GET", query, { withinMs: SNAPSHOT_WITHIN_MS });
    if (!ok) throw Object.assign(new Error(said.title ?? String(status)), { status });
    for (const alert of said.items) found.set(alert.id, alert);
    next = said.next;
    cursor ??= said.cursor; // the first page's: what moved while we turned pages comes by the feed
  } while (next !== null);
  state.alerts = found;
  state.cursor = cursor;
  heard();
  show();
}

function heard() {
  state.heardAt = performance.now();
}

// One connection after another, each with a fresh snapshot; a feed that is silent for too long is given up.
async function follow() {
  for (;;) {
    try {
      await snapshot();
      await listen();
    } catch (error) {
      if (error.status === 401 || error.status === 403) return signIn("Ce jeton n'est pas accepté.");
    }
    await new Promise((resume) => setTimeout(resume, state.heardAt !== null && linkAgeMs() < 1000 ? 100 : RETRY_MS));
  }
}

async function listen() {
  const giveUp = new AbortController();
  const watchdog = setInterval(() => linkAgeMs() > AMBER_AFTER_MS && giveUp.abort(), 500);
  try {
    const answer = await fetch(`/api/v1/live?since=${state.cursor}`, { headers: headers(), cache: "no-store", signal: giveUp.signal });
    if (!answer.ok) throw Object.assign(new Error("live"), { status: answer.status });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) if (!take(event)) return void giveUp.abort();
    }
  } finally {
    clearInterval(watchdog);
  }
}

// Returns false when the snapshot must be taken again.
function take(event) {
  const field = (name) => event.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  heard();
  const data = JSON.parse(field("data") ?? "null");
  switch (field("event")) {
    case "alerts":
      for (const alert of data) isGone(alert) ? state.alerts.delete(alert.id) : state.alerts.set(alert.id, alert);
      state.cursor = field("id");
      show();
      return true;
    case "beat":
      state.skewMs = Date.parse(data.at) - Date.now();
      state.logAgeMs = data.log_age_ms ?? Infinity;
      state.consoles = data.consoles;
      if (Object.entries(data.protection ?? {}).some(([name, count]) => state.protection?.counts[name] !== count)) askProtection();
      tick();
      return true;
    default: // reset, retire
      return false;
  }
}

// The ranked list of who is not protected, beside the feed: an answer that does not come leaves the one before, and
// its age is said. One question at a time.
async function askProtection() {
  if (state.me === null || !state.me.permissions.includes("see-protection") || askProtection.asking) return;
  askProtection.asking = true;
  try {
    const query = `/protection?state=degraded&state=unprotected&limit=${PAIRS_SHOWN_MAX}`;
    const { ok, said } = await ask("GET", query, { withinMs: SNAPSHOT_WITHIN_MS });
    if (ok) {
      state.protection = said;
      state.protectionAt = performance.now();
      showProtection();
    }
  } catch { /* the banner says that the link is lost, the line how old the list is */
  } finally {
    askProtection.asking = false;
  }
}

// The pairs of each silence that lasts, with the same rule; and of one that is over no longer.
async function askIncidents() {
  if (state.me === null || !state.me.permissions.includes("see-protection") || askIncidents.asking) return;
  askIncidents.asking = true;
  const open = [...state.alerts.values()].filter((alert) => alert.fleet && !isGone(alert) && alert.over_at === null);
  try {
    for (const id of [...state.incidents.keys()]) if (!open.some((alert) => alert.id === id)) state.incidents.delete(id);
    for (const alert of open) {
      const { ok, said } = await ask("GET", `/incidents/${alert.id}`, { withinMs: SNAPSHOT_WITHIN_MS });
      if (ok) state.incidents.set(alert.id, said);
    }
    if (open.length) show();
  } catch { /* as above: the row keeps what it had */
  } finally {
    askIncidents.asking = false;
  }
}

// --- what a key does ---------------------------------------------------------------------------------------

async function act(what, method, path, alert, body) {
  hush();
  try {
    const { ok, status, said } = await ask(method, `/alerts/${alert.id}/${path}`, { body, etag: `"${alert.version}"` });
    if (!ok) return say(`${what} : refusé. ${refused(status, said)}`);
  } catch {
    say(`${what} : pas de réponse du serveur. Rien n'est certain ; agissez de vive voix.`);
  }
}

function refused(status, said) {
  const slug = String(said.type ?? "").split("/").pop();
  const words = {
    "already-owned": `Déjà prise par ${said.owner}.`,
    "stale-version": "L'alerte a changé ; regardez-la de nouveau.",
    "not-owner": `Elle est à ${said.owner}.`,
    "not-acknowledged": "Prenez-la d'abord.",
    "inspection-missing": "L'appareil doit d'abord être inspecté.",
    "already-closed": "Elle est déjà fermée.",
    "log-unavailable": "Le journal n'a pas confirmé ; agissez de vive voix.",
    forbidden: "Votre rôle ne le permet pas.",
  };
  return words[slug] ?? `${said.title ?? "Erreur"} (${status}).`;
}

const job = () => (state.me.role === "teleassistant" ? "teleassistance" : "monitor");
const takeIt = (alert) => act("Prise", "PUT", "acknowledgement", alert, { job: job() });
const release = (alert) => act("Rendre", "DELETE", "acknowledgement", alert);

function close(alert) {
  const dialog = byId("closing");
  dialog.querySelector("form").reset();
  byId("closing-what").textContent = `${alert.label}, ${subject(alert)}`;
  byId("inspection").hidden = !alert.latched;
  byId("inspected").required = alert.latched;
  dialog.onclose = () => {
    if (dialog.returnValue !== "close") return;
    const outcome = dialog.querySelector("input[name=outcome]:checked").value;
    const current = state.alerts.get(alert.id) ?? alert;
    const inspected = byId("inspected").checked;
    act("Fermeture", "POST", "closure", current, { outcome, note: byId("note").value, inspected });
  };
  dialog.returnValue = "";
  dialog.showModal();
}

function select(step) {
  const { untaken, mine, others } = blocks();
  const ids = [...untaken, ...mine, ...others].map((alert) => alert.id);
  const at = ids.indexOf(state.selected);
  state.selected = ids[at < 0 ? 0 : Math.min(ids.length - 1, Math.max(0, at + step))] ?? null;
  show();
  document.querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (key) => {
  if (key.ctrlKey || key.altKey || key.metaKey || key.repeat && !key.key.startsWith("Arrow")) return;
  if (state.me === null || document.querySelector("dialog[open]") || key.target.matches("textarea, input:not([type=checkbox])")) return;
  const letter = key.key.length === 1 ? key.key.toLowerCase() : key.key;
  if (letter.length === 1 && !byId("letters").checked) return;
  const alert = state.alerts.get(state.selected);
  const doing = {
    j: () => select(1), ArrowDown: () => select(1), k: () => select(-1), ArrowUp: () => select(-1),
    a: () => alert && takeIt(alert), r: () => alert && release(alert), f: () => alert && close(alert),
  }[letter];
  if (doing === undefined) return;
  key.preventDefault();
  doing();
});

// --- what is on screen -------------------------------------------------------------------------------------

const SHAPES = { 1: ["▲", "P1"], 2: ["◆", "P2"], 3: ["●", "P3"] };
const GROUPS = { apn: "APN", carrier: "opérateur", firmware: "micrologiciel", region: "région" };
const group = ({ dimension, value }) => (dimension === "fleet" ? "tout le parc" : `${GROUPS[dimension] ?? dimension} ${value}`);
const subject = (alert) => (alert.fleet ? group(alert.fleet) : alert.device ?? alert.measures.join(", "));

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function facts(alert) {
  const words = [subject(alert)];
  if (alert.distance) {
    const { best_m: best, threshold_m: ring, at, fixes_at: fixes } = alert.distance;
    const since = fixes === null ? `mesuré à ${clock(at)}` : `positions de ${clock(fixes)}`;
    words.push(`à ${Math.round(best)} m (${precision(alert.distance)}), seuil ${ring} m, ${since}`);
  } else if (alert.fleet) {
    const { silent, expected, pairs } = state.incidents.get(alert.id) ?? alert.fleet;
    words.push(`${silent} appareils muets sur ${expected}, ${Array.isArray(pairs) ? pairs.length : pairs} paires`);
  } else if (alert.device === null) words.push("distance inconnue");
  if (alert.approach && alert.approach.wearer_share_pct !== null) words.push(`rapprochement : porteur ${alert.approach.wearer_share_pct} %`);
  if (mayNotCallYet(alert)) words.push(`appel du porteur au plus tôt à ${clock(alert.call_wearer_not_before)}`);
  if (alert.silent_since) words.push(`silence depuis ${clock(alert.silent_since)}`);
  if (alert.evidential_at) words.push(`franchissement certain depuis ${clock(alert.evidential_at)}`);
  if (alert.silent) words.push("appui silencieux");
  if (alert.raises > 1) words.push(`donnée ${alert.raises} fois`);
  if (alert.over_at) words.push(`${OVER[alert.code] ?? "terminé à"} ${clock(alert.over_at)}, à fermer`);
  if (alert.owner) words.push(`${isTaken(alert, serverNow()) ? "prise" : "prise expirée"} : ${alert.owner}`);
  return words.join(" · ");
}

// An early call tells the wearer where the ring is. Whatever is more urgent about the same measure overrides it.
function mayNotCallYet(alert) {
  if (alert.call_wearer_not_before === null || alert.over_at !== null) return false;
  const urgent = (other) => ["IMMINENT", "PROX_ALERT"].includes(other.code) && other.state !== "closed" &&
    other.over_at === null && other.measures.some((one) => alert.measures.includes(one));
  return serverNow() < Date.parse(alert.call_wearer_not_before) && ![...state.alerts.values()].some(urgent);
}

function precision({ accuracy_m: accuracy, lower_m: lower, upper_m: upper }) {
  if (lower !== null && upper !== null) return `entre ${Math.round(lower)} et ${Math.round(upper)} m`;
  return accuracy === null ? "précision inconnue" : `± ${Math.round(accuracy)} m`;
}

const OVER = {
  SYS_FLEET_SILENCE: "de nouveau joignables à", PROX_ALERT: "sorti de la zone à", PROX_PREALERT: "sorti de la zone à", IMMINENT: "n'approche plus depuis",
  DEGRADED: "protection rétablie à", W_GNSS_LOSS: "position retrouvée à", W_COMMS_LOSS: "de nouveau joignable à",
  V_COMMS_LOSS: "de nouveau joignable à", PROBING: "calme depuis une semaine, à", FROZEN_FIX: "bouge de nouveau depuis", CLOCK_SKEW: "à l'heure depuis",
  LOW_YIELD: "positions de nouveau reçues depuis", V_NOT_CARRIED: "bouge de nouveau depuis",
};

// What this row counts down to, while it is not over: [words, hour].
function countdown(alert) {
  if (alert.over_at !== null) return null;
  if (alert.alert_expected_at) return ["zone d'alerte", alert.alert_expected_at];
  const worst = alert.blind_risk?.worst_at ?? null;
  return worst === null ? null : ["risque à l'aveugle, au pire", worst];
}

const towards = (words, leftMs) => `${words} : ${leftMs > 0 ? "dans" : "depuis"} ${elapsed(Math.abs(leftMs))}`;

const clock = (time) => new Date(time).toLocaleTimeString("fr-FR");

function elapsed(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, "0");
  return s < 3600 ? `${two(Math.floor(s / 60))}:${two(s % 60)}` : `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)}`;
}

function row(alert, block, tinted) {
  const made = element("li", `alert p${alert.priority} ${block}${tinted ? " tinted" : ""}`, "");
  made.dataset.id = alert.id;
  made.setAttribute("aria-current", String(alert.id === state.selected));
  const [shape, word] = SHAPES[alert.priority] ?? ["○", `P${alert.priority}`];
  const timer = element("span", "timer", "");
  timer.dataset.since = alert.occurred_at;
  timer.dataset.until = block === "mine" ? alert.expires_at : "";
  const label = element("span", "label", alert.label);
  if (alert.low_confidence) label.append(element("span", "mark", "confiance faible"));
  made.append(element("span", "rank", `${shape} ${word}`), label, timer);
  const [words, hour] = countdown(alert) ?? [];
  if (words) made.append(until("countdown", words, hour));
  made.append(element("span", "facts", facts(alert)), element("span", "duty", alert.duty));
  const incident = state.incidents.get(alert.id);
  if (incident) made.append(urgentPairs(incident));
  made.onclick = () => { state.selected = alert.id; show(); };
  return made;
}

// The first pairs of a silent group.
const SILENT = { wearer: "porteur muet", protected: "personne protégée muette", both: "les deux muets" };

function urgentPairs({ pairs }) {
  const made = element("ol", "urgent", "");
  for (const one of pairs.slice(0, URGENT_SHOWN_MAX)) {
    const item = element("li", "", `${one.measure} · ${SILENT[one.silent] ?? one.silent} · `);
    item.dataset.measure = one.measure;
    const worst = one.blind_risk?.worst_at ?? null;
    item.append(worst === null ? "risque à l'aveugle : inconnu" : until("blind", "risque à l'aveugle, au pire", worst));
    made.append(item);
  }
  const more = pairs.length - URGENT_SHOWN_MAX;
  if (more > 0) made.append(element("li", "more", `et ${more} de plus`));
  return made;
}

// A text that `tick` keeps: how long until this hour, or since.
function until(className, words, hour) {
  const made = element("span", className, "");
  made.dataset.words = words;
  made.dataset.hour = hour;
  return made;
}

// --- who is not protected ----------------------------------------------------------------------------------

// The words of the engine; one that is not here is shown as it is.
const REASONS = {
  never_heard: "une unité jamais entendue", not_in_force: "mesure pas en vigueur",
  unbelieved_fix_inside: "position douteuse dans la zone d'alerte",
  one_reading_inside: "dernière position dans la zone d'alerte, distance présente incertaine",
  silent_in_reach: "unité silencieuse à portée de la zone d'alerte", rules_failed: "défaillance du calcul",
};
const STATES = { degraded: "◆ dégradée", unprotected: "■ sans protection", protected: "protégée" };

function pair(one) {
  const made = element("li", `pair ${one.protection}`, "");
  made.dataset.measure = one.measure;
  const what = element("span", "what", one.measure);
  const age = element("span", "why", "");
  age.dataset.age = one.since;
  age.dataset.words = `${REASONS[one.reason] ?? one.reason}, depuis ${clock(one.since)}`;
  what.append(" ", age);
  const worst = one.blind_risk?.worst_at ?? null;
  made.append(element("span", "state", STATES[one.protection] ?? one.protection), what,
    worst === null ? element("span", "blind", "risque à l'aveugle : inconnu") : until("blind", "risque à l'aveugle", worst));
  return made;
}

function showProtection() {
  const { items, counts } = state.protection;
  byId("protection").hidden = false;
  byId("protection-list").classList.add("known");
  byId("protection-list").replaceChildren(...items.map(pair));
  const more = counts.degraded + counts.unprotected - items.length;
  byId("protection-more").hidden = more <= 0;
  byId("protection-more").textContent = `et ${more} de plus`;
  tick();
}

function tickProtection(now) {
  for (const text of document.querySelectorAll("[data-hour]")) {
    const left = Date.parse(text.dataset.hour) - now;
    text.textContent = towards(text.dataset.words, left);
    text.classList.toggle("past", left <= 0);
  }
  for (const text of document.querySelectorAll("[data-age]")) {
    text.textContent = `${text.dataset.words} (${elapsed(now - Date.parse(text.dataset.age))})`;
  }
  if (state.protection === null) return;
  const { degraded, unprotected } = state.protection.counts;
  const age = performance.now() - state.protectionAt;
  byId("protection-count").textContent = `${degraded}${unprotected ? ` · sans protection : ${unprotected}` : ""}` +
    (age > PROTECTION_STALE_MS ? ` (vu il y a ${Math.floor(age / 1000)} s)` : "");
}

function show() {
  if (state.me === null) return;
  const all = blocks();
  if (!state.alerts.has(state.selected)) state.selected = [...all.untaken, ...all.mine, ...all.others][0]?.id ?? null;
  for (const [block, alerts] of Object.entries(all)) {
    byId(block).replaceChildren(...alerts.map((alert, place) => row(alert, block, place < TINTED_MAX)));
    byId(`${block}-count`).textContent = alerts.length ? `(${alerts.length})` : "";
  }
  const urgent = all.untaken.filter((alert) => alert.priority === 1).length;
  byId("counts").textContent = `${all.untaken.length} à prendre, dont ${urgent} P1`;
  document.title = all.untaken.length ? `(${all.untaken.length}) Tocsin` : "Tocsin";
  state.shown = Object.values(all).map((alerts) => alerts.map((alert) => alert.id)).join("|");
  tick();
}

const linkAgeMs = () => (state.heardAt === null ? Infinity : performance.now() - state.heardAt);

function tick() {
  if (state.me === null) return;
  const now = serverNow();
  for (const timer of document.querySelectorAll(".timer")) {
    const left = timer.dataset.until ? Date.parse(timer.dataset.until) - now : null;
    timer.textContent = elapsed(now - Date.parse(timer.dataset.since)) + (left === null ? "" : ` · reste ${elapsed(left)}`);
    timer.classList.toggle("late", left !== null && left < 30000);
  }
  tickProtection(now);
  const age = linkAgeMs();
  const banner = byId("banner");
  const stale = age > AMBER_AFTER_MS;
  const deaf = !stale && state.logAgeMs > LOG_SILENT_MS;
  const ageS = state.heardAt === null ? null : Math.floor(age / 1000);
  banner.hidden = !stale && !deaf;
  banner.className = `banner ${age > RED_AFTER_MS || deaf ? "red" : "amber"}`;
  const news = ageS === null ? "aucune nouvelle du serveur" : `dernières nouvelles il y a ${ageS} s`;
  const words = deaf ? "Le serveur répond, mais il n'entend plus le journal des alertes" : `Liaison perdue : ${news}`;
  if (!banner.hidden && banner.textContent !== words) banner.textContent = words;
  byId("link").textContent = stale ? "liaison perdue" : `en direct · ${state.consoles} console${state.consoles > 1 ? "s" : ""}`;
  const order = Object.values(blocks()).map((alerts) => alerts.map((alert) => alert.id)).join("|");
  if (order !== state.shown) show(); // an acknowledgement expired: nobody tells, the hour does
}

function say(words) {
  byId("said").textContent = words;
  byId("said").hidden = false;
}

function hush() {
  byId("said").hidden = true;
}

// --- taking up the service ---------------------------------------------------------------------------------

async function signIn(why = "") {
  const dialog = byId("sign-in");
  byId("sign-in-why").textContent = why;
  const byToken = state.me === null || state.me.auth === "token";
  byId("token-field").hidden = !byToken;
  byId("name-field").hidden = byToken;
  await new Promise((done) => {
    dialog.onclose = done;
    dialog.showModal();
  });
  if (byToken) {
    state.token = byId("token").value.trim();
    sessionStorage.setItem("tocsin-token", state.token);
  } else {
    state.name = byId("name").value.trim();
    sessionStorage.setItem("tocsin-name", state.name);
  }
  return start();
}

async function start() {
  state.me = null;
  let answer;
  for (;;) {
    try {
      answer = await ask("GET", "/me");
      if (answer.ok || answer.status === 401) break;
    } catch { /* the server is not there yet */ }
    byId("link").textContent = "pas de réponse du serveur";
    await new Promise((resume) => setTimeout(resume, RETRY_MS));
  }
  if (!answer.ok) return signIn(state.token ? "Ce jeton n'est pas accepté." : "");
  state.me = answer.said;
  if (state.me.auth === "off") {
    if (!state.name) return signIn();
    state.me.name = state.name;
  }
  byId("who").textContent = `${state.me.name} (${state.me.role})`;
  byId("realm").hidden = state.me.realm === "production";
  byId("realm").textContent = state.me.realm === "exercise" ? "exercice" : "laboratoire";
  byId("protection").hidden = !state.me.permissions.includes("see-protection");
  byId("proof").hidden = !state.me.permissions.includes("take-evidence");
  askProtection();
  return follow();
}

setInterval(tick, 250);
setInterval(askProtection, PROTECTION_EVERY_MS);
setInterval(askIncidents, PROTECTION_EVERY_MS);
document.addEventListener("DOMContentLoaded", start);
globalThis.tocsin = { urgency };
