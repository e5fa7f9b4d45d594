"""What happened on this device, in plain words, from its own audit log."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from protocol.aio.receipt_book import ReceiptBook
from protocol.audit import AuditKind, AuditRecord, AuditReport, read_record, verify_records
from protocol.errors import DocumentRefused, EnvironmentFault, ErrorCode, error_text
from protocol.grantables import PLAIN_WORDS, Grantable
from protocol.names import shown_text
from protocol.receipt import Body

_K = AuditKind
_Facts = dict[str, str | int]

_SENTENCES: dict[AuditKind, Callable[[str, _Facts], str]] = {
    _K.SESSION_OFFERED: lambda _, __: "Somebody asked for a session; who it was had not been proved yet",
    _K.SESSION_REFUSED: lambda _, facts: f"A session was refused: {_why(facts)}",
    _K.SESSION_READY: lambda who, facts: f"{facts.get('name', who)} was connected; nothing was allowed yet",
    _K.SESSION_SEATED: lambda who, facts: f"{who} came to the desktop of user {facts.get('uid')}",
    _K.SESSION_STOPPED: lambda _, __: "The person stopped the session",
    _K.SESSION_ENDED: lambda _, facts: f"The session ended: {_why(facts, 'cause')}",
    _K.CONSENT_ASKED: lambda who, facts: f"{who} asked for: {_plain(facts.get('asked'))}",
    _K.CONSENT_ALLOWED: lambda who, facts: f"Allowed by the {who}: {_plain(facts.get('granted'))}",
    _K.CONSENT_DENIED: lambda _, facts: f"Not allowed: {_why(facts, 'codes')}",
    _K.CONSENT_TIMED_OUT: lambda _, __: "Nobody answered, so nothing was allowed",
    _K.BLOCK_STARTED: lambda _, facts: (
        f"The person blocked {_blocked(facts)} until {facts.get('until')}{_because(facts)}"
    ),
    _K.BLOCK_ENDED: lambda _, facts: f"The block of {_blocked(facts)} was lifted",
    _K.STANDING_GIVEN: lambda _, facts: (
        f"The person allowed {facts.get('whom')} beforehand, until {facts.get('until')}: "
        f"{_plain(facts.get('granted'))}"
    ),
    _K.STANDING_ENDED: lambda _, facts: f"What {facts.get('whom')} was allowed beforehand is over",
    _K.PAUSE_STARTED: lambda _, facts: f"{_whose(facts)} wanted nobody until {facts.get('until')}",
    _K.PAUSE_ENDED: lambda _, facts: f"{_whose(facts)} ended the pause",
    _K.GRANT_GIVEN: lambda who, facts: f"{who} may from now: {_plain(facts.get('grantable'))}",
    _K.GRANT_ENDED: lambda _, facts: f"No longer allowed: {_plain(facts.get('grantable'))}",
    _K.CHANNEL_OPENED: lambda who, facts: f"{who} began to use: {facts.get('capability')}",
    _K.CHANNEL_REFUSED: lambda who, facts: f"{who} was refused {facts.get('capability')}: {_why(facts)}",
    _K.SCREEN_STARTED: lambda who, facts: f"{who} began to see the screen{_without_private(facts)}",
    _K.SCREEN_RESTARTED: lambda _, __: (
        "The program that shows the screen ended by itself and was started again"
    ),
    _K.SCREEN_ENDED: lambda _, facts: (
        f"The screen was not shown: {_why(facts)}" if "code" in facts else "The screen was no longer shown"
    ),
    _K.INPUT_STARTED: lambda who, _: f"{who} began to control mouse and keyboard",
    _K.INPUT_ENDED: lambda _, __: "Mouse and keyboard were no longer controlled",
    _K.COMMAND_REQUESTED: lambda who, facts: f"{who} asked to run {facts.get('command_id')}",
    _K.COMMAND_STARTED: lambda who, facts: f"{who} ran {facts.get('command_id')}{_with_second(facts)}",
    _K.COMMAND_REFUSED: lambda who, facts: f"{who} could not run {facts.get('command_id')}: {_why(facts)}",
    _K.COMMAND_ENDED: lambda _, facts: f"{facts.get('command_id')} ended with {facts.get('exit_status')}",
    _K.COMMAND_UNKNOWN: lambda _, facts: _unsure(facts),
    _K.POLICY_ACCEPTED: lambda _, facts: f"Policy version {facts.get('version')} is in force",
    _K.POLICY_REFUSED: lambda _, facts: f"A policy was refused: {_why(facts)}",
    _K.CODE_SHOWN: lambda _, __: "A support code was shown",
    _K.CODE_TRIED: lambda _, __: "Somebody tried the support code",
    _K.CODE_MATCHED: lambda _, __: "The support code that was tried was right",
    _K.CODE_REFUSED: lambda _, facts: f"The support code is void: {_why(facts)}",
    _K.CODE_ENDED: lambda _, facts: (
        f"The support code is void: {_why(facts)}" if "code" in facts else "The support code was taken back"
    ),
    _K.DEVICE_JOINED: lambda _, facts: (
        f"This computer could not join: {_why(facts)}"
        if "code" in facts
        else "This computer joined its organisation"
    ),
    _K.DEVICE_LEFT: lambda _, __: "This computer left its organisation",
    _K.LOGIN_REFUSED: lambda _, facts: f"This computer's identity was refused: {_why(facts)}",
    _K.RATING_GIVEN: lambda _, facts: (
        f"The person said that the session {'helped' if facts.get('is_good') else 'did not help'}"
    ),
    _K.RATING_DELIVERED: lambda who, _: f"{who} read what the person said of an earlier session",
    _K.RECEIPT_SIGNED: lambda _, facts: (
        "Both sides signed the receipt of the session"
        if facts.get("signed_by") == "device technician"
        else "The receipt of the session was signed by this computer alone"
    ),
    _K.RECEIPT_REFUSED: lambda who, facts: f"{who} did not sign the receipt of the session: {_why(facts)}",
    _K.AUDIT_ALARM: lambda who, facts: f"{who}'s own records are not the known ones: {_why(facts)}",
    _K.DIAGNOSTICS_READ: lambda who, _: f"{who} read how this computer is doing",
    _K.AGENT_STARTED: lambda _, __: "The agent started",
    _K.AGENT_STOPPED: lambda _, __: "The agent stopped",
}


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One record, as a person reads it."""

    at_utc: datetime
    kind: str
    who: str
    session_id: str
    succeeded: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class HistoryReceipt:
    """A receipt, as a person reads it."""

    facts: Body
    signed_by: list[str]

    @property
    def sentence(self) -> str:
        """Who, what and how it ended."""
        return shown_text(_receipt_sentence(self.facts), 600)


