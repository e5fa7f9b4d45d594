// From a KeyboardEvent to an X keysym. Source: keysymdef.h and XF86keysym.h of X11; UI Events KeyboardEvent key values.

const UNICODE = 0x01000000;
const F1 = 0xffbe;
const LEFT = 1;
const RIGHT = 2;
const KEYPAD = 3;

// [standard or left, right]
const MODIFIERS = {
  Shift: [0xffe1, 0xffe2],
  Control: [0xffe3, 0xffe4],
  Alt: [0xffe9, 0xffea],
  Meta: [0xffeb, 0xffec],
  OS: [0xffeb, 0xffec],
  Super: [0xffeb, 0xffec],
  Hyper: [0xffed, 0xffee],
  AltGraph: [0xfe03, 0xfe03],
};

const NAMED = {
  Backspace: 0xff08, Tab: 0xff09, Clear: 0xff0b, Enter: 0xff0d, Pause: 0xff13, ScrollLock: 0xff14,
  Escape: 0xff1b, Compose: 0xff20, KanjiMode: 0xff21, NonConvert: 0xff22, Convert: 0xff23,
  Romaji: 0xff24, Hiragana: 0xff25, Katakana: 0xff26, HiraganaKatakana: 0xff27, Zenkaku: 0xff28,
  Hankaku: 0xff29, ZenkakuHankaku: 0xff2a, KanaMode: 0xff2d, Eisu: 0xff2f, HangulMode: 0xff31,
  HanjaMode: 0xff34, Home: 0xff50, ArrowLeft: 0xff51, ArrowUp: 0xff52, ArrowRight: 0xff53,
  ArrowDown: 0xff54, PageUp: 0xff55, PageDown: 0xff56, End: 0xff57, Select: 0xff60, PrintScreen: 0xff61,
  Execute: 0xff62, Insert: 0xff63, Undo: 0xff65, Redo: 0xff66, ContextMenu: 0xff67, Find: 0xff68,
  Cancel: 0xff69, Help: 0xff6a, NumLock: 0xff7f, CapsLock: 0xffe5, Delete: 0xffff,
  BrightnessUp: 0x1008ff02, BrightnessDown: 0x1008ff03, AudioVolumeDown: 0x1008ff11,
  AudioVolumeMute: 0x1008ff12, AudioVolumeUp: 0x1008ff13, MediaPlayPause: 0x1008ff14,
  MediaStop: 0x1008ff15, MediaTrackPrevious: 0x1008ff16, MediaTrackNext: 0x1008ff17,
  BrowserHome: 0x1008ff18, LaunchMail: 0x1008ff19, BrowserSearch: 0x1008ff1b, BrowserBack: 0x1008ff26,
  BrowserForward: 0x1008ff27, BrowserStop: 0x1008ff28, BrowserRefresh: 0x1008ff29,
  BrowserFavorites: 0x1008ff30, Copy: 0x1008ff57, Cut: 0x1008ff58, Paste: 0x1008ff6d,
};

const ON_KEYPAD = {
  Tab: 0xff89, Enter: 0xff8d, Home: 0xff95, ArrowLeft: 0xff96, ArrowUp: 0xff97, ArrowRight: 0xff98,
  ArrowDown: 0xff99, PageUp: 0xff9a, PageDown: 0xff9b, End: 0xff9c, Clear: 0xff9d, Insert: 0xff9e,
  Delete: 0xff9f, "=": 0xffbd, "*": 0xffaa, "+": 0xffab, ",": 0xffac, "-": 0xffad, ".": 0xffae,
  "/": 0xffaf, 0: 0xffb0, 1: 0xffb1, 2: 0xffb2, 3: 0xffb3, 4: 0xffb4, 5: 0xffb5, 6: 0xffb6, 7: 0xffb7,
  8: 0xffb8, 9: 0xffb9,
};

export const KEYSYMS = {
  controlLeft: 0xffe3, altLeft: 0xffe9, shiftLeft: 0xffe1, superLeft: 0xffeb, delete: 0xffff,
  printScreen: 0xff61, escape: 0xff1b, tab: 0xff09, altGraph: 0xfe03,
};

// the keysym of one character: Latin-1 has its own code, the rest is Unicode
export function keysymOfCharacter(character) {
  const point = character.codePointAt(0);
  const isLatin1 = (point >= 0x20 && point <= 0x7e) || (point >= 0xa0 && point <= 0xff);
  return isLatin1 ? point : UNICODE + point;
}

// 0 where the event has no key of its own: dead keys, input methods, unknown keys
export function keysymOf({ key, location }) {
  if (Object.hasOwn(MODIFIERS, key)) return MODIFIERS[key][location === RIGHT ? 1 : 0];
  if (location === KEYPAD && Object.hasOwn(ON_KEYPAD, key)) return ON_KEYPAD[key];
  if (Object.hasOwn(NAMED, key)) return NAMED[key];
  const number = /^F([1-9]|1[0-9]|2[0-4])$/.exec(key);
  if (number) return F1 + Number(number[1]) - 1;
  return [...key].length === 1 ? keysymOfCharacter(key) : 0;
}

export function isModifier(key) {
  return Object.hasOwn(MODIFIERS, key);
}

export const LOCATION = { LEFT, RIGHT, KEYPAD };
