// The page: asks for the status again and again, sooner when something happens, and shows what is chosen.

import { Board } from "./board.js";
import { Trouble, ask, follow, token } from "./client.js";
import { $, ago, clock, make, mark, write } from "./dom.js";
import { Past, STATES, chosen, counted, rowsOf } from "./model.js";
import { Sheet } from "./sheet.js";

const EVERY = 3000, SELDOM = 10_000, SOON = 150;
const REST = 10; // the daemon rests so many times as long as it took to answer
const MOST_EVENTS = 200, SILENT = 5;
const GROUPS = [["all", "All"], ["down", "Down"], ["failing", "Failing"], ["out", "Taken out"], ["unknown", "Unknown"], ["up", "Up"]];
const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };
const BAD = new Set(["server-down", "service-down", "fallback-on", "table-lost", "prober-lost", "row-refused", "reload-failed"]);
const GOOD = new Set(["server-up", "service-up", "fallback-off", "table-back", "server-steady", "server-sure"]);

const past = new Past();
const board = new Board(past, (row) => sheet.open(row, caller));
const sheet = new Sheet(() => refresh(0));
let caller = { name: "", may_write: false }, rows = [], group = "all", status = null;
let heard = 0, trouble = null, pid = 0, timer = 0, asking = false, again = false, begun = false, rejoin = null;

// --- asking -----------------------------------------------------------------------------------------------------

function refresh(after) {
  if (asking) { again = true; return; }
  clearTimeout(timer);
  timer = setTimeout(poll, after);
}

async function poll() {
  asking = true;
  const at = performance.now();
  let rest = EVERY;
  try {
    if (!begun) await begin();
    status = await ask("/v1/status?counters");
    await sameDaemon();
    arrived();
    rest = Math.min(SELDOM, Math.max(EVERY, REST * (performance.now() - at)));
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    lost(error);
  } finally {
    asking = false;
    refresh(again ? SOON : document.hidden ? 5 * rest : rest);
    again = false;
  }
}

/** As whom we ask, what happened so far, and from then on what happens. */
async function begin() {
  caller = await ask("/v1/caller");
  write($("who"), `as ${caller.name}${caller.may_write ? "" : ", to look only"}`);
  write($("leave"), token.get() ? "Forget token" : "Use a token");
  $("leave").hidden = false;
  const last = await pastEvents();
  if (rejoin) rejoin(last);
  else rejoin = follow(last, {
    told: (event) => { addEvent(event); refresh(SOON); },
    joined: () => refresh(SOON),
    lost: (error) => { if (error.status === 401) lost(error); else refresh(SOON); },
  });
  begun = true;
}

async function pastEvents() {
  const { events } = await ask(`/v1/events?limit=${MOST_EVENTS}`);
  $("events").replaceChildren();
  events.forEach(addEvent);
  return events.at(-1)?.id ?? 0;
}

/** A daemon that started anew may count its events anew, and may let us do other things. */
async function sameDaemon() {
  if (pid && pid !== status.pid) {
    caller = await ask("/v1/caller");
    rejoin(await pastEvents());
  }
  pid = status.pid;
}

function arrived() {
  heard = Date.now();
  trouble = null;
  rows = rowsOf(status);
  past.take(rows, heard / 1000);
  showAll();
  sheet.renew();
}

function lost(error) {
  trouble = error;
  if (error.status === 401) askToken(error);
  showState();
}

// --- showing ----------------------------------------------------------------------------------------------------

function showAll() {
  showState();
  const counts = counted(rows);
  for (const [name, text] of GROUPS) {
    const button = $(`group-${name}`);
    write(button.lastChild, `${text} ${counts[name]}`);
    button.setAttribute("aria-pressed", String(name === group));
    button.classList.toggle("none", !counts[name]);
  }
  const found = chosen(rows, group, $("search").value);
  board.show(found);
  $("nothing").hidden = found.length > 0;
  write($("nothing"), rows.length ? "No server is so. Esc in the search shows all again." : "No service is configured.");
  document.title = `${counts.down ? `(${counts.down} down) ` : ""}healthd ${location.host}`;
}

