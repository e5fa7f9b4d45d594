// Puts exact pictures on the canvas and says when each is there.

import { FrameBuffer } from "./frame_buffer.js";
import { VideoRegions, draw, outside, overlap } from "./video.js";
import { read } from "./wire.js";
import { DamagedStream, loadInflater } from "./zstd.js";

export const UNABLE = "This browser cannot show the screen: WebAssembly does not work in it. Open the console in another one.";
// below this share of the box around them, rectangles are put on the canvas one by one
const BOX_SHARE = 0.5;
// rows that wait for their hash, unless it is one proof alone; an agent proves a row of tiles at a time
const HASHED_LIMIT_PIXELS = 1 << 24;

export class Painter {
  #context;
  #inflater = null;
  #waiting = []; // what came before the decoder was there; the process sends at most four pictures ahead
  #frame = null;
  #dirty = [];
  #video;
  #unpainted = []; // pictures of which frames are still being decoded, oldest first
  #isAwaitingReset = true;
  #streamNo = 0;
  #hashedPixels = 0;
  #nextDisplayIndex = 0;
  #streamDisplayIndex = 0;
  #isHealing = false; // everything is being sent anew because a proof failed
  #unsaid = 0;
  pictures = 0;
  corrections = 0;
  displayIndex = 0; // of the picture on the canvas: what the pointer points at
  ageMs = null; // when the newest picture was painted; null while the device's clock is not known

