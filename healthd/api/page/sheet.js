// One server or service explained: what is so, why, and what would bring it back; and what may be asked for it.

import { Trouble, ask, named } from "./client.js";
import { $, ago, clock, make, write } from "./dom.js";
import { Order } from "./order.js";
import { labelOf, spoken, stateOf } from "./model.js";

export class Sheet {
  #names = null;
  #facts = make("div", { className: "facts" });
  #said = make("p", { role: "status", className: "said" });
  #changed;

  /** changed: called after something was changed. */
  constructor(changed) {
    this.#changed = changed;
    $("sheet").addEventListener("close", () => { this.#names = null; });
    $("sheet").addEventListener("click", (event) => { if (event.target === $("sheet")) $("sheet").close(); });
  }

  /** Explain a row. caller: as whom we ask. kind: what to ask for at once, if anything. */
  async open(row, caller, kind = "") {
    this.#names = row.names;
    this.#facts.replaceChildren(make("p", { className: "muted" }, "asking \u2026"));
    write(this.#said, "");
    const close = make("button", { type: "button", className: "close", onclick: () => $("sheet").close() }, "Close");
    const title = make("h2", { id: "sheet-title" }, row.names.at(-1), row.kind === "server" ? make("small", {}, ` of ${row.service.name}`) : "");
    const order = caller.may_write ? new Order(row, (said) => this.#done(said)) : null;
    $("sheet").replaceChildren(make("header", {}, title, close), ...(order ? [order.node] : []), this.#said, this.#facts);
    $("sheet").writes = caller.may_write;
    $("sheet").showModal();
    if (order && kind) order.begin(kind);
    await this.renew();
  }

  /** Ask again, unless somebody is at work in what is shown. */
  async renew() {
    const names = this.#names;
    if (!names || this.#facts.contains(document.activeElement)) return;
    try {
      const told = await ask(named("/v1/explain", names));
      if (names !== this.#names) return;
      this.#facts.replaceChildren(...(told.servers || []).flatMap((one) => this.#server(one)),
        ...(told.services || []).flatMap(service));
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      if (names === this.#names) this.#facts.replaceChildren(make("p", { className: "alarm" }, error.message));
    }
  }

  async #done(said) {
    write(this.#said, said);
    this.#changed();
    await this.renew();
  }

  #server(told) {
    const why = told.why.map((one) => make("li", {}, make("b", {}, one.reason), ` \u2014 ${one.because}`));
    const back = told.comes_back.map((step) => make("li", {}, ...quoted(step)));
    return [
      standing(told),
      section("Why", why.length ? make("ul", {}, ...why) : make("p", {}, "Nothing ails it: it has its configured weight.")),
      back.length ? section("To come back", make("ul", {}, ...back)) : null,
      told.overrides.length ? section("Asked for", make("ul", {}, ...told.overrides.map((one) => this.#override(one)))) : null,
      section("Checks", ...told.checks.map(check)),
      section("Facts", facts(told)),
      told.past.length ? section("Last events", past(told.past)) : null,
      section("In words", make("pre", {}, told.text)),
    ].filter(Boolean);
  }

  #override(override) {
    const until = override.until ? `, until ${clock(override.until)}` : "";
    const where = override.server ? (override.service ? "" : " (in every service)") : " (the whole service)";
    const item = make("li", {}, `${spoken(override)}${where}, since ${clock(override.since)}${until} `);
    if ($("sheet").writes) {
      item.append(make("button", { type: "button", onclick: () => this.#withdraw(override) }, `End ${override.kind}`));
    }
    return item;
  }

  async #withdraw(override) {
    document.activeElement.blur();
    try {
      const names = [override.service, override.server].filter(Boolean);
      await ask("/v1/overrides", "DELETE", { names, kinds: [override.kind] });
      await this.#done(`${override.kind} ended`);
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      write(this.#said, error.message);
    }
  }
}

const section = (title, ...children) => make("section", {}, make("h3", {}, title), ...children);

function standing(told) {
  const state = stateOf(told), lasting = told.for === null ? "" : ` ${told.phase} for ${ago(told.for)}`;
  return make("p", { className: "standing", data: { state } }, make("span", { className: "shape" }),
    make("span", { className: "label" }, labelOf(told, state)),
    make("span", { className: "muted" }, `${lasting}, weight ${told.weight ?? "\u2013"} of ${told.configured_weight}`));
}

/** A text in which a command stands between backticks. */
const quoted = (text) => text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));

function pairs(entries) {
  const shown = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", {}, ...shown.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
}

function check(told) {
  const { last } = told, pace = told.fast === null ? "" : `, ${told.fast} s in doubt`;
  return pairs([
    [`${told.kind} of ${told.target}`, told.streak ? `${told.phase}, streak ${told.streak}` : told.phase],
    ["asked", `every ${told.interval} s${pace}; timeout ${told.timeout} s; rise ${told.rise}, fall ${told.fall}`],
    ["last answer", last ? `${ago(last.age)} ago: ${last.outcome} (${last.reason}) in ${last.took_ms} ms` : "none yet"],
    ["it said", last?.detail],
    ["could not ask", told.inconclusive ? `${told.inconclusive} times in a row` : ""],
  ]);
}

function facts(told) {
  const counts = told.connections;
  return pairs([
    ["weight in the table", told.weight ?? "no row"],
    ["configured weight", told.configured_weight],
    ["asked for by checks", told.asked_weight],
    ["ordered", told.ordered_weight],
    ["written", told.written === null ? null : `${ago(told.written)} ago`],
    ["connections", counts && `${counts.active} active, ${counts.inactive} inactive, ${counts.persistent} persistent`],
    ["configured at", told.config],
  ]);
}

function past(events) {
  return make("ul", { className: "past" },
    ...events.toReversed().map((event) => make("li", {}, make("time", {}, clock(event.at)), ` ${event.message}`)));
}

function service(told) {
  const reals = told.reals.map((real) => make("li", {}, make("b", {}, real.address), ` ${real.phase}, weight ${real.weight ?? "\u2013"}`,
    ...real.why.map((one) => ` \u2014 ${one.reason}: ${one.because}`)));
  return [
    section("Servers", make("ul", {}, ...reals)),
    section("Facts", pairs([
      ["virtual", told.virtual], ["scheduler", told.scheduler], ["on failure", told.on_failure],
      ["fallback", told.fallback && `${told.fallback.address}, ${told.fallback.active ? "in use" : "not needed"}`],
      ["configured at", told.config],
    ])),
    section("In words", make("pre", {}, told.text)),
  ];
}
