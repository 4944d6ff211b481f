// The status document -> rows to show. No page, no clock: everything here is values.

export const STATES = ["down", "failing", "out", "unknown", "up"];
const OUT = ["maintenance", "drained", "removed"];
const KEPT = 40;

/** How one server is, as a word that says what an operator would do about it. */
export function stateOf(real) {
  const out = OUT.find((word) => real.reasons.includes(word));
  if (out) return out;
  if (real.phase !== "up") return real.phase;
  if (real.refused || real.reasons.includes("refused")) return "failing";
  return real.checks.some((check) => check.last?.outcome === "fail") ? "failing" : "up";
}

const groupOf = (state) => (OUT.includes(state) ? "out" : state);

/** What stands in the column of the state. */
export function labelOf(real, state) {
  if (OUT.includes(state)) return real.phase === "down" ? `${state}, down` : state;
  const worst = real.checks.find((check) => check.phase === "up" && check.last?.outcome === "fail");
  if (state === "failing") return worst ? `failing ${worst.streak}/${worst.fall}` : "refused";
  return real.checks.some((check) => check.inconclusive >= 3) ? `${state}, unsure` : state;
}

/** Who asked for it and why, or what the table or a check says. */
export function whyOf(real) {
  const said = real.overrides.map(spoken);
  for (const wish of real.wishes) if (wish.source !== "operators") said.push(`${wish.source}: ${wish.why}`);
  if (!said.length && real.admin !== "enabled") said.push(`${real.admin} as configured`);
  if (real.refused) said.push(`the table refused to ${real.refused}`);
  if (real.reasons.includes("edited")) said.push("its row was edited by somebody else");
  return said.join("; ");
}

/** An override in words; the end is left to `until`. */
export function spoken(override) {
  const what = override.kind === "weight" ? `weight ${override.weight}` : override.kind;
  return `${what} by ${override.who}${override.why ? `: ${override.why}` : ""}`;
}

/** The last answer of the check that matters most: one that fails before those that pass. */
function answerOf(real) {
  const seen = real.checks.filter((check) => check.last);
  const check = seen.find((one) => one.last.outcome !== "pass") || seen[0];
  if (!check) return { outcome: "none", text: real.checks.length ? "not asked yet" : "no check" };
  const { outcome, detail } = check.last;
  return { outcome, text: `${check.kind}${outcome === "inconclusive" ? " could not ask" : ""}: ${detail}` };
}

/** Every service, each followed by its servers. */
export function rowsOf(document) {
  return document.services.flatMap((service) => {
    const servers = service.reals.map((real) => serverRow(service, real));
    return [serviceRow(service, servers), ...servers];
  });
}

function serviceRow(service, servers) {
  const serving = service.reals.filter((real) => real.weight > 0).length;
  const marks = [];
  if (!service.present) marks.push(["not in the table", "down"]);
  if (service.refused) marks.push([`refused: ${service.refused}`, "down"]);
  if (service.fallback?.active) marks.push([`fallback ${service.fallback.address} in use`, "failing"]);
  if (service.edited) marks.push(["edited by somebody else", "failing"]);
  if (service.admin !== "enabled") marks.push([service.admin, "drained"]);
  for (const row of service.others) marks.push([`not configured: ${row.address}, weight ${row.weight}`, "unknown"]);
  const health = serving ? (servers.every((row) => row.state === "up") ? "up" : "failing") : "down";
  const about = [...new Set([service.name, service.virtual])];
  return {
    kind: "service", key: service.virtual, names: [service.name], service, serving, marks, health,
    of: service.reals.length, name: about[0], virtual: about[1] || "", search: about.join(" ").toLowerCase(),
  };
}

function serverRow(service, real) {
  const state = stateOf(real), why = whyOf(real), answer = answerOf(real), label = labelOf(real, state);
  const words = [service.name, service.virtual, real.address, real.name, label, why, answer.text, ...real.reasons];
  return {
    kind: "server", key: `${service.virtual} ${real.address}`, names: [service.name, real.address], service, real,
    state, group: groupOf(state), label, why, answer, search: words.join(" ").toLowerCase(),
  };
}

/** How many servers are in each group. */
export function counted(rows) {
  const counts = Object.fromEntries([["all", 0], ...STATES.map((state) => [state, 0])]);
  for (const row of rows) {
    if (row.kind !== "server") continue;
    counts.all += 1;
    counts[row.group] = (counts[row.group] || 0) + 1;
  }
  return counts;
}

/** The servers that are in a group and have every word, under their services. */
export function chosen(rows, group, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  let head = null;
  for (const row of rows) {
    if (row.kind === "service") {
      head = row;
      if (!row.of && group === "all" && words.every((word) => row.search.includes(word))) found.push(row);
    } else if ((group === "all" || row.group === group) && words.every((word) => row.search.includes(word))) {
      if (head) found.push(head);
      head = null;
      found.push(row);
    }
  }
  return found;
}

/** Remembers the last answers of each server. */
export class Past {
  #seen = new Map();

  /** Take what a document says. at: seconds when it came. */
  take(rows, at) {
    const there = new Set();
    for (const row of rows) {
      if (row.kind !== "server") continue;
      there.add(row.key);
      const last = row.real.checks.map((check) => check.last).filter(Boolean);
      if (last.length) this.#add(row.key, last, at);
    }
    for (const key of this.#seen.keys()) if (!there.has(key)) this.#seen.delete(key);
  }

  #add(key, last, at) {
    const when = at - Math.min(...last.map((one) => one.age));
    const known = this.#seen.get(key) || [];
    if (known.length && when - known.at(-1).when < 0.1) return;
    const passed = last.every((one) => one.outcome === "pass");
    known.push({ when, took: Math.max(...last.map((one) => one.took_ms)), passed });
    this.#seen.set(key, known.slice(-KEPT));
  }

  /** The last answers of a server, oldest first. */
  of(key) {
    return this.#seen.get(key) || [];
  }
}
