"""What the person's window says of state, code, permissions and itself, in the person's language."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from agent.desktop.ipc_messages import HelpNews, HelpOutcome, StandingRow, Status
from agent.desktop.language import Language
from agent.desktop.palette import Scheme
from agent.desktop.prompt_text import duration
from agent.desktop.tray_state import TrayState
from protocol.errors import ErrorCode, SupportError, error_text
from protocol.grantables import PLAIN_WORDS, Grantable
from protocol.names import shown_text

TITLE = "Alongside"

STATE_WORDS: Mapping[TrayState, str] = {
    TrayState.OFFLINE: "Not connected",
    TrayState.PAUSED: "Paused",
    TrayState.READY: "Ready",
    TrayState.IN_SESSION: "Someone is here",
}
STATE_SENTENCES: Mapping[TrayState, str] = {
    TrayState.OFFLINE: "Nobody can reach this computer for help right now.",
    TrayState.PAUSED: "Nobody can ask you, or connect to your desktop, until {until}.",
    TrayState.READY: "Nobody is connected. A technician can ask, and you decide.",
    TrayState.IN_SESSION: "The bar at the top of the screen says who it is and has Stop.",
}
SCHEME_WORDS: Mapping[Scheme, str] = {
    Scheme.DESKTOP: "As my desktop",
    Scheme.LIGHT: "Light",
    Scheme.DARK: "Dark",
}
_BLOCKED = "The four digits did not match, so nobody is let in. Lift that under Blocked first."
_NO_SERVICE = "Alongside is not running. Start this computer again, or tell whoever looks after it."
# faults that a person at this window can do something about; the sentences of the others stay English
FAULTS: Mapping[str, str] = {
    ErrorCode.E_NOT_RUNNING: _NO_SERVICE,
    ErrorCode.E_LINK_LOST: _NO_SERVICE,
    ErrorCode.E_RELAY_UNREACHABLE: "The relay cannot be reached. Check the network, then try again.",
    ErrorCode.E_BUSY: "A code is shown already, or this computer is busy. Try again in a moment.",
    ErrorCode.E_RATE: "Too many codes in a short time. Wait a while, then try again.",
    ErrorCode.E_CODE_POLICY: "Your organisation does not allow support codes. Call its technicians instead.",
    ErrorCode.E_CODE_BLOCKED: _BLOCKED,
    ErrorCode.E_CONSENT_PAUSED: "You paused. End the pause first, then get help.",
}
# the person's own words; security sentences among them are frozen by a test
READ_ALOUD = "Read this code aloud, group by group, to the person whom YOU called for help."
NEVER_TO_CALLERS = "Never give it to somebody who called you."
NOTHING_YET = "Nothing is allowed yet; you are asked on your screen."


def state_word(state: TrayState, language: Language) -> str:
    """The state in a word or three."""
    return language.say(STATE_WORDS[state])


def state_sentence(state: TrayState, paused_s: float, language: Language) -> str:
    """What the state means for the person."""
    sentence = STATE_SENTENCES[state]
    return (
        language.say(sentence, until=until(paused_s)) if state is TrayState.PAUSED else language.say(sentence)
    )


def until(left_s: float) -> str:
    """The time of day when this is over."""
    return f"{datetime.now().astimezone() + timedelta(seconds=left_s):%H:%M}"


def works_for(left_s: float, language: Language) -> str:
    """The countdown of a code."""
    minutes, seconds = divmod(max(0, round(left_s)), 60)
    return language.say("It works once, for another {time}.", time=f"{minutes}:{seconds:02}")


def news_text(news: HelpNews, language: Language) -> str:
    """What came of a code."""
    say = language.say
    if news.outcome is HelpOutcome.EXPIRED:
        return say("The code has expired. Nothing was allowed.")
    if news.outcome is HelpOutcome.WRONG:
        return say("Someone tried a wrong code. Nothing was allowed, and this code is void.")
    who = say("Somebody with your code is there. NOT VERIFIED: we can't tell who this is.")
    if news.organisation_name:
        who = say(
            "{name}, technician of {organisation}, is there.",
            name=news.technician_name,
            organisation=news.organisation_name,
        )
    digits = say(
        "Ask them to read four digits to you. They have to be: {digits}", digits=" ".join(news.readback)
    )
    return f"{who}\n{digits}\n{say(NOTHING_YET)}"


def fault_text(fault: SupportError, language: Language) -> str:
    """Why something did not work, and what to do."""
    known = FAULTS.get(fault.code)
    if known is not None:
        return f"{language.say(known)} ({fault.code})"
    text = error_text(fault.code)
    return f"{text.sentence} {text.remedy} ({fault.code})"


def standing_text(row: StandingRow, language: Language) -> str:
    """One permission that was given beforehand."""
    known = {grantable.value: PLAIN_WORDS[grantable] for grantable in Grantable}
    whom = f"{row.name} ({row.whom})" if row.name else row.whom
    what = language.say(known[row.grantable]) if row.grantable in known else shown_text(row.grantable, 40)
    return language.say(
        "{name}, without asking you: {what} (for another {length})",
        name=whom,
        what=what,
        length=duration(row.left_s, language),
    )


def about_lines(status: Status, version: str, language: Language) -> list[tuple[str, str]]:
    """What the program is, and whom it belongs to: names and values."""
    say = language.say
    none = say("none")
    return [
        (say("Version"), version),
        (say("Organisation"), status.organisation_name or none),
        (say("Organisation's key (SHA-256)"), grouped(status.organisation_id) or none),
        (say("This computer"), status.device_id),
        (say("Group"), status.group or none),
        (say("Relay"), status.relay_url),
        (say("Policy version"), str(status.policy_version)),
    ]


def grouped(fingerprint: str) -> str:
    """A fingerprint in groups of four, as it is read aloud."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))