  // `on` has painted(sequence), which acknowledges; damaged() and proofFailed(sequence, y), which ask for everything anew;
  // needsKey(regionNo), which asks for a keyframe; sized(width, height) after the canvas changed its size; unable() if this browser cannot decode
  constructor(canvas, on) {
    Object.assign(this, { canvas, on });
    this.#context = canvas.getContext("2d", { alpha: false });
    this.#video = new VideoRegions({
      draw: (content, place, sequence) => this.#draw(content, place, sequence),
      drawn: () => this.#sayPainted(),
      needsKey: (regionNo) => on.needsKey(regionNo),
    });
    this.#count(0);
    document.addEventListener("visibilitychange", () => this.#sayLate());
    loadInflater().then(
      (inflater) => this.#start(inflater),
      () => on.unable(),
    );
  }

  // a session is over: forget half a picture, the stream and the memory of the picture
  reset() {
    this.#waiting = [];
    this.#dirty = [];
    this.#unsaid = 0;
    this.#video.reset();
    this.#unpainted = [];
    this.#frame = null;
    this.#isAwaitingReset = true;
    this.#streamNo += 1;
    this.#inflater?.end();
    this.#count(0);
  }

  // what comes from the next reset on is of this display
  shows(displayIndex) {
    this.#nextDisplayIndex = displayIndex;
  }

  receive(buffer) {
    if (this.#inflater) this.#take(buffer);
    else this.#waiting.push(buffer);
  }

  #start(inflater) {
    this.#inflater = inflater;
    for (const buffer of this.#waiting.splice(0)) this.#take(buffer);
  }

  #take(buffer) {
    const { part, copies, proof, video, videoEnded } = read(buffer);
    if (part?.isReset) this.#begin(part);
    if (this.#isAwaitingReset) return;
    if (part) this.#part(part);
    else if (copies) this.#copy(copies);
    else if (video) this.#video.take(video);
    else if (videoEnded) this.#dirty.push({ ...this.#video.end(videoEnded.regionNo), isBelow: true });
    else this.#prove(proof);
  }

  #begin({ width, height }) {
    const isAsBefore = this.#frame?.width === width && this.#frame.height === height;
    if (!isAsBefore) this.#frame = new FrameBuffer(width, height);
    this.#dirty = [];
    this.#video.reset();
    this.#isAwaitingReset = false;
    this.#isHealing = false;
    this.#streamNo += 1;
    this.#streamDisplayIndex = this.#nextDisplayIndex;
  }

  #part(part) {
    if (part.rectangles.length) {
      try {
        this.#frame.put(part.rectangles, this.#inflater.inflate(part.compressed, part.sizeBytes, part.isReset));
      } catch (error) {
        if (!(error instanceof DamagedStream)) throw error;
        this.#damaged();
        return;
      }
      this.#dirty.push(...part.rectangles);
    }
    if (part.isLast) this.#paint(part);
  }

  #copy(copies) {
    for (const copy of copies) {
      this.#frame.copy(copy);
      this.#dirty.push({ x: copy.toX, y: copy.toY, width: copy.width, height: copy.height, isBelow: true });
    }
  }

  // the canvas keeps the newest whole picture until everything is there anew
  #damaged() {
    this.#isAwaitingReset = true;
    this.#count(this.corrections + 1);
    this.on.damaged();
  }

  async #prove({ sequence, y, height, sha256 }) {
    const streamNo = this.#streamNo;
    const digest = await this.#hash(y, height);
    if (!digest) {
      this.#damaged();
      return;
    }
    const isEqual = digest.every((byte, index) => byte === sha256[index]);
    // what a stream had that is over, is sent anew already
    if (isEqual || this.#isHealing || this.#isAwaitingReset || streamNo !== this.#streamNo) return;
    this.#isHealing = true;
    this.#count(this.corrections + 1);
    this.on.proofFailed(sequence, y);
  }

  // of whole rows as they are now; null if too many wait already
  async #hash(y, height) {
    const pixels = this.#frame.width * height;
    if (this.#hashedPixels && this.#hashedPixels + pixels > HASHED_LIMIT_PIXELS) return null;
    this.#hashedPixels += pixels;
    try {
      // `digest` copies what it is given before it returns
      return new Uint8Array(await crypto.subtle.digest("SHA-256", this.#frame.rows(y, height)));
    } finally {
      this.#hashedPixels -= pixels;
    }
  }

  #paint(part) {
    const { width, height } = part;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.on.sized(width, height);
    }
    // only what frames are still to come for waits for them
    const behind = this.#video.placesBehind(part.sequence);
    const isLate = (one) => behind.some((place) => overlap(one, place));
    const [late, now] = [[], []];
    for (const one of this.#toPaint()) (isLate(one) ? late : now).push(one);
    this.#put(now);
    this.#dirty = [];
    this.#unpainted.push({ ...part, late, displayIndex: this.#streamDisplayIndex });
    this.#sayPainted();
  }

  #put(places) {
    for (const { x, y, width, height } of places) {
      this.#context.putImageData(this.#frame.image, 0, 0, x, y, width, height);
    }
  }

  // exact parts of earlier pictures first
  #draw(content, place, sequence) {
    for (const picture of this.#unpainted) {
      if (picture.sequence < sequence) this.#put(picture.late.splice(0));
    }
    draw(this.#context, content, place);
  }

  // what copies move below a region of video, or another region leaves there, does not show; parts replace video
  #toPaint() {
    const places = this.#video.places;
    if (!places.length) return joined(this.#dirty);
    return this.#dirty.flatMap((one) => (one.isBelow ? outside(one, places) : [one]));
  }

  // in their order, each when its frames are there
  #sayPainted() {
    while (this.#unpainted.length && !this.#video.isDecoding(this.#unpainted[0].sequence)) {
      const picture = this.#unpainted.shift();
      this.#put(picture.late);
      this.#painted(picture);
    }
  }

  #painted({ sequence, capturedAt, width, height, displayIndex }) {
    this.displayIndex = displayIndex;
    // nobody looks: no answer, so the device rests until the page is seen again
    if (document.hidden) this.#unsaid = sequence;
    else this.on.painted(sequence);
    this.pictures += 1;
    this.ageMs = Number.isNaN(capturedAt) ? null : Math.max(0, Date.now() - capturedAt);
    const { dataset } = this.canvas;
    dataset.pictures = String(this.pictures);
    dataset.lastPictureMs = String(Date.now());
    dataset.ageMs = this.ageMs?.toFixed(1) ?? "";
    dataset.width = String(width);
    dataset.height = String(height);
  }

  #count(corrections) {
    this.corrections = corrections;
    this.canvas.dataset.corrections = String(corrections);
  }

  #sayLate() {
    if (document.hidden || !this.#unsaid) return;
    this.on.painted(this.#unsaid);
    this.#unsaid = 0;
  }
}

// one box around all, unless most of it did not change
function joined(rectangles) {
  if (rectangles.length < 2) return rectangles;
  const left = Math.min(...rectangles.map(({ x }) => x));
  const top = Math.min(...rectangles.map(({ y }) => y));
  const right = Math.max(...rectangles.map(({ x, width }) => x + width));
  const bottom = Math.max(...rectangles.map(({ y, height }) => y + height));
  const changed = rectangles.reduce((sum, { width, height }) => sum + width * height, 0);
  const box = { x: left, y: top, width: right - left, height: bottom - top };
  return changed < BOX_SHARE * box.width * box.height ? rectangles : [box];
}
