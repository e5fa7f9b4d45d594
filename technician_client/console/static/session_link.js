// The WebSocket of one session: JSON texts both ways, pictures as binary messages.

import { GONE } from "./api.js";

export class SessionLink {
  #socket;
  #listeners = new Map();
  #isOver = false;

  constructor(deviceId) {
    const address = `ws://${location.host}/api/session?device=${encodeURIComponent(deviceId)}`;
    this.#socket = new WebSocket(address);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("message", (event) => this.#receive(event.data));
    this.#socket.addEventListener("close", () => {
      if (!this.#isOver) this.#tell("over", { cause: GONE.code, problem: GONE });
      this.#isOver = true;
    });
  }

  on(type, listener) {
    const known = this.#listeners.get(type) ?? [];
    this.#listeners.set(type, [...known, listener]);
    return this;
  }

  get isOver() {
    return this.#isOver;
  }

  #receive(content) {
    if (this.#isOver) return;
    if (content instanceof ArrayBuffer) {
      this.#tell("binary", content);
      return;
    }
    const message = JSON.parse(content);
    if (message.type === "over") this.#isOver = true;
    this.#tell(message.type, message);
  }

  #tell(type, message) {
    for (const listener of this.#listeners.get(type) ?? []) listener(message);
  }

  send(type, fields = {}) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ type, ...fields }));
  }

  end() {
    this.send("end");
  }

  close() {
    this.#isOver = true;
    this.#socket.close();
  }
}
