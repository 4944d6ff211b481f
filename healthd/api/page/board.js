// The rows. Only those that are near the window are elements; each is changed in place.

import { $, ago, make, mark, write } from "./dom.js";
import { draw } from "./spark.js";

const ALL_AT_ONCE = 200; // so many are always there, for the browser's own search
const NEAR = 600;

export class Board {
  #rows = [];
  #tops = [];
  #there = new Map();
  #chosen = "";
  #made = 0;
  #past;
  #open;
  #heights = { service: 0, server: 0 };

  /** past: answers of before. open: called with the row that somebody wants to know of. */
  constructor(past, open) {
    this.#past = past;
    this.#open = open;
    this.#measure();
    addEventListener("scroll", () => this.#paint(), { passive: true });
    addEventListener("resize", () => { this.#measure(); this.show(this.#rows); });
    $("rows").addEventListener("click", (event) => {
      const row = this.#rows.find((one) => one.key === event.target.closest("[data-key]")?.dataset.key);
      if (!row || getSelection().toString()) return;
      this.#choose(row);
      this.#open(row);
    });
  }

  /** Show these rows. */
  show(rows) {
    this.#rows = rows;
    let top = 0;
    this.#tops = rows.map((row) => { const here = top; top += this.#heights[row.kind]; return here; });
    $("rows").style.height = `${top}px`;
    $("grid").setAttribute("aria-rowcount", rows.length + 1);
    this.#paint();
  }

  get chosen() {
    return this.#rows.find((row) => row.key === this.#chosen);
  }

  /** Choose the row so many below. */
  move(by) {
    const now = this.#rows.findIndex((row) => row.key === this.#chosen);
    const next = now < 0 ? (by > 0 ? 0 : this.#rows.length - 1) : now + by;
    const row = this.#rows[Math.max(0, Math.min(this.#rows.length - 1, next))];
    if (!row) return;
    this.#choose(row);
    this.#bringIntoView(this.#rows.indexOf(row));
  }

  #measure() {
    const root = document.documentElement, style = getComputedStyle(root);
    root.style.setProperty("--bar", `${document.querySelector(".bar").offsetHeight}px`);
    for (const kind of ["service", "server"]) this.#heights[kind] = parseFloat(style.getPropertyValue(`--${kind}-height`));
  }

  #choose(row) {
    this.#chosen = row.key;
    this.#paint();
  }

  #bringIntoView(index) {
    const box = $("rows").getBoundingClientRect(), height = this.#heights[this.#rows[index].kind];
    const top = box.top + this.#tops[index], above = document.querySelector(".bar").getBoundingClientRect().bottom + 40;
    if (top < above) scrollBy(0, top - above);
    else if (top + height > innerHeight) scrollBy(0, top + height - innerHeight + 8);
    this.#paint();
  }

  #window() {
    if (this.#rows.length <= ALL_AT_ONCE) return [0, this.#rows.length];
    const top = -$("rows").getBoundingClientRect().top;
    const first = this.#tops.findIndex((here) => here >= top - NEAR);
    const last = this.#tops.findIndex((here) => here > top + innerHeight + NEAR);
    return [first < 0 ? this.#rows.length : first, last < 0 ? this.#rows.length : last];
  }

  /** Which service one is in the middle of, where its name has scrolled away. */
  #showWhere() {
    const top = document.querySelector(".heads").getBoundingClientRect().bottom - $("rows").getBoundingClientRect().top;
    const first = top > 0 ? this.#rows[this.#tops.findIndex((here) => here > top) - 1] : undefined;
    write($("here"), first?.kind === "server" ? `of ${first.service.name}` : "");
  }

  #paint() {
    this.#showWhere();
    const [first, last] = this.#window(), wanted = this.#rows.slice(first, last);
    const keys = new Set(wanted.map((row) => row.key));
    for (const [key, node] of this.#there) {
      if (!keys.has(key)) { node.remove(); this.#there.delete(key); }
    }
    let before = null;
    wanted.forEach((row, offset) => {
      const node = this.#there.get(row.key) || this.#add(row);
      if (!node.parentElement || node.previousElementSibling !== before) {
        if (before) before.after(node); else $("rows").prepend(node);
      }
      before = node;
      this.#fill(node, row, first + offset);
    });
    const current = this.#there.get(this.#chosen);
    if (current) $("grid").setAttribute("aria-activedescendant", current.id);
    else $("grid").removeAttribute("aria-activedescendant");
  }

  #add(row) {
    const node = row.kind === "service" ? serviceNode() : serverNode();
    node.id = `row-${this.#made++}`;
    node.dataset.key = row.key;
    this.#there.set(row.key, node);
    return node;
  }

  #fill(node, row, index) {
    node.style.top = `${this.#tops[index]}px`;
    node.setAttribute("aria-rowindex", index + 2);
    node.setAttribute("aria-selected", row.key === this.#chosen);
    if (node.filledWith === row) return;
    if (row.kind === "service") fillService(node, row);
    else fillServer(node, row, this.#past.of(row.key));
    node.filledWith = row;
  }
}

const cell = (className, ...children) => make("span", { className, role: "gridcell" }, ...children);

function serviceNode() {
  return make("div", { className: "row service", role: "row" },
    cell("name", make("strong"), make("span", { className: "virtual" })),
    cell("serving"), cell("marks"));
}

function fillService(node, row) {
  const [name, serving, marks] = node.children;
  write(name.children[0], row.name);
  write(name.children[1], [row.virtual, row.service.scheduler].filter(Boolean).join("  "));
  write(serving, `${row.serving} of ${row.of} serving`);
  mark(serving, "state", row.health);
  marks.replaceChildren(...row.marks.map(([text, state]) => make("span", { className: "mark", data: { state } }, text)));
}

function serverNode() {
  return make("div", { className: "row server", role: "row" },
    cell("address", make("span", { className: "text" }), make("span", { className: "called" })),
    cell("state", make("span", { className: "shape" }), make("span", { className: "label" }), make("span", { className: "for" })),
    cell("number weight"), cell("number conns"), cell("latency", make("span", { className: "spark" }), make("span", { className: "ms" })),
    cell("why"));
}

function fillServer(node, row, past) {
  const { real } = row, [address, state, weight, conns, latency, why] = node.children;
  mark(node, "state", row.state);
  write(address.children[0], real.address);
  write(address.children[1], real.name);
  write(state.children[1], row.label);
  write(state.children[2], real.for === null ? "" : ago(real.for));
  write(weight, `${real.weight ?? "\u2013"} / ${real.configured_weight}`);
  mark(weight, "full", String(real.weight === real.configured_weight));
  write(conns, real.connections ? `${real.connections.active} / ${real.connections.inactive}` : "\u2013");
  const last = past.at(-1);
  write(latency.children[1], last ? `${last.took < 10 ? last.took.toFixed(1) : Math.round(last.took)} ms` : "");
  draw(latency.children[0], past);
  write(why, [row.why, row.why && row.answer.outcome === "pass" ? "" : row.answer.text].filter(Boolean).join(" \u2014 "));
  mark(why, "tone", row.why ? "asked" : row.answer.outcome);
  if (why.title !== why.textContent) why.title = why.textContent;
}
