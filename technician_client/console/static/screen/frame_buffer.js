// The picture in memory, RGBA, as the device has it. What is on the canvas was put there from here.

const OPAQUE = 0xff000000;
const BYTES_PER_SOURCE_PIXEL = 3;

export class FrameBuffer {
  #words;
  #bgr = new Uint8Array(0);

  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.#words = new Uint32Array(width * height).fill(OPAQUE);
    this.image = new ImageData(new Uint8ClampedArray(this.#words.buffer), width, height);
  }

  // `rectangles` one after another in `residues`, each row by row: B-G, G, R-G of each pixel, less the same of its left neighbour
  put(rectangles, residues) {
    const words = this.#words;
    let at = 0;
    for (const { x, y, width, height } of rectangles) {
      for (let row = y; row < y + height; row += 1) {
        let [blue, green, red] = [0, 0, 0];
        let to = row * this.width + x;
        for (const end = to + width; to < end; to += 1, at += BYTES_PER_SOURCE_PIXEL) {
          blue += residues[at];
          green += residues[at + 1];
          red += residues[at + 2];
          words[to] = OPAQUE | (((blue + green) & 0xff) << 16) | ((green & 0xff) << 8) | ((red + green) & 0xff);
        }
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

  // whole rows as B, G, R, for a proof; valid until the next call, so that many proofs need no more memory than one
  rows(y, height) {
    const size = this.width * height * BYTES_PER_SOURCE_PIXEL;
    if (this.#bgr.length < size) this.#bgr = new Uint8Array(size);
    const bgr = this.#bgr.subarray(0, size);
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
}
