// Puts exact pictures on the canvas and says when each is there. The layout is in picture_wire.py.

const KIND_PICTURE = 1;
const FLAG_LAST = 1;
const HEAD_BYTES = 24;
const RECTANGLE_BYTES = 8;
const BYTES_PER_PIXEL = 4;

export class Painter {
  #context;
  #parts = [];
  #unsaid = 0;
  pictures = 0;
  ageMs = 0;

  // `onPainted(sequence)` acknowledges; `onSize(width, height)` after the canvas changed its size
  constructor(canvas, { onPainted, onSize = () => {} }) {
    Object.assign(this, { canvas, onPainted, onSize });
    this.#context = canvas.getContext("2d", { alpha: false });
    document.addEventListener("visibilitychange", () => this.#sayLate());
  }

  // forget half a picture of a session that is over
  reset() {
    this.#parts = [];
    this.#unsaid = 0;
  }

  static isPicture(buffer) {
    return new DataView(buffer).getUint8(0) === KIND_PICTURE;
  }

  receive(buffer) {
    const view = new DataView(buffer);
    this.#parts.push(buffer);
    if (view.getUint8(1) & FLAG_LAST) this.#paint(view);
  }

  #paint(last) {
    const sequence = last.getUint32(4, true);
    const capturedAt = last.getFloat64(8, true);
    const width = last.getUint32(16, true);
    const height = last.getUint32(20, true);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.onSize(width, height);
    }
    for (const part of this.#parts) this.#paintPart(part);
    this.#parts = [];
    this.pictures += 1;
    this.ageMs = Math.max(0, Date.now() - capturedAt);
    const { dataset } = this.canvas;
    dataset.pictures = String(this.pictures);
    dataset.lastPictureMs = String(Date.now());
    dataset.ageMs = this.ageMs.toFixed(1);
    dataset.width = String(width);
    dataset.height = String(height);
    // nobody looks: no answer, so the device rests until the page is seen again
    if (document.hidden) this.#unsaid = sequence;
    else this.onPainted(sequence);
  }

  #paintPart(buffer) {
    const view = new DataView(buffer);
    const count = view.getUint16(2, true);
    let pixelsAt = HEAD_BYTES + count * RECTANGLE_BYTES;
    for (let index = 0; index < count; index += 1) {
      const at = HEAD_BYTES + index * RECTANGLE_BYTES;
      const width = view.getUint16(at + 4, true);
      const height = view.getUint16(at + 6, true);
      const length = width * height * BYTES_PER_PIXEL;
      const pixels = new Uint8ClampedArray(buffer, pixelsAt, length);
      this.#context.putImageData(new ImageData(pixels, width, height), view.getUint16(at, true), view.getUint16(at + 2, true));
      pixelsAt += length;
    }
  }

  #sayLate() {
    if (document.hidden || !this.#unsaid) return;
    this.onPainted(this.#unsaid);
    this.#unsaid = 0;
  }
}
