// Pointer capture: moves, buttons and wheel in pixels of the shown display.

// bit of PointerEvent.buttons → X button
const BUTTONS = [[1, 1], [2, 3], [4, 2], [8, 8], [16, 9]];
const PIXELS_PER_CLICK = 60;
const LINES_PER_CLICK = 3;
const WHEEL_UNIT = 120;
const CLICKS_LIMIT = 50;

export class Pointer {
  #held = 0;
  #rest = { x: 0, y: 0 };
  #last = { x: -1, y: -1 };

  // `send(events)`; `isActive()` says whether control was allowed; `onMove({x, y})` after each own move
  constructor(canvas, { send, isActive, onPress, onMove }) {
    Object.assign(this, { canvas, send, isActive, onPress, onMove });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    // browsers keep pointermove for the next animation frame; where there is the raw event, that is first, and
    // the move which follows it changes nothing
    for (const type of ["pointerrawupdate", "pointermove", "pointerup", "pointercancel"]) {
      canvas.addEventListener(type, (event) => this.#change(event));
    }
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("auxclick", (event) => event.preventDefault());
  }

  letGo() {
    this.#held = 0;
  }

  place(event) {
    const area = this.canvas.getBoundingClientRect();
    const across = ((event.clientX - area.left) * this.canvas.width) / area.width;
    const down = ((event.clientY - area.top) * this.canvas.height) / area.height;
    return {
      x: Math.min(Math.max(Math.floor(across), 0), this.canvas.width - 1),
      y: Math.min(Math.max(Math.floor(down), 0), this.canvas.height - 1),
    };
  }

  #down(event) {
    event.preventDefault(); // keeps the focus with the keyboard's field
    this.onPress();
    try {
      this.canvas.setPointerCapture(event.pointerId);
    } catch {
      // the pointer is gone already
    }
    this.#change(event);
  }

  #change(event) {
    if (!this.isActive()) return;
    event.preventDefault();
    const at = this.place(event);
    const events = [];
    if (at.x !== this.#last.x || at.y !== this.#last.y) events.push({ type: "input.move", ...at });
    this.#last = at;
    const buttons = event.type === "pointercancel" ? 0 : event.buttons;
    for (const [bit, button] of BUTTONS) {
      if ((buttons ^ this.#held) & bit) {
        events.push({ type: "input.button", button, is_pressed: Boolean(buttons & bit) });
      }
    }
    this.#held = buttons;
    if (events.length) this.send(events);
    this.onMove(at);
  }

  #wheel(event) {
    event.preventDefault();
    if (!this.isActive() || event.ctrlKey && event.deltaMode === 0 && Math.abs(event.deltaY) < 1) return;
    const horizontal = this.#clicks("x", event.deltaX, event.wheelDeltaX, event.deltaMode);
    const vertical = this.#clicks("y", event.deltaY, event.wheelDeltaY, event.deltaMode);
    if (horizontal || vertical) this.send([{ type: "input.wheel", horizontal, vertical }]);
  }

  // wheels with notches say multiples of 120; touch pads say pixels, which add up to clicks
  #clicks(axis, delta, wheelDelta, mode) {
    let clicks;
    if (wheelDelta && wheelDelta % WHEEL_UNIT === 0) {
      clicks = -wheelDelta / WHEEL_UNIT;
      this.#rest[axis] = 0;
    } else {
      const perClick = mode === WheelEvent.DOM_DELTA_LINE ? LINES_PER_CLICK : PIXELS_PER_CLICK;
      const sum = this.#rest[axis] + (mode === WheelEvent.DOM_DELTA_PAGE ? Math.sign(delta) * 10 : delta / perClick);
      clicks = Math.trunc(sum);
      this.#rest[axis] = sum - clicks;
    }
    return Math.min(Math.max(Math.round(clicks), -CLICKS_LIMIT), CLICKS_LIMIT);
  }
}
