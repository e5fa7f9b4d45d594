// The way to the decoder: a worker, or this thread where there are no workers or theirs decode no video.

import { FrameDecoder, decodableCodecs } from "./frame_decoder.js";

const ADDRESS = new URL("./video_worker.js", import.meta.url).href;

export class VideoPort {
  #worker = null;
  #own = null;

  // `answered(message)` gets what FrameDecoder answers
  constructor(answered) {
    this.answered = answered;
    this.codecs = this.#open();
  }

  send(order, transferred = []) {
    if (this.#worker) this.#worker.postMessage(order, transferred);
    else this.#own.take(order);
  }

  async #open() {
    const here = await decodableCodecs();
    const there = await this.#start();
    if (there.length >= here.length && there.length) return there;
    this.#worker?.terminate();
    this.#worker = null;
    this.#own = new FrameDecoder((message) => this.answered(message));
    return here;
  }

  // what the worker decodes; nothing if it does not start
  #start() {
    return new Promise((resolve) => {
      try {
        this.#worker = new Worker(trusted(), { type: "module", name: "video" });
      } catch {
        resolve([]);
        return;
      }
      this.#worker.onerror = () => resolve([]);
      this.#worker.onmessage = ({ data }) => {
        if (data.kind === "codecs") resolve(data.codecs);
        else this.answered(data);
      };
    });
  }
}

// the only address that this page's policy knows (headers.py)
function trusted() {
  if (!globalThis.trustedTypes) return ADDRESS;
  return trustedTypes.createPolicy("video-worker", { createScriptURL: () => ADDRESS }).createScriptURL("");
}

