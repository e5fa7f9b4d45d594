// The row that shows each permission's state, with a button to ask for what is missing.

import { askWords } from "./ask_words.js";
import { element } from "./dom.js";
import { ALL, WORDS } from "./permissions.js";

const STATE_WORDS = { none: "not asked", asked: "asking…", allowed: "allowed", refused: "refused", ended: "ended" };

export class PermissionBar {
  #drawn = "";

  constructor(host, workspace) {
    Object.assign(this, { host, workspace });
    workspace.addEventListener("change", () => this.draw());
    this.draw();
  }

  draw() {
    const { ready, permissions } = this.workspace;
    const offers = ready?.offers ?? [];
    const standings = ALL.filter((one) => offers.includes(one)).map((one) => [one, permissions.of(one)]);
    const key = JSON.stringify(standings.map(([one, standing]) => [one, standing.state, standing.problem?.code]));
    if (key === this.#drawn) return;
    const focused = this.host.contains(document.activeElement) ? document.activeElement.dataset.ask : null;
    this.#drawn = key;
    this.host.replaceChildren(...standings.map(([grantable, standing]) => this.#permission(grantable, standing)));
    if (focused) this.host.querySelector(`[data-ask="${focused}"]`)?.focus();
  }

  #permission(grantable, standing) {
    const words = WORDS[grantable];
    const why = standing.problem ? `${standing.problem.sentence} ${standing.problem.remedy}` : words.long;
    const mayAsk = ["none", "refused", "ended"].includes(standing.state);
    const ask = () => this.workspace.ask([grantable], askWords);
    return element(
      "div",
      { class: "permission", "data-state": standing.state, "data-grantable": grantable, title: why, role: "listitem" },
      element("b", {}, words.short),
      element("span", { class: "word" }, STATE_WORDS[standing.state]),
      standing.problem ? element("span", { class: "visually-hidden" }, why) : null,
      mayAsk
        ? element("button", { type: "button", "data-ask": grantable, "aria-label": `Ask: ${words.long}`, onclick: ask }, standing.state === "none" ? "Ask" : "Ask again")
        : null,
    );
  }
}