function showState() {
  const state = trouble ? "away" : heard ? "live" : "asking";
  mark($("link"), "link", state);
  mark(document.body, "link", state);
  write($("link"), { live: "live", asking: "asking", away: trouble?.status === 401 ? "no token" : "away" }[state]);
  write($("since"), trouble && heard ? `for ${ago((Date.now() - heard) / 1000)}` : "");
  const alarms = [];
  if (trouble && trouble.status !== 401) {
    const since = heard ? ` since ${clock(heard)}; everything below is as of then` : "";
    alarms.push(`healthd does not answer${since}: ${trouble.message}`);
  }
  if (status && !status.table.ok) alarms.push(`The table cannot be kept: ${status.table.error}. Weights are those it had when it could last be asked.`);
  if (status?.prober.age > SILENT) alarms.push(`The prober has said nothing for ${ago(status.prober.age)}.`);
  if (status?.log.away) alarms.push(`The log cannot be written: ${status.log.last_error}`);
  if ($("alarms").textContent !== alarms.join("")) {
    $("alarms").replaceChildren(...alarms.map((text) => make("p", { className: "alarm" }, text)));
  }
}

function addEvent(event) {
  const tone = BAD.has(event.kind) ? "bad" : GOOD.has(event.kind) ? "good" : "plain";
  const item = make("li", { data: { tone } }, make("time", { dateTime: event.at, title: event.at }, clock(event.at)),
    make("span", { className: "kind" }, event.kind), make("span", { className: "message" }, event.message));
  $("events").prepend(item);
  while ($("events").children.length > MOST_EVENTS) $("events").lastChild.remove();
}

// --- people -----------------------------------------------------------------------------------------------------

function askToken(error) {
  write($("token-why"), token.get() ? error.message : "");
  if (!$("token").open) $("token").showModal();
}

function chooseGroup(name) {
  group = group === name ? "all" : name;
  showAll();
  scrollTo(0, 0);
}

function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("healthd.theme", theme);
  write($("theme"), THEMES[theme]);
}

function nextTheme() {
  const names = Object.keys(THEMES), now = names.indexOf(document.documentElement.dataset.theme);
  showTheme(names[(now + 1) % names.length]);
}

function act(kind) {
  const row = board.chosen;
  if (row && (!kind || caller.may_write)) sheet.open(row, caller, kind);
}

const KEYS = {
  "/": () => $("search").select(), j: () => board.move(1), ArrowDown: () => board.move(1), k: () => board.move(-1),
  ArrowUp: () => board.move(-1), Enter: () => act(""), d: () => act("drain"), m: () => act("maintenance"), t: nextTheme,
  "?": () => $("help").showModal(),
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target === $("search")) {
    if (event.key === "Escape") { $("search").value = ""; showAll(); }
    if (!["Escape", "Enter", "ArrowDown"].includes(event.key)) return;
    $("grid").focus({ preventScroll: true });
    if (event.key === "Escape") return;
    board.move(event.key === "ArrowDown" || !board.chosen ? 1 : 0);
    event.preventDefault();
    return;
  }
  const scrolls = event.target.closest("#events"), presses = event.target.closest("button, a");
  if ((scrolls && event.key.startsWith("Arrow")) || (presses && event.key === "Enter")) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function prepare() {
  write($("place"), location.host);
  for (const [name, text] of GROUPS) {
    const button = make("button", { type: "button", id: `group-${name}`, data: { state: name }, onclick: () => chooseGroup(name) },
      make("span", { className: "shape" }), make("span", {}, text));
    $("states").append(button);
  }
  showTheme(document.documentElement.dataset.theme in THEMES ? document.documentElement.dataset.theme : "auto");
  $("theme").onclick = nextTheme;
  $("ask-help").onclick = () => $("help").showModal();
  $("leave").onclick = () => {
    if (!token.get()) return $("token").showModal();
    token.forget();
    location.reload();
  };
  $("search").addEventListener("input", showAll);
  $("token").addEventListener("close", () => {
    if (!$("token-text").value.trim()) return;
    token.set($("token-text").value.trim());
    $("token-text").value = "";
    begun = false;
    refresh(0);
  });
  $("token").addEventListener("cancel", (event) => { if (trouble?.status === 401) event.preventDefault(); });
  addEventListener("keydown", pressed);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(0); });
  setInterval(() => { if (trouble) showState(); }, 1000);
}

prepare();
refresh(0);
