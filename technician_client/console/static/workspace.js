// One device and at most one session with it. The panels look here and are told of every change.

import { Permissions } from "./permissions.js";
import { SessionLink } from "./session_link.js";

export class Workspace extends EventTarget {
  phase = "closed"; // closed, opening, ready, over
  problem = null;
  ready = null;
  link = null;
  isLive = false; // a picture was painted
  pendingUntilMs = 0;
  permissions = new Permissions();
  #wish = null;

  constructor(deviceId) {
    super();
    this.deviceId = deviceId;
  }

  connect() {
    if (this.phase === "opening" || this.phase === "ready") return;
    this.phase = "opening";
    this.problem = null;
    this.ready = null;
    this.isLive = false;
    this.permissions.reset();
    const link = new SessionLink(this.deviceId);
    this.link = link;
    link
      .on("ready", (message) => this.#becomeReady(message))
      .on("pending", (message) => this.#pending(message))
      .on("answer", (message) => this.#change(() => this.permissions.answered(message)))
      .on("input_state", ({ is_active: isActive }) => this.#change(() => this.permissions.inputState(isActive)))
      .on("grant_ended", (message) => this.#change(() => this.permissions.ended(message.grantable, message.problem)))
      .on("channel_over", (message) => this.#change(() => this.permissions.ended(message.grantable, message.problem)))
      .on("alarm", ({ problem }) => this.dispatchEvent(new CustomEvent("alarm", { detail: problem })))
      .on("rating", (rating) => this.dispatchEvent(new CustomEvent("rating", { detail: rating })))
      .on("over", (message) => this.#over(message));
    this.dispatchEvent(new CustomEvent("link", { detail: link }));
    this.changed();
  }

  ask(grantables, { reason = "", ticketNumber = "", lengthS = 1800 } = {}) {
    this.#wish = { grantables, reason, ticketNumber, lengthS };
    if (this.phase === "ready") this.#sendWish();
    else this.connect();
  }

  ratingSeen(sessionId) {
    this.link?.send("rating_seen", { session_id: sessionId });
  }

  end() {
    if (this.phase !== "opening") {
      this.link?.end();
      return;
    }
    this.link.close(); // nobody listens there before the device has answered
    this.#over({ cause: "technician_left", problem: null });
  }

  painted() {
    if (this.isLive) return;
    this.isLive = true;
    this.changed();
  }

  changed() {
    document.documentElement.dataset.state = this.phase === "over" ? "ended" : this.isLive ? "live" : "waiting";
    this.dispatchEvent(new Event("change"));
  }

  #change(act) {
    act();
    this.changed();
  }

  #becomeReady(message) {
    this.ready = message;
    this.phase = "ready";
    this.changed();
    if (this.#wish) this.#sendWish();
  }

  #sendWish() {
    const { grantables, reason, ticketNumber, lengthS } = this.#wish;
    this.#wish = null;
    this.pendingUntilMs = 0;
    this.permissions.asked(grantables);
    this.link.send("ask", { grantables, reason, ticket_number: ticketNumber, length_s: lengthS });
    this.changed();
  }

  #pending(message) {
    this.pendingUntilMs = performance.now() + message.timeout_s * 1000;
    this.changed();
  }

  #over(message) {
    this.phase = "over";
    this.#wish = null;
    this.problem = message.problem;
    this.cause = message.cause;
    this.isLive = false;
    this.permissions.reset();
    this.changed();
  }
}
