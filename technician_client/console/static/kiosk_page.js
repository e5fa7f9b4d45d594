// Only the screen, pixel for pixel. Asks by itself, and comes back by itself when the link was lost.

import { byId, element } from "./dom.js";
import { Keyboard } from "./input/keyboard.js";
import { Pointer } from "./input/pointer.js";
import { CONTROL, SCREEN } from "./permissions.js";
import { Cursor } from "./screen/cursor.js";
import { LateNotice } from "./screen/late.js";
import { Painter, UNABLE } from "./screen/painter.js";
import { decodableCodecs } from "./screen/video.js";
import { isCursor } from "./screen/wire.js";
import { RESTARTED } from "./screen/words.js";
import { SessionLink } from "./session_link.js";

const FIRST_DELAY_MS = 500;
const DELAY_LIMIT_MS = 15_000;
const RESTARTED_MS = 15_000;
const LENGTH_S = 8 * 3600;
const LATER = "E_CONSENT_LATER";
// nobody said no: trying again is not rude
const COMES_BACK = new Set([
  "E_LINK_LOST", "E_PEER_SILENT", "E_RELAY_UNREACHABLE", "E_DEVICE_AWAY", "E_BUSY", "E_RATE", "E_TICKET",
  "E_NOT_RUNNING", "E_SCREEN_FAILED", "E_GRANT_ENDED",
]);
const deviceId = new URLSearchParams(location.search).get("device") ?? "";
const canvas = byId("screen");
const sink = byId("key-sink");
const message = element("p", { class: "message", role: "status" });
let link = null;
let delayMs = FIRST_DELAY_MS;
let mayControl = false;

function say(text) {
  message.textContent = text;
  if (text && !message.isConnected) document.body.append(message);
  if (!text) message.remove();
}

function state(word) {
  document.documentElement.dataset.state = word;
}

const late = new LateNotice(document.body);
const cursor = new Cursor(canvas, null);
const painter = new Painter(canvas, {
  painted(sequence) {
    link.send("seen", { sequence });
    delayMs = FIRST_DELAY_MS;
    if (document.documentElement.dataset.state === "live") return;
    state("live");
    say("");
  },
  damaged: () => link.send("damaged"),
  proofFailed: (sequence, y) => link.send("proof_failed", { sequence, y }),
  needsKey: (regionNo) => link.send("keyframe", { region_no: regionNo }),
  sized(width, height) {
    canvas.style.width = `${width / window.devicePixelRatio}px`;
    canvas.style.height = `${height / window.devicePixelRatio}px`;
  },
  unable: () => say(UNABLE),
});

function input(events) {
  if (mayControl) link.send("input", { display_index: painter.displayIndex, events });
}

new Keyboard(sink, { send: input, releaseAll: () => link?.send("release_all"), onEscape: () => sink.blur() });
const pointer = new Pointer(canvas, {
  send: input,
  isActive: () => mayControl,
  onPress: () => sink.focus({ preventScroll: true }),
  onMove: () => cursor.ownMove(),
});
canvas.addEventListener("focus", () => sink.focus({ preventScroll: true }));
canvas.addEventListener("mousedown", (event) => event.preventDefault());

// "none"; "starting" until the device says that it carries out what is done here; "allowed"; "paused" around a question
function control(word) {
  mayControl = word === "allowed";
  document.documentElement.dataset.control = word;
  cursor.controlling(mayControl);
  if (mayControl) sink.focus({ preventScroll: true });
  else pointer.letGo();
}

function inputState({ is_active: isActive }) {
  const before = document.documentElement.dataset.control;
  if (isActive) control("allowed");
  else if (before === "allowed") control("paused");
}

// over the picture, which goes on
function restarted() {
  say(RESTARTED);
  setTimeout(() => {
    if (message.textContent === RESTARTED) say("");
  }, RESTARTED_MS);
}

// with the first message of each channel, and harmless again
async function sayDecodes(current) {
  const codecs = await decodableCodecs();
  if (codecs.length && current === link) link.send("decodes", { codecs });
}

function ask(grantables) {
  link.send("ask", { grantables, reason: "kiosk", ticket_number: "", length_s: LENGTH_S });
}

// a person is asked for the screen first, and for the rest by itself
function answered({ asked, granted, refused }, once) {
  if (refused[CONTROL]?.code !== LATER) control(CONTROL in granted ? "starting" : "none");
  else if (SCREEN in granted) ask([CONTROL]);
  if (!asked.includes(SCREEN)) return;
  if (SCREEN in granted) {
    say("Waiting for the first picture…");
    return;
  }
  link.end();
  once({ problem: refused[SCREEN] });
}

function over({ problem }) {
  link.close();
  control("none");
  painter.reset();
  late.say(0);
  state("ended");
  say(problem ? `${problem.sentence} ${problem.remedy}` : "The session has ended.");
  if (!problem || !COMES_BACK.has(problem.code)) return;
  setTimeout(open, delayMs * (0.5 + Math.random() / 2));
  delayMs = Math.min(delayMs * 2, DELAY_LIMIT_MS);
}

function open() {
  let isOver = false;
  const once = (problem) => {
    if (isOver) return;
    isOver = true;
    over(problem);
  };
  state("waiting");
  say("Contacting the device…");
  link = new SessionLink(deviceId)
    .on("ready", () => {
      say("Asking for the screen…");
      ask([SCREEN, CONTROL]);
    })
    .on("answer", (answer) => answered(answer, once))
    .on("binary", (buffer) => (isCursor(buffer) ? cursor : painter).receive(buffer))
    .on("displays", (shown) => {
      painter.shows(shown.shown_index);
      sayDecodes(link);
    })
    .on("screen_restarted", restarted)
    .on("stats", ({ late_s: lateS }) => late.say(document.documentElement.dataset.state === "live" ? lateS : 0))
    .on("input_state", inputState)
    .on("grant_ended", ({ grantable, problem }) => (grantable === SCREEN ? once({ problem }) : control("none")))
    .on("channel_over", ({ grantable, problem }) => (grantable === SCREEN ? once({ problem }) : control("none")))
    .on("over", once);
}

open();
