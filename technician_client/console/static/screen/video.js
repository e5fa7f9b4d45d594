// Regions of video above the exact picture: one decoder each. What is decoded goes to the canvas and nowhere else.

const CODECS = ["avc1.42E033", "vp8", "vp09.00.51.08"];
const PROBE = { codedWidth: 1280, codedHeight: 720, optimizeForLatency: true };
const COLOURS = { primaries: "bt709", transfer: "bt709", matrix: "bt709", fullRange: false };

// what this browser decodes; nothing where WebCodecs is missing: then every picture is exact
export async function decodableCodecs() {
  if (!("VideoDecoder" in globalThis)) return [];
  const tried = CODECS.map((codec) =>
    VideoDecoder.isConfigSupported({ codec, ...PROBE }).then(
      ({ supported }) => (supported ? [codec] : []),
      () => [],
    ),
  );
  return (await Promise.all(tried)).flat();
}

export class VideoRegions {
  #regions = new Map();

  // `on` has draw(frame, place); drawn(), after which `isDecoding` may have changed; needsKey(regionNo)
  constructor(on) {
    this.on = on;
  }

  get places() {
    return [...this.#regions.values()].map(({ place }) => place);
  }

  isDecoding(sequence) {
    return [...this.#regions.values()].some(({ pending }) => pending.has(sequence));
  }

  take({ sequence, regionNo, place, codec, isKey, encoded }) {
    let region = this.#regions.get(regionNo);
    if (!region) {
      region = { regionNo, place, codec, decoder: null, pending: new Map() };
      this.#regions.set(regionNo, region);
    }
    if (isKey) this.#configure(region, place, codec);
    // after an error, until the keyframe comes
    if (!region.decoder) return;
    region.pending.set(sequence, place);
    try {
      region.decoder.decode(
        new EncodedVideoChunk({ type: isKey ? "key" : "delta", timestamp: sequence, data: encoded }),
      );
    } catch {
      this.#failed(region, region.decoder);
    }
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

  #configure(region, place, codec) {
    const isAsBefore = region.codec === codec && same(region.place, place);
    Object.assign(region, { place, codec });
    if (region.decoder && isAsBefore) return;
    if (!region.decoder) {
      const decoder = new VideoDecoder({
        output: (frame) => this.#decoded(region, decoder, frame),
        error: () => this.#failed(region, decoder),
      });
      region.decoder = decoder;
    }
    const { width: codedWidth, height: codedHeight } = place;
    region.decoder.configure({ codec, codedWidth, codedHeight, colorSpace: COLOURS, optimizeForLatency: true });
  }

  #decoded(region, decoder, frame) {
    const place = region.pending.get(frame.timestamp);
    const isOurs = region.decoder === decoder && place;
    const isWhole = place && frame.displayWidth === place.width && frame.displayHeight === place.height;
    if (isOurs && isWhole) this.on.draw(frame, place);
    frame.close();
    if (isOurs && !isWhole) {
      this.#failed(region, decoder);
      return;
    }
    region.pending.delete(frame.timestamp);
    this.on.drawn();
  }

  #failed(region, decoder) {
    if (region.decoder !== decoder) return;
    close(region);
    this.on.needsKey(region.regionNo);
    this.on.drawn();
  }
}

function close(region) {
  if (region.decoder && region.decoder.state !== "closed") region.decoder.close();
  region.decoder = null;
  region.pending.clear();
}

function same(one, other) {
  return one.x === other.x && one.y === other.y && one.width === other.width && one.height === other.height;
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
