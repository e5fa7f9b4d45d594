"""Every word of the prompt and the indicator; pure, so that its hash is over what the person read."""

import unicodedata
from dataclasses import dataclass
from math import ceil, inf

from agent.desktop.ipc_messages import ShowIndicator, ShowPrompt
from agent.desktop.language import ENGLISH, Language
from agent.desktop.verify_text import VerifyText, verify_text
from protocol.grantables import PLAIN_WORDS, Grantable
from protocol.limits import (
    NAME_LIMIT_CHARS,
    REASON_LIMIT_CHARS,
    STANDING_LENGTH_LIMIT_S,
    TICKET_NUMBER_LIMIT_CHARS,
)
from protocol.names import shown_text

TECHNICIAN, GROUP = "technician", "group"  # for whom something may be allowed beforehand
HOT_KEY_TEXT = "Ctrl+Alt+Shift+X"
UNVERIFIED_WARNING = (
    "Did they call YOU, or did a message or a web page tell you to call? Then this is a fraud: press "
    "Don't allow and hang up."
)
OTHERS_TOO = "\u2026 and everyone else at {organisation} who helps you"
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
    """The prompt's texts in reading order. `asked` pairs what is asked for with its line."""

    headline: str
    identity: str
    is_verified: bool
    asked_title: str
    asked: tuple[tuple[str, str], ...]
    screen_hint: str
    reason_title: str
    reason: str
    ticket: str
    length: str
    recording: str
    standing: tuple[tuple[str, str], ...] = ()
    block: str = "Block for 1 hour"
    verify: VerifyText | None = None
    compare_first: str = ""
    warning: str = ""
    word_title: str = ""
    word: str = ""
    refuse: str = "Don't allow"
    allow: str = "Allow"
    locale: str = ENGLISH.name

    def lines(self) -> tuple[str, ...]:
        """Every text that does not change while it is shown, in the order in which it stands there."""
        texts = (
            self.headline,
            self.identity,
            self.warning,
            *(self.verify.lines() if self.verify else ()),
            self.asked_title,
            *(line for _, line in self.asked),
            self.screen_hint,
            self.reason_title,
            self.reason,
            self.ticket,
            self.length,
            self.recording,
            *(line for _, line in self.standing),
            self.block,
            self.compare_first,
            self.word_title,
            self.refuse,
            self.allow,
        )
        return tuple(text for text in texts if text)

    def sha256(self) -> str:
        """SHA-256 (hex) of the lines, UTF-8, each ended by a line feed; audited with the answer."""
        import hashlib  # 3 MiB of OpenSSL, when there is something to ask

        return hashlib.sha256("".join(f"{line}\n" for line in self.lines()).encode()).hexdigest()


