// The screen tab: picture, pointer, keys, and the tools above them.

import { byId, element, setText, show } from "../dom.js";
import { Gate } from "../gate.js";
import { KEYSYMS } from "../input/keysyms.js";
import { Keyboard } from "../input/keyboard.js";
import { Pointer } from "../input/pointer.js";
import { PermissionBar } from "../permission_bar.js";
import { CONTROL, SCREEN } from "../permissions.js";
import { Cursor } from "./cursor.js";
import { Fit } from "./fit.js";
import { LateNotice } from "./late.js";
import { Painter, UNABLE } from "./painter.js";
import { decodableCodecs } from "./video.js";
import { RESTARTED } from "./words.js";
import { isCursor } from "./wire.js";

const FIGURES_EVERY_MS = 1000;
const HINT_MS = 4000;
const PROBLEM_MS = 15_000;
const PAUSED = "E_INPUT_PAUSED"; // the permission's own word says it
const WATCHING = "You are watching. Press “Ask to control” to use mouse and keyboard.";
const WHERE_KEYS_GO = {
  asked: "You are watching until the person has answered.",
  starting: "Control starts in a moment. What you did just now was not carried out.",
  allowed: "Keys go to the device. Ctrl + Alt + Shift gives them back.",
  paused: "The person is being asked something. What you did just now was not carried out.",
};
// what is shown (DisplayMode in protocol/messages/screen.py)
const ONE = "one";
const ALL = "all";
const FOLLOW = "follow";

export class ScreenPanel {
  #link = null;
  #before = 0;
  #didControl = false;

  constructor(workspace) {
    this.workspace = workspace;
    this.canvas = byId("screen");
    this.fit = new Fit(byId("stage"), this.canvas, () => this.cursor?.draw());
    this.cursor = new Cursor(this.canvas, byId("remote-cursor"), () => this.fit.scale);
    this.painter = new Painter(this.canvas, {
      painted: (sequence) => this.#painted(sequence),
      damaged: () => this.#link.send("damaged"),
      proofFailed: (sequence, y) => this.#link.send("proof_failed", { sequence, y }),
      needsKey: (regionNo) => this.#link.send("keyframe", { region_no: regionNo }),
      sized: () => this.fit.apply(),
      unable: () => this.#hint(UNABLE),
    });
    this.late = new LateNotice(byId("stage"));
    this.keyboard = new Keyboard(byId("key-sink"), {
      send: (events) => this.#input(events),
      releaseAll: () => this.#link?.send("release_all"),
      onEscape: () => this.#giveKeysBack(),
    });
    this.pointer = new Pointer(this.canvas, {
      send: (events) => this.#input(events),
      isActive: () => this.#mayControl(),
      onPress: () => this.#takeKeys(),
      onMove: () => this.cursor.ownMove(),
    });
    this.gate = new Gate(byId("screen-gate"), workspace, {
      grantable: SCREEN,
      title: "Ask to see the screen",
      text: "Nothing is shown before the person at the device has allowed it. They can stop it at any time. Once you watch, ask for more as you need it: the person decides on each by itself.",
    });
    new PermissionBar(byId("permissions"), workspace);
    this.#bindTools();
    workspace.addEventListener("link", (event) => this.#attach(event.detail));
    workspace.addEventListener("change", () => this.#follow());
    setInterval(() => this.#figures(), FIGURES_EVERY_MS);
  }

  #attach(link) {
    this.#link = link;
    this.painter.reset();
    link
      .on("binary", (buffer) => (isCursor(buffer) ? this.cursor : this.painter).receive(buffer))
      .on("cursor_moved", ({ x, y }) => this.cursor.moved(x, y))
      .on("displays", (message) => {
        this.#displays(message);
        this.#sayDecodes(link);
      })
      .on("screen_restarted", () => this.#hint(RESTARTED, PROBLEM_MS))
      .on("input_state", ({ problem }) => {
        if (problem && problem.code !== PAUSED) this.#hint(`${problem.sentence} ${problem.remedy}`);
      })
      .on("input_dropped", ({ problem }) => this.#hint(`${problem.sentence} ${problem.remedy}`))
      .on("problem", ({ problem }) => this.#hint(`${problem.sentence} ${problem.remedy}`, PROBLEM_MS))
      .on("stats", (message) => this.#stats(message));
  }

  #stats(message) {
    setText(byId("bits"), String(Math.round(message.received_kbit_s)));
    this.late.say(this.workspace.isLive ? message.late_s : 0);
  }

  // with the first message of each channel, and harmless again
  async #sayDecodes(link) {
    const codecs = await decodableCodecs();
    if (codecs.length && link === this.#link) link.send("decodes", { codecs });
  }

  #follow() {
    const { permissions, phase, isLive } = this.workspace;
    const isOpen = permissions.isAllowed(SCREEN);
    show(byId("tools"), phase === "ready");
    show(byId("picture-tools"), isOpen && isLive);
    show(byId("canvas-frame"), isOpen && isLive);
    if (phase !== "ready") show(byId("hint"), false);
    if (!isOpen || !isLive) this.late.say(0);
    this.#followControl();
    if (!isOpen) byId("key-sink").blur();
  }

  #followControl() {
    const mayControl = this.#mayControl();
    this.cursor.controlling(mayControl);
    // a finger then moves the device's pointer, and not this page
    this.canvas.style.touchAction = mayControl ? "pinch-zoom" : "";
    if (this.#didControl && !mayControl) {
      // the device let go of everything: what is still down here goes up without a word
      this.pointer.letGo();
      this.keyboard.letGo();
    }
    const said = byId("hint").textContent;
    if (!this.#didControl && mayControl && [WHERE_KEYS_GO.starting, WHERE_KEYS_GO.paused].includes(said)) show(byId("hint"), false);
    this.#didControl = mayControl;
  }

  #mayControl() {
    return this.workspace.phase === "ready" && this.workspace.permissions.doesControl;
  }

  #painted(sequence) {
    this.#link.send("seen", { sequence });
    if (!this.workspace.isLive) {
      this.workspace.painted();
      this.fit.apply();
    }
  }

  #input(events) {
    if (this.#mayControl()) this.#link.send("input", { display_index: this.painter.displayIndex, events });
  }

  #takeKeys() {
    byId("key-sink").focus({ preventScroll: true });
    this.#hint(WHERE_KEYS_GO[this.workspace.permissions.of(CONTROL).state] ?? WATCHING);
  }

  #giveKeysBack() {
    byId("key-sink").blur();
    byId("keys").focus();
    this.#hint("Keys stay on this computer again.");
  }

