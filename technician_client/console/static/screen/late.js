// Says how old the picture is when it is older than it should be. Readers of screens hear it once, not each second.

import { element, setText, show } from "../dom.js";

export class LateNotice {
  #notice = element("p", { class: "late", role: "status", hidden: true });
  #seconds = element("b", { "aria-live": "off" });
  lateMs = 0;

  constructor(parent) {
    parent.append(this.#notice);
  }

  // `lateS` 0: the picture is as new as can be
  say(lateS) {
    const isNew = this.lateMs === 0;
    this.lateMs = lateS * 1000;
    setText(this.#seconds, String(Math.floor(lateS)));
    if (lateS > 0 && isNew) this.#notice.replaceChildren("The picture is ", this.#seconds, " s old");
    if (lateS === 0) this.#notice.replaceChildren();
    show(this.#notice, lateS > 0);
  }
}