def prompt_text(order: ShowPrompt, *, has_hot_key: bool, language: Language = ENGLISH) -> PromptText:
    """What the person reads for this order. Where nobody can tell who asks, a word has to be typed."""
    import secrets  # OpenSSL, as above

    say = language.say
    name = outside_text(order.technician_name, NAME_LIMIT_CHARS) or say("Someone")
    organisation = outside_text(order.organisation_name, NAME_LIMIT_CHARS)
    sees_screen = Grantable.SCREEN_VIEW in order.grantables
    ticket = outside_text(order.ticket_number, TICKET_NUMBER_LIMIT_CHARS)
    verify = verify_text(order.readback, language) if order.readback else None
    word = "" if organisation else say(secrets.choice(WORDS))
    return PromptText(
        headline=say("{name} asks to help you", name=name),
        identity=(
            say("Verified: technician of {organisation}, your organisation", organisation=organisation)
            if organisation
            else say("NOT VERIFIED. We can't tell who this is.")
        ),
        is_verified=bool(organisation),
        asked_title=say("They ask for this alone. For anything more they have to ask you again."),
        asked=tuple((grantable, _plain_words(grantable, language)) for grantable in order.grantables),
        screen_hint=say("Close anything private before you allow this.") if sees_screen else "",
        reason_title=say("Why, in the technician's own words"),
        reason=outside_text(order.reason, REASON_LIMIT_CHARS) or say("(no reason given)"),
        ticket=say("Ticket {ticket}", ticket=ticket) if ticket else "",
        length=_length(order.length_s, language, has_hot_key=has_hot_key),
        recording=say("Nothing is recorded. A log on this computer notes what was allowed and done."),
        standing=_standing_lines(name, organisation, language) if order.may_stand and organisation else (),
        verify=verify,
        compare_first=(
            say("To allow this, first compare four digits: press “{button}”.", button=verify.button)
            if verify and not organisation
            else ""
        ),
        warning="" if organisation else say(UNVERIFIED_WARNING),
        word_title=say('To allow this, type the word "{word}":', word=word) if word else "",
        word=word,
        block=say("Block for 1 hour"),
        refuse=say("Don't allow"),
        allow=say("Allow"),
        locale=language.name,
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


def duration(length_s: float, language: Language = ENGLISH) -> str:
    """A length of time in words: "30 minutes", "1 hour 5 minutes", "45 seconds"."""
    if length_s < 60:
        return language.counted(int(length_s), "second")
    hours, minutes = divmod(int(length_s) // 60, 60)
    in_hours, in_minutes = language.counted(hours, "hour"), language.counted(minutes, "minute")
    if hours and minutes:
        return language.say("{hours} {minutes}", hours=in_hours, minutes=in_minutes)
    return in_hours if hours else in_minutes


def clock(left_s: float) -> str:
    """Time left as 4:59 or 1:04:59."""
    minutes, seconds = divmod(int(left_s + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def time_left(left_s: float, language: Language = ENGLISH) -> tuple[str, float]:
    """What the indicator says of the time left, whole minutes until the last one; how long that holds (s).

    Each new text is a change of the screen that a viewer gets and the device pays for.
    """
    seconds = ceil(left_s)
    if seconds <= 0:
        return language.say("{seconds} s", seconds="0"), inf
    if seconds <= _SECONDS_SHOWN:
        return language.say("{seconds} s", seconds=str(seconds)), left_s - (seconds - 1)
    minutes = ceil(left_s / 60)
    hours, rest = divmod(minutes, 60)
    if hours:
        text = language.say("{hours} h {minutes} min", hours=str(hours), minutes=str(rest))
    else:
        text = language.say("{minutes} min", minutes=str(minutes))
    return text, left_s - (minutes - 1) * 60


def time_here(here_s: float, language: Language = ENGLISH) -> str:
    """How long somebody has been here, in whole minutes."""
    hours, minutes = divmod(int(here_s) // 60, 60)
    if hours:
        length = language.say("{hours} h {minutes} min", hours=str(hours), minutes=str(minutes))
    else:
        length = language.say("{minutes} min", minutes=str(minutes))
    return language.say("here for {length}", length=length)


def indicator_text(order: ShowIndicator, language: Language = ENGLISH) -> tuple[str, str]:
    """The indicator's two texts: who is here, and what they may do."""
    say = language.say
    name = outside_text(order.technician_name, NAME_LIMIT_CHARS) or say("Someone")
    organisation = outside_text(order.organisation_name, NAME_LIMIT_CHARS)
    if organisation:
        who = say("{name}, {organisation}", name=name, organisation=organisation)
    else:
        who = say("{name} (NOT VERIFIED)", name=name)
    known = set(Grantable)
    words = [say(_SHORT_WORDS[Grantable(asked)]) for asked in order.grantables if asked in known]
    if words:
        may = say("can {what}", what=language.listed(words))
    else:
        may = say("is connected and can do nothing yet")
    if order.is_unattended:
        return who, say("{may} (allowed by your organisation without asking)", may=may)
    return who, say("{may} (allowed by you before)", may=may) if order.is_standing else may


def keys_taken_text(language: Language = ENGLISH) -> str:
    """What the indicator says while another program has the Stop keys."""
    return language.say(
        "The keys {keys} do not stop this: another program has them. Press Stop here.", keys=HOT_KEY_TEXT
    )


def _length(length_s: float, language: Language, *, has_hot_key: bool) -> str:
    length = duration(length_s, language)
    if not has_hot_key:
        return language.say(
            "For at most {length}. To end it sooner, press Stop at the top of the screen.", length=length
        )
    return language.say(
        "For at most {length}. To end it sooner, press Stop at the top of the screen or {keys}.",
        length=length,
        keys=HOT_KEY_TEXT,
    )


def _standing_lines(name: str, organisation: str, language: Language) -> tuple[tuple[str, str], ...]:
    length = language.counted(STANDING_LENGTH_LIMIT_S // 3600, "hour")
    return (
        (
            TECHNICIAN,
            language.say("Allow {name} the same without asking, for {length}", name=name, length=length),
        ),
        (GROUP, language.say(OTHERS_TOO, organisation=organisation)),
    )


def _plain_words(grantable: str, language: Language) -> str:
    try:
        return language.say(PLAIN_WORDS[Grantable(grantable)])
    except ValueError:
        name = outside_text(grantable, NAME_LIMIT_CHARS)
        return language.say("{name} (this version does not know what that is)", name=name)