def read_history(path: Path, limit: int) -> tuple[list[HistoryLine], AuditReport]:
    """The newest records, oldest first, and whether the whole log holds.

    Raises:
        EnvironmentFault: E_DATA_DISK, the log cannot be read.
    """
    try:
        with path.open("rb") as file:
            report = verify_records(file)
            file.seek(0)
            lines = list(_readable(file))[-limit:]
    except FileNotFoundError:
        return [], verify_records([])
    except OSError as exc:
        raise EnvironmentFault(f"{path}: {exc}") from None
    return lines, report


def read_receipts(folder: Path, limit: int) -> list[HistoryReceipt]:
    """The newest receipts of sessions on this device, oldest first.

    Raises:
        EnvironmentFault: E_DATA_DISK, they cannot be read.
    """
    return [HistoryReceipt(each.facts(), each.roles) for each in ReceiptBook(folder).everything()[-limit:]]


def _receipt_sentence(facts: Body) -> str:
    commands = ", ".join(f"{line.command_id} ({line.outcome})" for line in facts.commands)
    did = f"; ran: {commands}" if commands else ""
    cut = " (it was cut)" if facts.is_truncated else ""
    why = _why({"cause": facts.cause}, "cause")
    return f"{facts.technician_name} was allowed: {_plain(' '.join(facts.grants))}{did}; ended: {why}{cut}"


def _readable(lines: Iterator[bytes]) -> Iterator[HistoryLine]:
    for line in lines:
        try:
            yield _told(read_record(line.removesuffix(b"\n")))
        except DocumentRefused:
            continue  # the report says where the log does not hold


def _told(record: AuditRecord) -> HistoryLine:
    try:
        sentence = _SENTENCES[AuditKind(record.kind)](record.actor, record.facts)
    except (KeyError, ValueError):
        sentence = record.kind
    return HistoryLine(
        record.at_utc,
        record.kind,
        record.actor,
        record.session_id,
        record.succeeded,
        shown_text(sentence, 300),
    )


def _plain(words: str | int | None) -> str:
    known = {grantable.value: PLAIN_WORDS[grantable] for grantable in Grantable}
    return ", ".join(known.get(word, word) for word in str(words or "").split()) or "nothing"


def _whose(facts: _Facts) -> str:
    return f"User {facts['uid']}" if "uid" in facts else "The person"


def _blocked(facts: _Facts) -> str:
    return str(facts.get("whom") or "whoever is not verified")


def _because(facts: _Facts) -> str:
    if facts.get("code") == ErrorCode.E_READBACK_BLOCKED:
        return " on this computer: the four digits did not match"
    return ""


def _with_second(facts: _Facts) -> str:
    return f", approved by {facts['approved_by']} too" if "approved_by" in facts else ""


def _unsure(facts: _Facts) -> str:
    if facts.get("outcome") == "not_run":
        return f"{facts.get('command_id')} was not run, and will not be"
    return f"It is not known how {facts.get('command_id')} ended; it is not run again"


def _without_private(facts: _Facts) -> str:
    is_covered = any(name.startswith("private_windows_") for name in facts)
    return ", with private windows painted over" if is_covered else ""


def _why(facts: _Facts, name: str = "code") -> str:
    words = {
        "technician_left": "the technician left",
        "finished": "finished",
        "withdrawn": "the technician left",
    }
    codes = str(facts.get(name, "")).split()
    return (
        "; ".join(words.get(code) or f"{error_text(code).sentence} ({code})" for code in codes) or "finished"
    )
