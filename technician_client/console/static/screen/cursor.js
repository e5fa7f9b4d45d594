// The device's pointer: as this page's own pointer while controlling, drawn over the picture otherwise.

const HEAD_BYTES = 12;
const SIDE_LIMIT = 128; // browsers refuse larger ones as a pointer
const OWN_MOVE_MS = 1000; // for so long after an own move the device's pointer is the own one

export class Cursor {
  #shape = null;
  #at = { x: -1, y: -1 };
  #isControlling = false;
  #movedAtMs = -OWN_MOVE_MS;

  // `overlay` is a canvas over the picture, or null (kiosk); `scale()` is CSS pixels per display pixel
  constructor(canvas, overlay, scale = () => 1) {
    Object.assign(this, { canvas, overlay, scale });
  }

  receive(buffer) {
    const view = new DataView(buffer);
    const width = view.getUint16(2, true);
    const height = view.getUint16(4, true);
    this.#shape = { width, height, hotX: view.getUint16(6, true), hotY: view.getUint16(8, true), url: "" };
    if (width && height) this.#shape.url = this.#drawn(buffer, width, height);
    this.draw();
  }

  moved(x, y) {
    this.#at = { x, y };
    this.draw();
  }

  ownMove() {
    this.#movedAtMs = performance.now();
    if (this.overlay && !this.overlay.hidden && this.#isControlling) this.draw();
  }

  controlling(isControlling) {
    this.#isControlling = isControlling;
    this.draw();
  }

  draw() {
    this.canvas.style.cursor = this.#isControlling ? this.#css() : "default";
    if (!this.overlay) return;
    const isOwn = this.#isControlling && performance.now() - this.#movedAtMs < OWN_MOVE_MS;
    const isShown = this.#shape?.url && this.#at.x >= 0 && !isOwn;
    this.overlay.hidden = !isShown;
    if (!isShown) return;
    const scale = this.scale();
    const x = (this.#at.x - this.#shape.hotX) * scale;
    const y = (this.#at.y - this.#shape.hotY) * scale;
    this.overlay.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.overlay.style.transformOrigin = "0 0";
  }

  #css() {
    if (!this.#shape) return "default";
    if (!this.#shape.width) return "none";
    if (this.#shape.width > SIDE_LIMIT || this.#shape.height > SIDE_LIMIT) return "crosshair";
    return `url(${this.#shape.url}) ${this.#shape.hotX} ${this.#shape.hotY}, default`;
  }

  #drawn(buffer, width, height) {
    const target = this.overlay ?? document.createElement("canvas");
    target.width = width;
    target.height = height;
    const pixels = new Uint8ClampedArray(buffer, HEAD_BYTES, width * height * 4);
    target.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
    return target.toDataURL();
  }
}
