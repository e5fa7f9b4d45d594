"""*Who was here* in plain words: who, when, how long, what was allowed and done, how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.desktop.ipc_messages import Visit
from agent.desktop.language import Language
from agent.desktop.prompt_text import duration
from protocol.errors import ErrorCode
from protocol.grantables import PLAIN_WORDS, Grantable
from protocol.names import shown_text

ACTS: Mapping[str, str] = {
    "screen": "saw the screen",
    "input": "used mouse and keyboard",
    "diagnostics": "looked at how it is doing",
}
CAUSES: Mapping[str, str] = {
    "technician_left": "Ended by the technician.",
    "finished": "Ended by this computer.",
    ErrorCode.E_SESSION_STOPPED: "Ended by you, with Stop.",
    ErrorCode.E_CONSENT_PAUSED: "Ended by you, with a pause.",
    ErrorCode.E_READBACK_MISMATCH: "Ended by you: the four digits did not match.",
    ErrorCode.E_READBACK_BLOCKED: "Ended by you: the four digits did not match in another session.",
    ErrorCode.E_LINK_LOST: "Ended because the connection was lost.",
    ErrorCode.E_PEER_SILENT: "Ended because the connection was lost.",
}

RECEIPTS: Mapping[str, str] = {
    "both": "Both sides signed a receipt of it.",
    "device": "This computer alone signed a receipt of it.",
}


@dataclass(frozen=True, slots=True)
class VisitText:
    """One session as the person reads it; `headline` says who."""

    headline: str
    is_verified: bool
    lines: tuple[str, ...]


def visit_text(visit: Visit, language: Language) -> VisitText:
    """All of one session."""
    say = language.say
    who = f"{visit.name} ({visit.technician_id})" if visit.name else say("Someone who was NOT VERIFIED")
    lines = (_when(visit, language), allowed_line(visit, language), *done_lines(visit, language))
    if visit.cause:
        lines = (*lines, _end(visit, language))
    if visit.receipt in RECEIPTS:
        lines = (*lines, say(RECEIPTS[visit.receipt]))
    return VisitText(who, bool(visit.name), lines)


def _when(visit: Visit, language: Language) -> str:
    length = duration(max(1.0, visit.length_s), language)
    if not visit.cause:
        return language.say("Since {time}, and still here", time=_local(visit.started_at_utc))
    return language.say("{time}, for {length}", time=_local(visit.started_at_utc), length=length)


def allowed_line(visit: Visit, language: Language) -> str:
    """What the person, or the policy, allowed."""
    known = {grantable.value: PLAIN_WORDS[grantable] for grantable in Grantable}
    words = [language.say(known[word]) for word in visit.grantables if word in known]
    if not words:
        return language.say("Nothing was allowed.")
    return language.say("Allowed: {what}", what=language.joined(words, ";"))


def done_lines(visit: Visit, language: Language) -> tuple[str, ...]:
    """What was really done with it."""
    acts = [language.say(ACTS[act]) for act in visit.acts if act in ACTS]
    lines = []
    if acts:
        lines.append(language.say("Done: {what}", what=language.listed(acts)))
    elif not visit.commands:
        lines.append(language.say("Nothing was done."))
    if visit.commands:
        more = visit.commands_count - len(visit.commands)
        shown = language.joined((_command(command, language) for command in visit.commands), ",")
        commands = f"{shown} … (+{more})" if more > 0 else shown
        lines.append(language.say("Commands: {commands}", commands=commands))
    return tuple(lines)


def _command(command: str, language: Language) -> str:
    name, _, outcome = shown_text(command, 60).partition(": ")
    if outcome == "exit 0":
        return language.say("{name} (worked)", name=name)
    if outcome == "unknown":
        return language.say("{name} (outcome unknown)", name=name)
    if outcome == ErrorCode.E_COMMAND_TIMEOUT:
        return language.say("{name} (took too long, and was ended)", name=name)
    return language.say("{name} (failed: {code})", name=name, code=outcome)


def _end(visit: Visit, language: Language) -> str:
    known = CAUSES.get(visit.cause)
    if known is not None:
        return language.say(known)
    return language.say("Ended for another reason ({code}).", code=shown_text(visit.cause, 40))


def _local(at_utc: str) -> str:
    try:
        at = datetime.strptime(at_utc, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return shown_text(at_utc, 40)
    return f"{at.astimezone():%Y-%m-%d %H:%M}"
