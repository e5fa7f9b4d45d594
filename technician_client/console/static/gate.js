// What stands in front of a panel until its permission is there: the form that asks, the wait, the refusal, the end.

import { askWords } from "./ask_words.js";
import { element, foreign } from "./dom.js";
import { countdown } from "./format.js";
import { notice } from "./notice.js";
import { ALL } from "./permissions.js";

const LENGTHS = [
  [900, "15 minutes"],
  [1800, "30 minutes"],
  [3600, "1 hour"],
  [7200, "2 hours"],
];
let formNo = 0;

export class Gate {
  #mode = "";

  // `grantable` opens the gate, and is all that it asks for; `title` and `text` say what is behind it
  constructor(host, workspace, { grantable, title, text }) {
    Object.assign(this, { host, workspace, grantable, title, text });
    workspace.addEventListener("change", () => this.draw());
    setInterval(() => this.#tick(), 500);
    this.draw();
  }

  draw() {
    const mode = this.#modeNow();
    if (mode === this.#mode) return;
    const hadFocus = this.host.contains(document.activeElement);
    this.#mode = mode;
    this.host.hidden = mode === "open";
    this.host.replaceChildren(...(mode === "open" ? [] : [this.#sheet(mode)]));
    if (hadFocus) this.host.querySelector("button.primary, h2")?.focus();
  }

  #modeNow() {
    const { phase, problem, permissions } = this.workspace;
    const standing = permissions.of(this.grantable);
    if (phase === "over") return `over:${problem?.code ?? ""}`;
    if (phase === "opening") return "opening";
    if (standing.state === "allowed") return "open";
    if (standing.state === "asked") return "asking";
    return `form:${phase}:${standing.problem?.code ?? ""}`;
  }

  #sheet(mode) {
    if (mode === "opening") return this.#opening();
    if (mode === "asking") return this.#asking();
    if (mode.startsWith("over:")) return this.#over();
    return this.#form();
  }

  #card(...children) {
    return element("div", { class: "card sheet" }, ...children);
  }

  #opening() {
    return this.#card(
      marks(),
      element("h2", { role: "status" }, "Contacting the device…"),
      element("p", { class: "muted" }, "An encrypted connection is being set up, and the device’s certificate is checked."),
    );
  }

  #asking() {
    const isUnattended = this.workspace.ready?.consent === "unattended";
    return this.#card(
      marks(),
      element("h2", { role: "status", tabindex: "-1" }, isUnattended ? "Starting…" : "The person is being asked…"),
      element("p", { class: "muted" }, isUnattended
        ? "The policy of this group allows it without a question. The person sees that you are there."
        : "They see your name, what you asked for, why, and for how long. They decide."),
      element("p", { class: "big", "data-left": "" }, ""),
      element("div", { class: "row" }, element("button", { type: "button", onclick: () => this.workspace.end() }, "Stop asking")),
    );
  }

  #over() {
    const { problem } = this.workspace;
    const why = problem
      ? [element("div", { class: "notice bad", role: "alert" }, ...notice(problem))]
      : [element("p", { class: "muted" }, "You left. The device has dropped every permission.")];
    return this.#card(
      element("h2", {}, problem ? "The session has ended" : "Session ended"),
      ...why,
      element(
        "div",
        { class: "row" },
        element("button", { type: "button", class: "primary", "data-again": "", onclick: () => this.workspace.connect() }, "Connect again"),
        element("a", { class: "button", href: "/" }, "Back to devices"),
      ),
    );
  }

  #form() {
    const standing = this.workspace.permissions.of(this.grantable);
    const id = `ask-${(formNo += 1)}`;
    const reason = element("input", { id: `${id}-reason`, name: "reason", maxlength: 300, value: askWords.reason, placeholder: "What you are going to do", autocomplete: "off" });
    const ticket = element("input", { id: `${id}-ticket`, name: "ticket", maxlength: 40, value: askWords.ticketNumber, placeholder: "Optional", autocomplete: "off" });
    const length = element("select", { id: `${id}-length`, name: "length" }, ...LENGTHS.map(([seconds, words]) =>
      element("option", { value: seconds, selected: seconds === 1800 }, words)));
    const offers = this.workspace.ready?.offers ?? ALL;
    const isOffered = offers.includes(this.grantable);
    const isUnattended = this.workspace.ready?.consent === "unattended";
    const submit = element("button", { type: "submit", class: "primary", disabled: !isOffered }, isUnattended ? "Start" : "Ask the person");
    const onsubmit = (event) => {
      event.preventDefault();
      askWords.reason = reason.value.trim();
      askWords.ticketNumber = ticket.value.trim();
      this.workspace.ask([this.grantable], { ...askWords, lengthS: Number(length.value) });
    };
    const refused = standing.problem ? [element("div", { class: "notice bad", role: "alert" }, ...notice(standing.problem))] : [];
    const name = this.workspace.ready?.device_name;
    return element(
      "form",
      { class: "card sheet", onsubmit },
      element("h2", {}, this.title),
      element("p", { class: "muted" }, this.text),
      ...refused,
      ...(isOffered ? [] : [element("div", { class: "notice bad" }, "The policy does not allow you to ask for this on this device.")]),
      element("div", {}, element("label", { for: `${id}-reason` }, "Reason ", element("span", { class: "muted" }, "(the person reads it)")), reason),
      element("div", { class: "two" },
        element("div", {}, element("label", { for: `${id}-ticket` }, "Ticket number"), ticket),
        element("div", {}, element("label", { for: `${id}-length` }, "For"), length)),
      element("div", { class: "row" }, submit,
        name ? element("span", { class: "muted small" }, "Connected to ", foreign(name), ", certificate verified") : null),
    );
  }

  #tick() {
    const shown = this.host.querySelector("[data-left]");
    if (!shown || !this.workspace.pendingUntilMs) return;
    shown.textContent = `${countdown((this.workspace.pendingUntilMs - performance.now()) / 1000)} left to answer`;
  }
}

function marks() {
  return element("div", { class: "waiting-mark", "aria-hidden": "true" },
    element("i", { class: "pulse" }), element("i", { class: "pulse" }), element("i", { class: "pulse" }));
}
