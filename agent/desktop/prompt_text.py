"""Every word of the prompt and the indicator; pure, so that its hash is over what the person read."""

import hashlib
import secrets
import unicodedata
from dataclasses import dataclass
from math import ceil, inf

from agent.desktop.ipc_messages import ShowIndicator, ShowPrompt
from protocol.grantables import PLAIN_WORDS, Grantable
from protocol.limits import (
    NAME_LIMIT_CHARS,
    REASON_LIMIT_CHARS,
    STANDING_LENGTH_LIMIT_S,
    TICKET_NUMBER_LIMIT_CHARS,
)
from protocol.names import shown_text
from protocol.readback import READBACK_DIGITS

LOCALE = "en"  # the language of every text here
TECHNICIAN, GROUP = "technician", "group"  # for whom something may be allowed beforehand
HOT_KEY_TEXT = "Ctrl+Alt+Shift+X"
UNVERIFIED_WARNING = (
    "Did they call YOU, or did a message or a web page tell you to call? Then this is a fraud: press "
    "Don't allow and hang up."
)
# short, common, no two alike, and none that means yes
WORDS = ("garden", "window", "bottle", "camera", "pencil", "island", "ladder", "orange", "planet", "rabbit")
_LAST_PLAIN_SYMBOL = 0x218F  # below: ©, °, ™, №, Roman numerals; above: arrows, ticks, locks, pictures
_MARKS_IN_A_ROW_LIMIT = 2
_HIDDEN = "\ufffd"
_SECONDS_SHOWN = 60

_SHORT_WORDS: dict[Grantable, str] = {
    Grantable.SCREEN_VIEW: "see your screen",
    Grantable.INPUT_CONTROL: "use your mouse and keyboard",
    Grantable.DIAGNOSTICS_READ: "read how this computer is doing",
    Grantable.COMMANDS_RUN: "run approved commands",
}


@dataclass(frozen=True, slots=True)
class PromptText:
    """The prompt's texts in reading order. `boxes` pairs each grantable with its line."""

    headline: str
    identity: str
    is_verified: bool
    boxes_title: str
    boxes: tuple[tuple[str, str], ...]
    screen_hint: str
    reason_title: str
    reason: str
    ticket: str
    length: str
    recording: str
    standing: tuple[tuple[str, str], ...] = ()
    block: str = "Block for 1 hour"
    readback: str = ""
    warning: str = ""
    word_title: str = ""
    word: str = ""
    refuse: str = "Don't allow"
    allow: str = "Allow"

    def lines(self) -> tuple[str, ...]:
        """Every text that does not change while it is shown, in the order in which it stands there."""
        texts = (
            self.headline,
            self.identity,
            self.warning,
            self.readback,
            self.boxes_title,
            *(line for _, line in self.boxes),
            self.screen_hint,
            self.reason_title,
            self.reason,
            self.ticket,
            self.length,
            self.recording,
            *(line for _, line in self.standing),
            self.block,
            self.word_title,
            self.refuse,
            self.allow,
        )
        return tuple(text for text in texts if text)

    def sha256(self) -> str:
        """SHA-256 (hex) of the lines, UTF-8, each ended by a line feed; audited with the answer."""
        return hashlib.sha256("".join(f"{line}\n" for line in self.lines()).encode()).hexdigest()


def prompt_text(order: ShowPrompt, *, has_hot_key: bool) -> PromptText:
    """What the person reads for this order. Where nobody can tell who asks, a word has to be typed."""
    name = outside_text(order.technician_name, NAME_LIMIT_CHARS) or "Someone"
    organisation = outside_text(order.organisation_name, NAME_LIMIT_CHARS)
    sees_screen = Grantable.SCREEN_VIEW in order.grantables
    stop = "Stop at the top of the screen" + (f" or {HOT_KEY_TEXT}" if has_hot_key else "")
    ticket = outside_text(order.ticket_number, TICKET_NUMBER_LIMIT_CHARS)
    digits = " ".join(outside_text(order.readback, READBACK_DIGITS))
    word = "" if organisation else secrets.choice(WORDS)
    return PromptText(
        headline=f"{name} asks to help you",
        identity=(
            f"Verified: technician of {organisation}, your organisation"
            if organisation
            else "NOT VERIFIED. We can't tell who this is."
        ),
        is_verified=bool(organisation),
        boxes_title="They ask to do this. Untick what you do not want.",
        boxes=tuple((grantable, _plain_words(grantable)) for grantable in order.grantables),
        screen_hint="Close anything private before you allow this." if sees_screen else "",
        reason_title="Why, in the technician's own words",
        reason=outside_text(order.reason, REASON_LIMIT_CHARS) or "(no reason given)",
        ticket=f"Ticket {ticket}" if ticket else "",
        length=f"For at most {duration(order.length_s)}. To end it sooner, press {stop}.",
        recording="Nothing is recorded. A log on this computer notes what was allowed and done.",
        standing=_standing_lines(name, organisation) if order.may_stand and organisation else (),
        readback=f"Ask them to read four digits to you. They have to be: {digits}" if digits else "",
        warning="" if organisation else UNVERIFIED_WARNING,
        word_title=f'To allow this, type the word "{word}":' if word else "",
        word=word,
    )


