// Tabs after the ARIA pattern: arrows move, one panel is shown. The address keeps the tab that is open.

import { byId } from "./dom.js";

export class Tabs {
  constructor(onShow = () => {}) {
    this.onShow = onShow;
    this.tabs = [...document.querySelectorAll("[role=tab]")];
    for (const tab of this.tabs) {
      tab.addEventListener("click", () => this.show(tab.id));
      tab.addEventListener("keydown", (event) => this.#move(event, tab));
    }
  }

  show(id) {
    for (const tab of this.tabs) {
      const isShown = tab.id === id;
      tab.setAttribute("aria-selected", String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = !isShown;
    }
    this.onShow(id);
  }

  #move(event, tab) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = this.tabs[(this.tabs.indexOf(tab) + step + this.tabs.length) % this.tabs.length];
    this.show(next.id);
    next.focus();
  }
}
