// Presence and link news; reconnects by itself for as long as the page is open.

const FIRST_DELAY_MS = 500;
const DELAY_LIMIT_MS = 10_000;

export function watch({ onDevice, onLink, onGone }) {
  let delayMs = FIRST_DELAY_MS;
  function open() {
    const socket = new WebSocket(`ws://${location.host}/api/live`);
    socket.addEventListener("open", () => {
      delayMs = FIRST_DELAY_MS;
    });
    socket.addEventListener("message", (event) => {
      const news = JSON.parse(event.data);
      if (news.type === "device") onDevice(news);
      else if (news.type === "link") onLink(news);
    });
    socket.addEventListener("close", () => {
      onGone();
      setTimeout(open, delayMs * (0.5 + Math.random() / 2));
      delayMs = Math.min(delayMs * 2, DELAY_LIMIT_MS);
    });
  }
  open();
}
