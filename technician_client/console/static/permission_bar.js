// The row that shows each permission's state, with a button to ask for what is missing.

import { askWords } from "./ask_words.js";
import { element } from "./dom.js";
import { ALL, SCREEN, WORDS } from "./permissions.js";

const STATE_WORDS = {
  none: "not asked", asked: "waiting for the person…", starting: "starting…", allowed: "allowed",
  paused: "paused: the person is being asked", refused: "refused", ended: "ended",
};
const BUSY = "An answer is waited for: one thing at a time.";

export class PermissionBar {
  #drawn = "";

  constructor(host, workspace) {
    Object.assign(this, { host, workspace });
    host.tabIndex = -1;
    workspace.addEventListener("change", () => this.draw());
    this.draw();
  }

  draw() {
    const { ready, permissions } = this.workspace;
    const offers = ready?.offers ?? [];
    const standings = ALL.filter((one) => offers.includes(one)).map((one) => [one, permissions.of(one)]);
    const key = JSON.stringify([permissions.isWaiting, standings.map(([one, standing]) => [one, standing.state, standing.problem?.code])]);
    if (key === this.#drawn) return;
    const focused = this.host.contains(document.activeElement) ? document.activeElement.dataset.ask : null;
    this.#drawn = key;
    this.host.replaceChildren(...standings.map(([grantable, standing]) => this.#permission(grantable, standing)));
    // a button that was pressed goes: the keyboard stays in the row
    if (focused) (this.host.querySelector(`[data-ask="${focused}"]`) ?? this.host).focus();
  }

  #permission(grantable, standing) {
    const words = WORDS[grantable];
    const why = standing.problem ? `${standing.problem.sentence} ${standing.problem.remedy}` : words.long;
    const mayAsk = ["none", "refused", "ended"].includes(standing.state);
    const isWaiting = this.workspace.permissions.isWaiting;
    const ask = () => {
      if (!this.workspace.permissions.isWaiting) this.workspace.ask([grantable], askWords);
    };
    return element(
      "div",
      { class: "permission", "data-state": standing.state, "data-grantable": grantable, title: why, role: "listitem" },
      element("b", {}, words.short),
      element("span", { class: "word", role: "status" }, this.#word(grantable, standing.state)),
      standing.problem ? element("span", { class: "visually-hidden" }, why) : null,
      mayAsk
        ? element("button", {
            type: "button", "data-ask": grantable, "aria-disabled": String(isWaiting), title: isWaiting ? BUSY : words.long, onclick: ask,
          }, standing.state === "none" ? words.ask : `${words.ask} again`)
        : null,
    );
  }

  #word(grantable, state) {
    if (grantable !== SCREEN || state !== "allowed") return STATE_WORDS[state];
    return this.workspace.permissions.doesControl ? "shown" : "watching only";
  }
}