def outside_text(text: str, limit_chars: int) -> str:
    """A text from outside as the prompt shows it: `protocol.names` and no pictures.

    Pictures go because a tick or a lock in a name would look like a mark of ours, and because some
    versions of Xft end the program that draws a colour glyph. Combining marks are kept, two in a row at most.
    """
    kept: list[str] = []
    marks = 0
    for character in shown_text(text, limit_chars):
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if 0xFE00 <= ord(character) <= 0xFE0F or marks > _MARKS_IN_A_ROW_LIMIT:
            continue
        is_picture = category in ("So", "Sk") and ord(character) > _LAST_PLAIN_SYMBOL
        shown = _HIDDEN if is_picture else character
        if shown == _HIDDEN and kept and kept[-1] == _HIDDEN:
            continue
        kept.append(shown)
    return "".join(kept)


def duration(length_s: float) -> str:
    """A length of time in words: "30 minutes", "1 hour 5 minutes", "45 seconds"."""
    if length_s < 60:
        return _count(int(length_s), "second")
    hours, minutes = divmod(int(length_s) // 60, 60)
    return " ".join(part for part in (_count(hours, "hour"), _count(minutes, "minute")) if part)


def clock(left_s: float) -> str:
    """Time left as 4:59 or 1:04:59."""
    minutes, seconds = divmod(int(left_s + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def time_left(left_s: float) -> tuple[str, float]:
    """What the indicator says of the time left, whole minutes until the last one; how long that holds (s).

    Each new text is a change of the screen that a viewer gets and the device pays for.
    """
    seconds = ceil(left_s)
    if seconds <= 0:
        return "0 s", inf
    if seconds <= _SECONDS_SHOWN:
        return f"{seconds} s", left_s - (seconds - 1)
    minutes = ceil(left_s / 60)
    hours, rest = divmod(minutes, 60)
    text = f"{hours} h {rest} min" if hours else f"{minutes} min"
    return text, left_s - (minutes - 1) * 60


def indicator_text(order: ShowIndicator) -> tuple[str, str]:
    """The indicator's two texts: who is here, and what they may do."""
    name = outside_text(order.technician_name, NAME_LIMIT_CHARS) or "Someone"
    organisation = outside_text(order.organisation_name, NAME_LIMIT_CHARS)
    who = f"{name}, {organisation}" if organisation else f"{name} (NOT VERIFIED)"
    words = [_SHORT_WORDS[Grantable(known)] for known in order.grantables if known in set(Grantable)]
    may = f"can {_listed(words)}" if words else "is connected and can do nothing yet"
    if order.is_unattended:
        return who, f"{may} (allowed by your organisation without asking)"
    return who, may + (" (allowed by you before)" if order.is_standing else "")


def _standing_lines(name: str, organisation: str) -> tuple[tuple[str, str], ...]:
    hours = STANDING_LENGTH_LIMIT_S // 3600
    return (
        (TECHNICIAN, f"Allow {name} the same without asking, for {hours} hours"),
        (GROUP, f"\u2026 and everyone else at {organisation} who helps you"),
    )


def _plain_words(grantable: str) -> str:
    try:
        return PLAIN_WORDS[Grantable(grantable)]
    except ValueError:
        return f"{outside_text(grantable, NAME_LIMIT_CHARS)} (this version does not know what that is)"


def _count(number: int, word: str) -> str:
    if not number:
        return ""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
