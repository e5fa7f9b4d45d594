// How large the picture is on the page: every pixel as it is, or all of it in the room there is.

export class Fit {
  isExact = false;

  constructor(stage, canvas, onChange = () => {}) {
    Object.assign(this, { stage, canvas, onChange });
    new ResizeObserver(() => this.apply()).observe(stage);
  }

  setExact(isExact) {
    this.isExact = isExact;
    this.apply();
  }

  // CSS pixels per display pixel
  get scale() {
    const exact = 1 / window.devicePixelRatio;
    if (this.isExact || !this.canvas.width) return exact;
    const room = Math.min(this.stage.clientWidth / this.canvas.width, this.stage.clientHeight / this.canvas.height);
    return Math.min(room, exact) || exact;
  }

  apply() {
    const { scale } = this;
    this.canvas.style.width = `${this.canvas.width * scale}px`;
    this.canvas.style.height = `${this.canvas.height * scale}px`;
    this.canvas.classList.toggle("exact", this.isExact);
    this.onChange();
  }
}
