// What may be asked for, and where each permission stands.

export const SCREEN = "screen.view";
export const CONTROL = "input.control";
export const DIAGNOSTICS = "diagnostics.read";
export const COMMANDS = "commands.run";
export const ALL = [SCREEN, CONTROL, DIAGNOSTICS, COMMANDS];

export const WORDS = {
  [SCREEN]: { short: "Screen", long: "See the screen", ask: "Ask for the screen" },
  [CONTROL]: { short: "Control", long: "Control mouse and keyboard", ask: "Ask to control" },
  [DIAGNOSTICS]: { short: "Diagnostics", long: "Read diagnostics", ask: "Ask for diagnostics" },
  [COMMANDS]: { short: "Commands", long: "Run approved commands", ask: "Ask for commands" },
};

export class Permissions {
  #standing = new Map();

  of(grantable) {
    return this.#standing.get(grantable) ?? { state: "none", problem: null, untilMs: 0 };
  }

  isAllowed(grantable) {
    return this.of(grantable).state === "allowed";
  }

  // whether an answer is waited for: the device asks its person for one thing at a time
  get isWaiting() {
    return ALL.some((grantable) => this.of(grantable).state === "asked");
  }

  asked(grantables) {
    for (const grantable of grantables) {
      if (!this.isAllowed(grantable)) this.#set(grantable, "asked");
    }
  }

  answered(answer) {
    for (const grantable of answer.asked) {
      const remainingS = answer.granted[grantable];
      if (remainingS !== undefined) {
        this.#set(grantable, "allowed", null, performance.now() + remainingS * 1000);
      } else if (!this.isAllowed(grantable)) {
        this.#set(grantable, "refused", answer.refused[grantable] ?? null);
      }
    }
  }

  ended(grantable, problem) {
    this.#set(grantable, "ended", problem);
  }

  reset() {
    this.#standing.clear();
  }

  // seconds until the first live permission ends, or null
  secondsLeft() {
    const ends = ALL.filter((grantable) => this.isAllowed(grantable)).map((one) => this.of(one).untilMs);
    return ends.length ? Math.max(0, (Math.min(...ends) - performance.now()) / 1000) : null;
  }

  #set(grantable, state, problem = null, untilMs = 0) {
    this.#standing.set(grantable, { state, problem, untilMs });
  }
}
