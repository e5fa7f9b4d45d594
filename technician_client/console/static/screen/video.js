// Regions of video above the exact picture: one stream each. What is decoded goes to the canvas and nowhere else.

import { VideoPort } from "./video_port.js";

let answered = () => {};
const port = new VideoPort((message) => answered(message));

// what this browser decodes; nothing where every picture must be exact
export function decodableCodecs() {
  return port.codecs;
}

// There is one decoder, and one set of regions, in a page.
export class VideoRegions {
  #regions = new Map();
  #lastKey = 0; // of a stream: after an error, or with another size, a region has another one

  // `on` has draw(content, place, sequence), content being pixels, bitmap or frame; drawn(), after which `isDecoding` may have
  // changed; needsKey(regionNo)
  constructor(on) {
    this.on = on;
    answered = (message) => this.#answered(message);
  }

  get places() {
    return [...this.#regions.values()].map(({ place }) => place);
  }

  isDecoding(sequence) {
    return [...this.#regions.values()].some(({ pending }) => pending.has(sequence));
  }

  // where frames of this picture or earlier ones are not drawn yet
  placesBehind(sequence) {
    const isBehind = ({ pending }) => [...pending.keys()].some((one) => one <= sequence);
    return [...this.#regions.values()].filter(isBehind).map(({ place }) => place);
  }

  take({ sequence, regionNo, place, codec, isKey, encoded }) {
    let region = this.#regions.get(regionNo);
    if (!region) {
      region = { regionNo, place, codec, key: 0, pending: new Map() };
      this.#regions.set(regionNo, region);
    }
    if (isKey && !(region.key && region.codec === codec && same(region.place, place))) {
      close(region);
      Object.assign(region, { place, codec, key: (this.#lastKey += 1) });
    }
    // after an error, until the keyframe comes
    if (!region.key) return;
    region.pending.set(sequence, place);
    const { width, height } = place;
    port.send({ kind: "decode", key: region.key, sequence, codec, isKey, width, height, encoded }, [encoded.buffer]);
  }

  // the place that is to be shown exactly again
  end(regionNo) {
    const region = this.#regions.get(regionNo);
    this.#regions.delete(regionNo);
    close(region);
    return region.place;
  }

  reset() {
    this.#regions.forEach(close);
    this.#regions.clear();
  }

  #answered({ kind, key, sequence, ...content }) {
    const region = [...this.#regions.values()].find((one) => one.key === key);
    const place = region?.pending.get(sequence);
    if (region && kind === "failed") {
      region.key = 0;
      region.pending.clear();
      this.on.needsKey(region.regionNo);
      this.on.drawn();
    } else if (kind === "frame") {
      if (place) this.on.draw(content, place, sequence);
      giveBack(content);
      if (!place) return;
      region.pending.delete(sequence);
      this.on.drawn();
    }
  }
}

// a frame may be smaller than its place
export function draw(context, { pixels, bitmap, frame }, { x, y, width, height }) {
  if (pixels) context.putImageData(new ImageData(pixels, width, height), x, y);
  else context.drawImage(bitmap ?? frame, x, y, width, height);
}

function giveBack({ pixels, bitmap, frame }) {
  bitmap?.close();
  frame?.close();
  if (pixels) port.send({ kind: "spare", pixels }, [pixels.buffer]);
}

function close(region) {
  if (region.key) port.send({ kind: "close", key: region.key });
  region.key = 0;
  region.pending.clear();
}

function same(one, other) {
  return one.x === other.x && one.y === other.y && one.width === other.width && one.height === other.height;
}

export function overlap(one, other) {
  const isAcross = one.x < other.x + other.width && other.x < one.x + one.width;
  return isAcross && one.y < other.y + other.height && other.y < one.y + one.height;
}

// what is left of a rectangle outside of the places
export function outside(rectangle, places) {
  return places.reduce((left, place) => left.flatMap((one) => without(one, place)), [rectangle]);
}

function without(one, place) {
  const [right, bottom] = [one.x + one.width, one.y + one.height];
  const left = Math.max(one.x, place.x);
  const top = Math.max(one.y, place.y);
  const innerRight = Math.min(right, place.x + place.width);
  const innerBottom = Math.min(bottom, place.y + place.height);
  if (left >= innerRight || top >= innerBottom) return [one];
  return [
    { x: one.x, y: one.y, width: one.width, height: top - one.y },
    { x: one.x, y: innerBottom, width: one.width, height: bottom - innerBottom },
    { x: one.x, y: top, width: left - one.x, height: innerBottom - top },
    { x: innerRight, y: top, width: right - innerRight, height: innerBottom - top },
  ].filter(({ width, height }) => width > 0 && height > 0);
}
