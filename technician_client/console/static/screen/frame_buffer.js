// The picture in memory, RGBA, as the device has it. What is on the canvas was put there from here.

const OPAQUE = 0xff000000;
const BYTES_PER_SOURCE_PIXEL = 3; // B, G, R

export class FrameBuffer {
  #words;

  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.#words = new Uint32Array(width * height).fill(OPAQUE);
    this.image = new ImageData(new Uint8ClampedArray(this.#words.buffer), width, height);
  }

  // `rectangles` one after another in `bgr`, each row by row; `bgr` starts at a multiple of 4
  put(rectangles, bgr) {
    const words = new Uint32Array(bgr.buffer, bgr.byteOffset, bgr.length >> 2);
    let at = 0;
    for (const { x, y, width, height } of rectangles) {
      for (let row = y; row < y + height; row += 1) {
        // so many pixels of three bytes lie before the next word that starts a pixel
        const before = Math.min(width, at & 3);
        const inWords = (width - before) & ~3;
        let to = row * this.width + x;
        this.#putBytes(to, before, bgr, at);
        at += before * BYTES_PER_SOURCE_PIXEL;
        to += before;
        this.#putWords(to, inWords, words, at >> 2);
        at += inWords * BYTES_PER_SOURCE_PIXEL;
        to += inWords;
        const after = width - before - inWords;
        this.#putBytes(to, after, bgr, at);
        at += after * BYTES_PER_SOURCE_PIXEL;
      }
    }
  }

  // Overlapping, too: rows in the order in which none is overwritten before it was read, and copyWithin inside of a row.
  copy({ x, y, width, height, toX, toY }) {
    const isDown = toY > y;
    for (let index = 0; index < height; index += 1) {
      const row = isDown ? height - 1 - index : index;
      const from = (y + row) * this.width + x;
      this.#words.copyWithin((toY + row) * this.width + toX, from, from + width);
    }
  }

  // whole rows as they were sent
  rows(y, height) {
    const bgr = new Uint8Array(this.width * height * BYTES_PER_SOURCE_PIXEL);
    const first = y * this.width;
    const last = first + this.width * height;
    for (let index = first, at = 0; index < last; index += 1, at += BYTES_PER_SOURCE_PIXEL) {
      const word = this.#words[index];
      bgr[at] = word >>> 16;
      bgr[at + 1] = word >>> 8;
      bgr[at + 2] = word;
    }
    return bgr;
  }

  // four pixels from three words: BGRB GRBG RBGR
  #putWords(to, count, source, from) {
    const words = this.#words;
    const end = to + count;
    for (; to < end; from += 3, to += 4) {
      const one = source[from];
      const two = source[from + 1];
      const three = source[from + 2];
      words[to] = OPAQUE | ((one & 0xff) << 16) | (one & 0xff00) | ((one >>> 16) & 0xff);
      words[to + 1] = OPAQUE | ((one >>> 24) << 16) | ((two & 0xff) << 8) | ((two >>> 8) & 0xff);
      words[to + 2] = OPAQUE | (two & 0xff0000) | ((two >>> 16) & 0xff00) | (three & 0xff);
      words[to + 3] = OPAQUE | ((three & 0xff00) << 8) | ((three >>> 8) & 0xff00) | (three >>> 24);
    }
  }

  #putBytes(to, count, bgr, at) {
    for (const end = to + count; to < end; to += 1, at += BYTES_PER_SOURCE_PIXEL) {
      this.#words[to] = OPAQUE | (bgr[at] << 16) | (bgr[at + 1] << 8) | bgr[at + 2];
    }
  }
}