  #displays({ displays, shown_index: shownIndex, mode }) {
    this.painter.shows(shownIndex);
    const chooser = byId("display");
    const option = (value, selected, text) => element("option", { value, selected }, text);
    const following = mode === FOLLOW ? `Follow the pointer (now on display ${shownIndex + 1})` : "Follow the pointer";
    chooser.replaceChildren(
      ...displays.map(({ index, width, height }) =>
        option(index, mode === ONE && index === shownIndex, `Display ${index + 1} (${width} × ${height})`)),
      option(ALL, mode === ALL, "All displays"),
      option(FOLLOW, mode === FOLLOW, following));
    show(chooser, displays.length > 1);
  }

  #choose(value) {
    if (value === ALL) this.#link?.send("show_all");
    else if (value === FOLLOW) this.#link?.send("follow");
    else this.#link?.send("show_display", { index: Number(value) });
  }

  #bindTools() {
    this.canvas.addEventListener("focus", () => this.#takeKeys());
    this.canvas.addEventListener("mousedown", (event) => event.preventDefault());
    byId("refresh").addEventListener("click", () => this.#link?.send("refresh"));
    byId("display").addEventListener("change", (event) => this.#choose(event.target.value));
    byId("fit").addEventListener("click", () => {
      this.fit.setExact(!this.fit.isExact);
      byId("fit").setAttribute("aria-pressed", String(this.fit.isExact));
    });
    byId("full-screen").addEventListener("click", () => this.#fullScreen());
    this.#bindKeysMenu();
  }

  async #fullScreen() {
    if (document.fullscreenElement) {
      await document.exitFullscreen();
      return;
    }
    await byId("stage").requestFullscreen();
    await navigator.keyboard?.lock?.().catch(() => {});
    byId("key-sink").focus();
  }

  #bindKeysMenu() {
    const list = byId("keys-list");
    const open = (isOpen) => {
      show(list, isOpen);
      byId("keys").setAttribute("aria-expanded", String(isOpen));
      if (isOpen) list.querySelector("button").focus();
    };
    byId("keys").addEventListener("click", () => open(list.hidden));
    list.addEventListener("keydown", (event) => {
      const items = [...list.querySelectorAll("button")];
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") {
        open(false);
        byId("keys").focus();
      } else if (event.key === "Tab") open(false); // and on to what comes after it
      else if (step) {
        event.preventDefault();
        items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
      }
    });
    list.addEventListener("focusout", ({ relatedTarget: next }) => {
      if (next && !list.contains(next)) open(false);
    });
    document.addEventListener("click", (event) => {
      if (!event.target.closest(".menu")) open(false);
    });
    for (const item of list.querySelectorAll("[data-keys]")) {
      item.addEventListener("click", () => {
        open(false);
        this.keyboard.stroke(item.dataset.keys.split(" ").map((name) => KEYSYMS[name]));
        byId("key-sink").focus();
      });
    }
    byId("type-text").addEventListener("click", () => {
      open(false);
      byId("text-field").value = "";
      byId("text-dialog").showModal();
    });
    byId("text-dialog").addEventListener("close", (event) => {
      if (event.target.returnValue === "send") this.keyboard.typeText(byId("text-field").value);
      event.target.returnValue = "";
      byId("text-field").value = "";
    });
  }

  #figures() {
    setText(byId("rate"), String(Math.max(0, this.painter.pictures - this.#before)));
    this.#before = this.painter.pictures;
    setText(byId("corrections"), String(this.painter.corrections));
    setText(byId("age"), this.#age());
  }

  // of the newest picture at its painting; as it grows while newer ones are late
  #age() {
    const ageMs = this.late.lateMs || this.painter.ageMs;
    if (!this.workspace.isLive || ageMs === null) return "–";
    return ageMs.toFixed(ageMs < 10 ? 1 : 0);
  }

  #hint(text, forMs = HINT_MS) {
    const hint = byId("hint");
    setText(hint, text);
    show(hint, true);
    clearTimeout(this.hintTimer);
    this.hintTimer = setTimeout(() => show(hint, false), forMs);
  }
}
