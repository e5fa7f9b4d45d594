// Questions to the technician's process. A refusal becomes a Refusal with its sentence and remedy.

export class Refusal extends Error {
  constructor(problem, status) {
    super(problem.sentence);
    this.problem = problem;
    this.status = status;
  }
}

export const GONE = {
  code: "E_NOT_RUNNING",
  sentence: "The console on this computer does not answer.",
  remedy: "It may have been closed. Run alongside console again for a new address.",
  detail: "",
};

export async function get(path) {
  return ask(path, { method: "GET" });
}

export async function post(path) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, cache: "no-store", credentials: "same-origin" });
  } catch {
    throw new Refusal(GONE, 0);
  }
  if (answer.status === 204) return null;
  const content = await answer.json();
  if (!answer.ok) throw new Refusal(content, answer.status);
  return content;
}
