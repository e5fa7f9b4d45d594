// The binary messages of a session, read. The layout is in picture_wire.py.

const KIND_PART = 1;
const KIND_CURSOR = 2;
const KIND_COPIES = 3;
const KIND_PROOF = 4;
const KIND_VIDEO = 5;
const KIND_VIDEO_ENDED = 6;
const FLAG_LAST = 1;
const FLAG_RESET = 2;
const FLAG_KEY = 1;
const PART_HEAD_BYTES = 24;
const RECTANGLE_BYTES = 8;
const COPIES_HEAD_BYTES = 8;
const COPY_BYTES = 12;
const PROOF_HEAD_BYTES = 12;
const VIDEO_HEAD_BYTES = 20;

export function isCursor(buffer) {
  return new DataView(buffer).getUint8(0) === KIND_CURSOR;
}

export function read(buffer) {
  const view = new DataView(buffer);
  switch (view.getUint8(0)) {
    case KIND_PART:
      return { part: readPart(view) };
    case KIND_COPIES:
      return { copies: readCopies(view) };
    case KIND_PROOF:
      return { proof: readProof(view) };
    case KIND_VIDEO:
      return { video: readVideo(view) };
    case KIND_VIDEO_ENDED:
      return { videoEnded: { regionNo: view.getUint32(8, true) } };
    default:
      throw new RangeError("an unknown kind of message");
  }
}

function readPart(view) {
  const count = view.getUint16(2, true);
  const rectangles = [];
  let sizeBytes = 0;
  for (let index = 0; index < count; index += 1) {
    const at = PART_HEAD_BYTES + index * RECTANGLE_BYTES;
    const [x, y, width, height] = words(view, at, 4);
    rectangles.push({ x, y, width, height });
    sizeBytes += width * height * 3;
  }
  const flags = view.getUint8(1);
  return {
    isLast: (flags & FLAG_LAST) !== 0,
    isReset: (flags & FLAG_RESET) !== 0,
    sequence: view.getUint32(4, true),
    capturedAt: view.getFloat64(8, true),
    width: view.getUint32(16, true),
    height: view.getUint32(20, true),
    rectangles,
    sizeBytes,
    compressed: new Uint8Array(view.buffer, PART_HEAD_BYTES + count * RECTANGLE_BYTES),
  };
}

function readCopies(view) {
  const copies = [];
  for (let index = 0; index < view.getUint16(2, true); index += 1) {
    const [x, y, width, height, toX, toY] = words(view, COPIES_HEAD_BYTES + index * COPY_BYTES, 6);
    copies.push({ x, y, width, height, toX, toY });
  }
  return copies;
}

function readProof(view) {
  const [y, height] = words(view, 8, 2);
  return { sequence: view.getUint32(4, true), y, height, sha256: new Uint8Array(view.buffer, PROOF_HEAD_BYTES) };
}

function readVideo(view) {
  const [x, y, width, height] = words(view, 12, 4);
  const codecBytes = view.getUint16(2, true);
  return {
    isKey: (view.getUint8(1) & FLAG_KEY) !== 0,
    sequence: view.getUint32(4, true),
    regionNo: view.getUint32(8, true),
    place: { x, y, width, height },
    codec: String.fromCharCode(...new Uint8Array(view.buffer, VIDEO_HEAD_BYTES, codecBytes)),
    encoded: new Uint8Array(view.buffer, VIDEO_HEAD_BYTES + codecBytes),
  };
}

function words(view, at, count) {
  return Array.from({ length: count }, (_, index) => view.getUint16(at + 2 * index, true));
}
