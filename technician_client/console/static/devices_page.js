// The device list: who is there, and the way to each of them.

import { byId, element, foreign, setText, show } from "./dom.js";
import { ago } from "./format.js";
import { fillHeader, showGone, showLink } from "./header.js";
import { watch } from "./live.js";
import { notice } from "./notice.js";

const AGE_EVERY_MS = 30_000;
const devices = new Map();

function showDevices(listed) {
  devices.clear();
  for (const device of listed) devices.set(device.device_id, device);
  show(byId("problem"), false);
  draw();
}

function showRefused(problem) {
  byId("problem").replaceChildren(...notice(problem));
  show(byId("problem"), true);
  draw();
}

function draw() {
  const wanted = byId("search").value.trim().toLowerCase();
  const known = [...devices.values()].filter((device) => device.status !== "removed");
  const rows = known.filter((device) => matches(device, wanted)).sort(inOrder);
  const focused = document.activeElement.closest?.("tr[data-device]");
  const hadConnect = "connect" in document.activeElement.dataset;
  const bearers = countNames(known);
  byId("devices").replaceChildren(...rows.map((device) => row(device, bearers.get(comparedName(device)))));
  if (focused) {
    const again = byId("devices").querySelector(`[data-device="${CSS.escape(focused.dataset.device)}"]`);
    again?.querySelector(hadConnect ? "[data-connect], a" : "a")?.focus();
  }
  show(byId("table-frame"), rows.length > 0);
  drawEmpty(known.length, rows.length, wanted);
  const online = known.filter((device) => device.is_present).length;
  setText(byId("summary"), known.length ? `${online} of ${known.length} online` : "");
}

function matches(device, wanted) {
  return [device.name, device.group, device.platform, device.device_id].some((text) =>
    text.toLowerCase().includes(wanted),
  );
}

function inOrder(one, other) {
  return Number(other.is_present) - Number(one.is_present) || one.name.localeCompare(other.name);
}

function drawEmpty(knownCount, shownCount, wanted) {
  const empty = byId("empty");
  show(empty, shownCount === 0 && byId("problem").hidden);
  if (knownCount === 0) {
    empty.replaceChildren(
      element("h2", {}, "No devices yet"),
      element("p", {}, "Make a join token, copy its file to the first device, and join there:"),
      element("pre", {}, "alongside fleet token create --out FILE\nalongside-agent join --token-file FILE"),
      element("p", { class: "muted" }, "The device appears here by itself."),
    );
  } else {
    empty.replaceChildren(
      element("h2", {}, "No device matches"),
      element("p", { class: "muted" }, "Nothing is called ", foreign(`“${wanted}”`), "."),
      element("button", { type: "button", onclick: clearSearch }, "Show all devices"),
    );
  }
}

function clearSearch() {
  byId("search").value = "";
  draw();
  byId("search").focus();
}

// a name is the device's own word: where several bear one, the id is shown beside it
function countNames(known) {
  const bearers = new Map();
  for (const device of known) bearers.set(comparedName(device), (bearers.get(comparedName(device)) ?? 0) + 1);
  return bearers;
}

function comparedName(device) {
  return device.name.normalize("NFKC").toLowerCase();
}

function row(device, bearers) {
  const query = `device=${encodeURIComponent(device.device_id)}`;
  const isPending = device.status === "pending";
  const isCloned = device.status === "quarantined";
  const isHeld = isPending || isCloned;
  const away = device.is_present ? "Online" : "Away";
  const state = isCloned ? "Quarantined" : isPending ? "Waiting for approval" : away;
  const dot = isHeld ? "pending" : device.is_present ? "here" : "away";
  const held = isCloned ? "Its key is on two computers: let both leave and join anew" : "Not approved yet";
  const connect = device.is_present && !isHeld
    ? element("a", { class: "button primary", href: `/session?${query}`, "data-connect": device.device_id }, "Connect")
    : isHeld ? element("span", { class: "muted small held" }, held) : null;
  const sameName = bearers > 1
    ? element("span", { class: "muted small same-name" }, ` one of ${bearers} of this name: `, foreign(device.device_id))
    : null;
  return element(
    "tr",
    { "data-device": device.device_id, role: "row" },
    element("th", { scope: "row", role: "rowheader" }, element("a", { href: `/device?${query}`, class: "device-name" }, foreign(device.name)), sameName),
    cell({}, element("span", { class: "state" }, element("span", { class: `dot ${dot}` }), state)),
    cell({}, foreign(device.group || "–")),
    cell({}, foreign(device.platform || "–")),
    cell({ class: "muted last-seen" }, device.is_present ? "now" : ago(device.last_seen_at_utc)),
    cell({ class: "action" }, connect),
  );
}

function cell(attributes, content) {
  return element("td", { ...attributes, role: "cell" }, content);
}

byId("search").addEventListener("input", draw);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== byId("search")) {
    event.preventDefault();
    byId("search").focus();
  }
});
setInterval(draw, AGE_EVERY_MS);
await fillHeader().catch(showGone);
watch({
  onDevices: showDevices,
  onRefused: showRefused,
  onDevice(device) {
    devices.set(device.device_id, device);
    draw();
  },
  onLink: showLink,
  onGone: showGone,
});
