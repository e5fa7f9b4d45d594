// Keyboard capture. A text field of one pixel has the focus, so that input methods and dead keys work; what
// they compose is sent as text, everything else as keys going down and up.

import { KEYSYMS, keysymOf } from "./keysyms.js";

const TEXT_LIMIT = 4096;
// the characters that come already carry their effect; sent on, they would work twice
const NOT_SENT = new Set(["CapsLock", "NumLock", "AltGraph", "Dead", "Process", "Unidentified"]);
const ESCAPE_CHORD = ["Control", "Alt", "Shift"];

export class Keyboard {
  #down = new Map(); // event.code → keysym
  #chord = new Set();
  #isChordPure = false;

  // `send(events)`, `releaseAll()`; `onEscape` when Ctrl+Alt+Shift alone were pressed and let go
  constructor(sink, { send, releaseAll, onEscape }) {
    Object.assign(this, { sink, send, releaseAll, onEscape });
    sink.addEventListener("keydown", (event) => this.#press(event));
    sink.addEventListener("keyup", (event) => this.#release(event));
    sink.addEventListener("compositionend", (event) => this.#type(event.data));
    sink.addEventListener("input", (event) => {
      if (!event.isComposing && event.inputType !== "insertCompositionText") this.#type(event.data);
    });
    sink.addEventListener("blur", () => this.letGo());
    document.addEventListener("visibilitychange", () => document.hidden && this.letGo());
    window.addEventListener("blur", () => this.letGo());
    window.addEventListener("pagehide", () => this.letGo());
  }

  letGo() {
    this.#chord.clear();
    this.#down.clear();
    this.sink.value = "";
    this.releaseAll();
  }

  typeText(text) {
    for (let start = 0; start < text.length; start += TEXT_LIMIT) {
      this.send([{ type: "input.text", text: text.slice(start, start + TEXT_LIMIT) }]);
    }
  }

  // keys that a browser or system keeps for itself: all down in order, up in reverse
  stroke(keysyms) {
    const downs = keysyms.map((keysym) => ({ type: "input.key", keysym, is_pressed: true }));
    const ups = [...keysyms].reverse().map((keysym) => ({ type: "input.key", keysym, is_pressed: false }));
    this.send([...downs, ...ups]);
  }

  #press(event) {
    if (event.isComposing || event.key === "Dead" || event.key === "Process") return;
    const keysym = keysymOf(event);
    this.#noteChord(event);
    if (!keysym) return; // the text field gets it; what it becomes arrives as text
    event.preventDefault();
    if (event.key === "AltGraph") this.#undoWindowsControl(event);
    if (NOT_SENT.has(event.key) || event.repeat) return;
    this.#down.set(event.code || event.key, keysym);
    this.send([{ type: "input.key", keysym, is_pressed: true }]);
  }

  #release(event) {
    if (event.isComposing) return;
    event.preventDefault();
    this.#noteChordEnd(event);
    this.#up(event.code || event.key);
    // macOS tells no key-up for keys that are let go while Command is down
    if (event.key === "Meta") for (const code of [...this.#down.keys()]) this.#up(code);
  }

  #up(code) {
    const keysym = this.#down.get(code);
    if (keysym === undefined) return;
    this.#down.delete(code);
    this.send([{ type: "input.key", keysym, is_pressed: false }]);
  }

  // Windows says AltGr as Control and AltGraph; the Control was never meant
  #undoWindowsControl(event) {
    if (this.#down.get("ControlLeft") === KEYSYMS.controlLeft && event.code === "AltRight") this.#up("ControlLeft");
  }

  #noteChord(event) {
    if (!ESCAPE_CHORD.includes(event.key)) {
      this.#isChordPure = false;
      return;
    }
    if (event.repeat) return;
    if (this.#chord.size === 0) this.#isChordPure = true;
    this.#chord.add(event.key);
  }

  #noteChordEnd(event) {
    if (this.#chord.size === ESCAPE_CHORD.length && this.#isChordPure) {
      this.letGo();
      this.onEscape();
    }
    this.#chord.delete(event.key);
  }

  #type(text) {
    this.sink.value = "";
    if (text) this.typeText(text);
  }
}
