// The commands tab: what the organisation approved, its typed parameters, its output as it comes.

import { get } from "../api.js";
import { byId, element, foreign, setText, show } from "../dom.js";
import { Gate } from "../gate.js";
import { notice } from "../notice.js";
import { COMMANDS } from "../permissions.js";
import { fieldFor } from "./fields.js";

const OUTPUT_LIMIT_CHARS = 1 << 20;
let runNo = 0;

export class CommandsPanel {
  #link = null;
  #runs = new Map();
  #entries = [];

  constructor(workspace) {
    this.workspace = workspace;
    new Gate(byId("commands-gate"), workspace, {
      grantable: COMMANDS,
      title: "Run approved commands",
      text: "Only commands that your organisation signed. The person reads what each one does.",
    });
    workspace.addEventListener("link", (event) => this.#attach(event.detail));
    workspace.addEventListener("change", () => show(byId("commands"), workspace.permissions.isAllowed(COMMANDS)));
    show(byId("commands"), false);
  }

  async load() {
    try {
      this.#entries = (await get("/api/catalogue")).entries;
    } catch (refusal) {
      byId("commands").replaceChildren(element("div", { class: "notice bad" }, ...notice(refusal.problem)));
      return;
    }
    this.#draw();
  }

  #attach(link) {
    this.#link = link;
    const run = (message) => this.#runs.get(message.run_no);
    link
      .on("command_started", (message) => run(message)?.started(message))
      .on("command_output", (message) => run(message)?.output(message))
      .on("command_ended", (message) => run(message)?.ended(message))
      .on("over", (message) => [...this.#runs.values()].forEach((one) => one.lost(message)));
  }

  #draw() {
    if (!this.#entries.length) {
      byId("commands").replaceChildren(element("div", { class: "empty" },
        element("h2", {}, "No approved commands"),
        element("p", { class: "muted" }, "Publish a policy with a catalogue: alongside policy publish")));
      return;
    }
    const detail = element("div", { class: "card command" });
    const buttons = this.#entries.map((entry) =>
      element("button", { type: "button", "data-command": entry.command_id, onclick: () => this.#press(entry, detail, buttons) }, foreign(entry.title)));
    byId("commands").replaceChildren(element("div", { class: "card command-list" }, ...buttons), detail);
    this.#choose(this.#entries[0], detail, buttons);
  }

  // on a narrow page the command stands below the whole list
  #press(entry, detail, buttons) {
    this.#choose(entry, detail, buttons);
    if (detail.offsetTop > buttons.at(-1).offsetTop) detail.scrollIntoView({ block: "start" });
  }

  #choose(entry, detail, buttons) {
    for (const button of buttons) button.setAttribute("aria-current", String(button.dataset.command === entry.command_id));
    const fields = entry.parameters.map(fieldFor);
    const runs = element("div", { class: "stack" });
    const onsubmit = (event) => {
      event.preventDefault();
      const wrong = fields.filter((field) => !field.check());
      if (wrong.length) wrong[0].focus();
      else runs.prepend(this.#run(entry, fields).view);
    };
    detail.replaceChildren(
      element("div", {}, element("h2", {}, foreign(entry.title)), element("p", { class: "code" }, foreign(entry.command_id), ` · risk ${entry.risk} · at most ${entry.timeout_s} s · `, foreign(entry.platforms.join(", ")))),
      element("div", {}, element("p", { class: "small muted" }, "The person reads"), element("p", { class: "quote" }, foreign(entry.person_text))),
      element("form", { class: "stack", onsubmit, novalidate: true },
        ...fields.map((field) => field.view),
        element("div", { class: "row" }, element("button", { type: "submit", class: "primary" }, "Run"), element("code", { class: "mono muted" }, foreign(entry.argv.join(" "))))),
      runs,
    );
  }

  #run(entry, fields) {
    const no = (runNo += 1);
    const parameters = Object.fromEntries(fields.filter((field) => field.value !== "").map((field) => [field.name, field.value]));
    const run = new Run(() => this.#link.send("cancel", { run_no: no }));
    this.#runs.set(no, run);
    this.#link.send("run", { run_no: no, command_id: entry.command_id, entry_sha256: entry.sha256, parameters });
    return run;
  }
}

class Run {
  #length = 0;
  #isOver = false;

  constructor(onCancel) {
    this.dot = element("span", { class: "dot pending pulse" });
    this.word = element("span", { role: "status" }, "Waiting for the device…");
    this.cancel = element("button", { type: "button", class: "compact", onclick: onCancel }, "Cancel");
    this.argv = element("code", { class: "mono muted" });
    this.text = element("pre", { class: "output", tabindex: "0", "aria-label": "Output" });
    this.text.hidden = true;
    this.problem = element("div", { hidden: true, class: "notice bad" });
    this.view = element("section", { class: "run" },
      element("div", { class: "run-head" }, element("span", { class: "state" }, this.dot, this.word), this.argv, element("span", { class: "grow" }), this.cancel),
      this.problem, this.text);
  }

  started({ argv }) {
    setText(this.word, "Running");
    setText(this.argv, argv.join(" "));
  }

  output({ stream, text }) {
    if (this.#length > OUTPUT_LIMIT_CHARS) return;
    this.#length += text.length;
    const isAtEnd = this.text.scrollTop + this.text.clientHeight >= this.text.scrollHeight - 24;
    this.text.append(element("span", { class: stream }, text));
    this.text.hidden = false;
    if (isAtEnd) this.text.scrollTop = this.text.scrollHeight;
  }

  ended(message) {
    const isGood = !message.was_refused && message.exit_status === 0;
    const words = message.was_refused
      ? "Not run"
      : `${isGood ? "Finished" : "Failed"} · exit status ${message.exit_status} · ${message.took_s.toFixed(1)} s${message.is_truncated ? " · output was cut" : ""}`;
    this.#over(isGood, words, message.problem);
  }

  lost(message) {
    if (!this.#isOver) this.#over(false, "The session ended", message.problem);
  }

  #over(isGood, words, problem) {
    this.#isOver = true;
    this.dot.className = `dot ${isGood ? "here" : "bad"}`;
    setText(this.word, words);
    this.cancel.hidden = true;
    show(this.problem, Boolean(problem));
    if (problem) this.problem.replaceChildren(...notice(problem));
  }
}
