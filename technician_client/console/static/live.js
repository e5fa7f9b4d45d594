// The list of devices, and news of presence and link; reconnects by itself for as long as the page is open.

import { get } from "./api.js";

const FIRST_DELAY_MS = 500;
const DELAY_LIMIT_MS = 10_000;

// The list is asked for only when news is being taken, and again after each gap: nothing that happens in between is missed.
export function watch({ onDevices, onRefused, onDevice, onLink, onGone }) {
  let delayMs = FIRST_DELAY_MS;
  let isLinked = false;
  let asking = 0;
  let early = null;  // what is told while a list is on its way, which may be older
  function load() {
    const asked = ++asking;
    early = [];
    get("/api/devices").then(
      ({ devices }) => {
        if (asked !== asking) return;
        onDevices(devices);
        early.forEach(onDevice);
        early = null;
      },
      (refusal) => asked === asking && onRefused(refusal.problem),
    );
  }
  function takeLink(link, isFirst) {
    onLink(link);
    if (isFirst || (link.is_connected && !isLinked)) load();
    isLinked = link.is_connected;
  }
  function open() {
    const socket = new WebSocket(`ws://${location.host}/api/live`);
    let isFirst = true;
    socket.addEventListener("open", () => {
      delayMs = FIRST_DELAY_MS;
    });
    socket.addEventListener("message", (event) => {
      const news = JSON.parse(event.data);
      if (news.type === "device") {
        early?.push(news);
        onDevice(news);
      } else if (news.type === "link") {
        takeLink(news, isFirst);
        isFirst = false;
      }
    });
    socket.addEventListener("close", () => {
      onGone();
      setTimeout(open, delayMs * (0.5 + Math.random() / 2));
      delayMs = Math.min(delayMs * 2, DELAY_LIMIT_MS);
    });
  }
  open();
}
