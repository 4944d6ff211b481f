// Asking for something: drain, maintenance, another weight, a probe now. The daemon may refuse, and says why.

import { Trouble, ask } from "./client.js";
import { make, write } from "./dom.js";

const KINDS = [["drain", "Drain"], ["maintenance", "Maintenance"], ["weight", "Weight"]];
const TIMES = [["", "until it is ended"], [900, "15 minutes"], [3600, "1 hour"], [4 * 3600, "4 hours"], [86400, "1 day"]];

export class Order {
  #row;
  #done;
  #kind = "";
  #refusal = make("p", { className: "alarm", role: "alert", hidden: true });
  #why = make("input", { name: "why", maxLength: 200, autocomplete: "off", placeholder: "kernel update, ticket 4711" });
  #time = make("select", { name: "lasting" }, ...TIMES.map(([value, text]) => make("option", { value }, text)));
  #weight = make("input", { name: "weight", type: "number", min: 0, max: 2147483647, required: true });
  #whole = make("input", { type: "checkbox", name: "whole" });
  #send = make("button", { className: "main" });
  #force = make("button", { type: "button", className: "danger", hidden: true, onclick: () => this.#order(true) }, "Do it all the same");
  #form;

  /** row: whom it is about. done: called with a sentence once something was done. */
  constructor(row, done) {
    this.#row = row;
    this.#done = done;
    const host = row.names.at(-1).replace(/:\d+$/, "");
    const weight = make("label", { className: "of-weight" }, "Weight ", this.#weight);
    const whole = make("label", { hidden: row.kind !== "server" }, this.#whole, ` the whole host ${host}, in every service`);
    this.#form = make("form", { hidden: true, onsubmit: (event) => { event.preventDefault(); this.#order(false); } },
      make("label", {}, "Reason ", this.#why), make("label", {}, "For ", this.#time), weight, whole, this.#refusal,
      make("p", { className: "buttons" }, this.#send, this.#force));
    const buttons = KINDS.filter(([kind]) => kind !== "weight" || row.kind === "server").map(([kind, text]) =>
      make("button", { type: "button", data: { kind }, aria: { expanded: "false" }, onclick: () => this.begin(kind) }, text));
    const now = make("button", { type: "button", onclick: () => this.#checkNow() }, "Check now");
    this.node = make("div", { className: "order" }, make("p", { className: "buttons" }, ...buttons, now), this.#form);
  }

  /** Show the form of a kind of order; hide it if it is shown. */
  begin(kind) {
    const again = this.#kind === kind && !this.#form.hidden;
    this.#kind = this.#form.dataset.kind = kind;
    this.#weight.disabled = kind !== "weight";
    this.#show(!again);
    write(this.#send, `${KINDS.find(([name]) => name === kind)[1]} ${this.#row.names.at(-1)}`);
    this.#refuse("", false);
    if (!again) this.#why.focus();
  }

  #show(shown) {
    this.#form.hidden = !shown;
    for (const button of this.node.querySelectorAll("button[data-kind]")) {
      button.setAttribute("aria-expanded", String(shown && button.dataset.kind === this.#kind));
    }
  }

  #names() {
    return this.#whole.checked ? [this.#row.names.at(-1).replace(/:\d+$/, "")] : this.#row.names;
  }

  async #order(force) {
    const order = { names: this.#names(), kind: this.#kind, why: this.#why.value.trim(), force };
    if (this.#time.value) order.lasting = Number(this.#time.value);
    if (this.#kind === "weight") order.weight = Number(this.#weight.value);
    await this.#asked(async () => {
      const { unsaved } = await ask("/v1/overrides", "POST", order);
      this.#show(false);
      return `${this.#kind} of ${order.names.join(" ")} is in force${unsaved ? `, but will not outlive the daemon: ${unsaved}` : ""}`;
    });
  }

  async #checkNow() {
    await this.#asked(async () => {
      const { probes } = await ask("/v1/check-now", "POST", { names: this.#row.names });
      return probes === 1 ? "one probe is on its way" : `${probes} probes are on their way`;
    });
  }

  async #asked(action) {
    this.#send.disabled = true;
    try {
      const said = await action();
      this.#refuse("", false);
      this.#done(said);
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      this.#form.hidden = false;
      this.#refuse(error.message.replace(/ \(--force .*\)$/, ""), error.status === 409);
    } finally {
      this.#send.disabled = false;
    }
  }

  #refuse(why, mayInsist) {
    write(this.#refusal, why && `Refused: ${why}`);
    this.#refusal.hidden = !why;
    this.#force.hidden = !mayInsist;
  }
}
