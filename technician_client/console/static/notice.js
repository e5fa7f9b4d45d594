// What happened and what to do next, for a refusal.

import { element, foreign } from "./dom.js";

export function notice(problem) {
  const parts = [element("strong", {}, problem.sentence), element("p", {}, problem.remedy)];
  if (problem.detail) parts.push(element("p", { class: "small" }, foreign(problem.detail)));
  parts.push(element("p", { class: "code" }, problem.code));
  return parts;
}
