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

// granted; control is "starting" and "paused" too, while what the technician does is not carried out
const LIVE = ["allowed", "starting", "paused"];

export class Permissions {
  #standing = new Map();

  of(grantable) {
    return this.#standing.get(grantable) ?? { state: "none", problem: null, untilMs: 0 };
  }

  isAllowed(grantable) {
    return LIVE.includes(this.of(grantable).state);
  }

  // whether mouse and keyboard are carried out at this moment
  get doesControl() {
    return this.of(CONTROL).state === "allowed";
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
        const { state } = this.of(grantable);
        const first = grantable === CONTROL ? "starting" : "allowed";
        this.#set(grantable, LIVE.includes(state) ? state : first, null, performance.now() + remainingS * 1000);
      } else if (!this.isAllowed(grantable)) {
        this.#set(grantable, "refused", answer.refused[grantable] ?? null);
      }
    }
  }

  // what the device says of control: that events act, or not while its person is asked something
  inputState(isActive) {
    const { state, untilMs } = this.of(CONTROL);
    if (!LIVE.includes(state)) return;
    const still = state === "starting" ? state : "paused";
    this.#set(CONTROL, isActive ? "allowed" : still, null, untilMs);
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
