// One device: its facts, its screen, its diagnostics, its commands, over at most one session.

import { CommandsPanel } from "./commands/panel.js";
import { DiagnosticsPanel } from "./diagnostics/panel.js";
import { byId, element, foreign, setText, show } from "./dom.js";
import { ago, countdown, moment } from "./format.js";
import { fillHeader, showGone, showLink } from "./header.js";
import { watch } from "./live.js";
import { notice } from "./notice.js";
import { ScreenPanel } from "./screen/panel.js";
import { Tabs } from "./tabs.js";
import { Workspace } from "./workspace.js";

const deviceId = new URLSearchParams(location.search).get("device") ?? "";
let isProblemOfList = false;
const workspace = new Workspace(deviceId);
new ScreenPanel(workspace);
new DiagnosticsPanel(workspace);
const commands = new CommandsPanel(workspace);
const tabs = new Tabs((id) => {
  if (id === "tab-screen") window.dispatchEvent(new Event("resize"));
});

function drawDevice(device) {
  setText(byId("device-name"), device.name);
  document.title = `${device.name} · Alongside`;
  byId("presence-dot").className = `dot ${device.is_present ? "here" : "away"}`;
  setText(byId("presence-word"), device.is_present ? "Online" : `Away, last seen ${ago(device.last_seen_at_utc)}`);
  drawFacts(byId("facts"), [
    ["Name", device.name],
    ["Group", device.group || "–"],
    ["Platform", device.platform || "–"],
    ["State", device.status],
    ["First seen", moment(device.first_seen_at_utc)],
    ["Last seen", device.is_present ? "now" : moment(device.last_seen_at_utc)],
    ["Device id", device.device_id],
  ]);
}

function drawFacts(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, foreign(text))]));
}

function drawSession() {
  const { phase, ready } = workspace;
  const words = { closed: "", opening: "· contacting…", ready: "· connected, end-to-end encrypted", over: "· session ended" };
  const isReady = ready && phase === "ready";
  const unknown = isReady && !ready.organisation_name ? " · NOT VERIFIED" : "";
  const readback = isReady ? [" · ", element("span", { class: "whole" }, `read-back ${[...ready.readback].join(" ")}`)] : [];
  byId("session-word").replaceChildren(`${words[phase]}${unknown}`, ...readback);
  show(byId("connect"), phase === "closed" || phase === "over");
  show(byId("end"), phase === "opening" || phase === "ready");
  drawFacts(byId("session-facts"), isReady
    ? [
        ["Organisation", ready.organisation_name || "NOT VERIFIED: reached by a support code alone"],
        ["Read-back digits", `${[...ready.readback].join(" ")} (read them to the person who asks)`],
        ["Consent", ready.consent === "unattended" ? "not needed (the person sees you all the same)" : "the person is asked"],
        ["Encryption", `TLS 1.3, ${ready.group_name}`],
        ["Session id", ready.session_id],
      ]
    : [["State", phase === "opening" ? "contacting the device" : "no session"]]);
}

function drawTimeLeft() {
  const seconds = workspace.permissions.secondsLeft();
  setText(byId("time-left"), seconds === null ? "" : `${countdown(seconds)} left`);
}

byId("connect").addEventListener("click", () => {
  tabs.show("tab-screen");
  history.replaceState(null, "", `/session?device=${encodeURIComponent(deviceId)}`);
  workspace.connect();
});
byId("end").addEventListener("click", () => workspace.end());
workspace.addEventListener("change", drawSession);
workspace.addEventListener("alarm", ({ detail }) => alarm(detail));
workspace.addEventListener("rating", ({ detail }) => showRating(detail));
workspace.addEventListener("change", drawTimeLeft);
setInterval(drawTimeLeft, 500);
drawSession();
const isSession = location.pathname === "/session";
tabs.show(isSession ? "tab-screen" : "tab-overview");
if (isSession) workspace.connect();

fillHeader().catch(showGone);
commands.load();
watch({
  onDevices: showListed,
  onRefused: showProblem,
  onDevice: (device) => device.device_id === deviceId && drawDevice(device),
  onLink: showLink,
  onGone: showGone,
});

function showListed(devices) {
  const device = devices.find((one) => one.device_id === deviceId);
  if (device) {
    drawDevice(device);
    if (isProblemOfList) show(byId("problem"), false);
    isProblemOfList = false;
  } else showProblem({ code: "E_DEVICE_UNKNOWN", sentence: "There is no such device.", remedy: "Go back to the list of devices." });
}

function showProblem(problem) {
  setText(byId("device-name"), deviceId.slice(0, 40));
  alarm(problem);
  isProblemOfList = true;
}

function alarm(problem) {
  isProblemOfList = false;
  byId("problem").replaceChildren(...notice(problem));
  show(byId("problem"), true);
}

function showRating(rating) {
  const close = element("button", { type: "button", onclick: () => show(byId("rating"), false) }, "Close");
  byId("rating").replaceChildren(
    element("strong", {}, rating.is_good ? "Your last help here helped." : "Your last help here did not help."),
    ...(rating.comment ? [element("span", {}, "The person writes: ", foreign(rating.comment))] : []),
    close,
  );
  show(byId("rating"), true);
  workspace.ratingSeen(rating.session_id);
}
