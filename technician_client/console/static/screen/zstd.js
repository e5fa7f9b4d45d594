// One zstd stream at a time, inflated by zstd.wasm into exact amounts. Nothing of its memory is held elsewhere.

const ADDRESS = new URL("../vendor/zstd/zstd.wasm", import.meta.url);
const MAGIC = 0xfd2fb528;
const HEAD_BYTES = 6;
const WINDOW_LIMIT_BYTES = 1 << 25;
const PAIR_BYTES = 12; // ZSTD_inBuffer, ZSTD_outBuffer: address, size, position

export class DamagedStream extends Error {}

export async function loadInflater() {
  let inflater = null;
  const env = { emscripten_notify_memory_growth: () => inflater?.grown() };
  const { instance } = await WebAssembly.instantiateStreaming(fetch(ADDRESS), { env });
  inflater = new Inflater(instance.exports);
  return inflater;
}

// The build has no ZSTD_d_windowLogMax, so the window is read from the head of the frame (RFC 8878, 3.1.1.1) before a context
// is made for it; a frame that ends is refused, so there is no second head.
function checkHead(compressed) {
  if (compressed.length < HEAD_BYTES) throw new DamagedStream("no frame");
  const view = new DataView(compressed.buffer, compressed.byteOffset, HEAD_BYTES);
  const descriptor = view.getUint8(4);
  const isSingleSegment = descriptor & 0x20;
  const isReserved = descriptor & 0x08;
  const hasDictionary = descriptor & 0x03;
  if (view.getUint32(0, true) !== MAGIC || isSingleSegment || isReserved || hasDictionary) throw new DamagedStream("frame");
  const window = view.getUint8(5);
  const base = 2 ** (10 + (window >> 3));
  if (base + (base / 8) * (window & 7) > WINDOW_LIMIT_BYTES) throw new DamagedStream("window");
}

export class Inflater {
  #zstd;
  #bytes;
  #view;
  #context = 0;
  #isBroken = false;
  #pairs;
  #input = { at: 0, size: 0 };
  #output = { at: 0, size: 0 };

  constructor(zstd) {
    this.#zstd = zstd;
    this.grown();
    this.#pairs = zstd.malloc(2 * PAIR_BYTES);
  }

  // the memory has moved
  grown() {
    this.#bytes = new Uint8Array(this.#zstd.memory.buffer);
    this.#view = new DataView(this.#zstd.memory.buffer);
  }

  get memoryBytes() {
    return this.#bytes.length;
  }

  // forget the stream and its window
  end() {
    if (this.#context && !this.#isBroken) this.#zstd.ZSTD_freeDCtx(this.#context);
    this.#context = 0;
  }

  // Exactly `size` bytes, valid until the next call, 4-byte aligned. DamagedStream: there are fewer or more, or they are
  // damaged; the stream is over then.
  inflate(compressed, size, isNew) {
    try {
      if (isNew) this.#begin(compressed);
      return this.#inflate(compressed, size);
    } catch (error) {
      this.#giveUp(error);
      throw error instanceof WebAssembly.RuntimeError ? new DamagedStream(error.message) : error;
    }
  }

  // after a trap its memory is in no known state: nothing more is called there
  #giveUp(error) {
    if (error instanceof WebAssembly.RuntimeError) this.#isBroken = true;
    else this.end();
  }

  #begin(compressed) {
    this.end();
    checkHead(compressed);
    this.#context = this.#zstd.ZSTD_createDCtx();
  }

  #inflate(compressed, size) {
    if (!this.#context || this.#isBroken) throw new DamagedStream("no stream");
    // one byte more than there may be: what does not fit is noticed now, and not left inside for the next part
    this.#reserve(this.#input, compressed.length);
    this.#reserve(this.#output, size + 1);
    this.#bytes.set(compressed, this.#input.at);
    const [input, output] = [this.#pairs, this.#pairs + PAIR_BYTES];
    this.#setPair(input, this.#input.at, compressed.length);
    this.#setPair(output, this.#output.at, size + 1);
    let taken = -1;
    let given = -1;
    while (this.#position(input) !== taken || this.#position(output) !== given) {
      taken = this.#position(input);
      given = this.#position(output);
      if (taken === compressed.length && given <= size) break;
      const hint = this.#zstd.ZSTD_decompressStream(this.#context, output, input);
      if (hint <= 0) throw new DamagedStream(hint ? `zstd ${-hint}` : "end");
    }
    if (taken !== compressed.length || given !== size) throw new DamagedStream(`${given} of ${size} bytes`);
    return this.#bytes.subarray(this.#output.at, this.#output.at + size);
  }

  #reserve(place, size) {
    if (place.size >= size) return;
    if (place.at) this.#zstd.free(place.at);
    place.size = 0;
    place.at = this.#zstd.malloc(size);
    if (!place.at) throw new DamagedStream("memory");
    place.size = size;
  }

  #setPair(at, address, size) {
    this.#view.setUint32(at, address, true);
    this.#view.setUint32(at + 4, size, true);
    this.#view.setUint32(at + 8, 0, true);
  }

  #position(pair) {
    return this.#view.getUint32(pair + 8, true);
  }
}
