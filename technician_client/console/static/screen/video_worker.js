// The worker that decodes every region of video of a page.

import { FrameDecoder, decodableCodecs } from "./frame_decoder.js";

const decoder = new FrameDecoder((answer, transferred) => postMessage(answer, transferred));
onmessage = ({ data }) => decoder.take(data);
decodableCodecs().then((codecs) => postMessage({ kind: "codecs", codecs }));
