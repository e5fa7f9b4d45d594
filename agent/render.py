"""What the agent's commands print: results on standard output, remarks and errors on standard error."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import structlog

from protocol.errors import ErrorCode, SupportError, error_text, exit_status
from protocol.grantables import PLAIN_WORDS, Grantable
from protocol.log_text import plain_values
from protocol.names import shown_text

if TYPE_CHECKING:
    from agent.desktop.block_messages import BlockRow
    from agent.desktop.ipc_messages import StandingRow, Status
    from agent.doctor_check import Check
    from agent.history import HistoryLine, HistoryReceipt
    from agent.joining import Joined
    from agent.private_windows import PrivateLists
    from protocol.audit import AuditReport

INTERRUPTED_STATUS = 130
DETAIL_LIMIT_CHARS = 400
# for these the registry's sentence says less than the detail does
_DETAIL_IS_THE_SENTENCE = frozenset({ErrorCode.E_USAGE, ErrorCode.E_CONFIG})
SHOWN_ON_COMMAND_LINE = (
    "The token stood on the command line, where every user of this computer could read it. It is used up "
    "now; next time give it by --token-file FILE, or - for standard input."
)
_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def result(document: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """The command's answer: one JSON line, or the text."""
    print(json.dumps(document) if as_json else text, flush=True)


def remark(text: str) -> None:
    """A sentence for the person, beside the answer."""
    print(text, file=sys.stderr, flush=True)


def ended(*, was_left: bool) -> None:
    """What the service says at its end."""
    if was_left:
        remark("This computer has left its organisation.")


def report_error(error: SupportError, *, as_json: bool) -> int:
    """Tell what happened, what to do next and the code; returns the exit status."""
    sentence, remedy = error.text
    detail = shown_text(error.detail, DETAIL_LIMIT_CHARS)
    if as_json:
        fields = {"code": str(error.code), "sentence": sentence, "detail": detail, "remedy": remedy}
        print(json.dumps({"error": fields}), flush=True)
    if error.code in _DETAIL_IS_THE_SENTENCE and detail:
        sentence, detail = _as_sentence(detail), ""
    if detail:
        sentence = f"{sentence.rstrip('.')} ({detail})."
    remark(f"Error: {sentence}\n  What to do: {remedy}\n  Code: {error.code}")
    return int(exit_status(error.code))


def joined_text(joined: "Joined") -> str:
    """What `join` says."""
    waits = "\nIt waits for the administrator's approval." if joined.status == "pending" else ""
    return (
        f"This computer is now device {joined.device_id} ({joined.device_name}) of "
        f"{joined.organisation_name}, group {joined.group}.{waits}\n"
        "Next: alongside-agent run"
    )


def pause_text(left_s: float) -> str:
    """What `pause` says, and `status` while it lasts."""
    if left_s <= 0:
        return "Not paused: technicians may ask, and what was allowed beforehand holds again."
    ends = datetime.now().astimezone() + timedelta(seconds=left_s)
    return f"Paused until {ends:%H:%M}: nobody can ask or connect. End it with: alongside-agent pause --end"


def status_text(status: "Status") -> str:
    """What `status` says."""
    why = f": {error_text(status.link_code).sentence} ({status.link_code})" if status.link_code else ""
    lines = [
        f"Device        {status.device_id}",
        f"Organisation  {status.organisation_name}, group {status.group}",
        f"Relay         {status.relay_url}, {status.link}{why}",
        f"Policy        {f'version {status.policy_version}' if status.policy_version else 'none yet'}",
        f"Desktop       {'connected' if status.has_desktop else 'not connected: nobody can be asked'}",
        f"Sessions      {len(status.sessions) or 'none'}",
    ]
    if status.paused_s > 0:
        lines.insert(0, pause_text(status.paused_s))
    for each in status.paused_users:
        lines.append(
            f"Paused        by user {each.uid} at their own desktop, {each.left_s / 60:.0f} min left"
        )
    if status.policy_alarm:
        sentence, remedy = error_text(status.policy_alarm)
        lines.insert(0, f"ALARM         {sentence} {remedy} ({status.policy_alarm})")
    for session in status.sessions:
        what = ", ".join(session.grantables) or "nothing allowed yet"
        lines.append(
            f"  {session.technician or '(being verified)'}: {what}, {session.remaining_s:.0f} s left"
        )
    return "\n".join(lines)


def status_json(status: "Status") -> dict[str, Any]:
    """What `status --json` says: the service's answer without the wire's type words."""
    document: dict[str, Any] = msgspec.to_builtins(status)
    sessions = [{key: row[key] for key in row if key != "type"} for row in document["sessions"]]
    return {key: document[key] for key in document if key != "type"} | {
        "sessions": sessions,
        "paused_users": [{"uid": each.uid, "left_s": each.left_s} for each in status.paused_users],
    }


def doctor_text(checks: Sequence["Check"]) -> str:
    """What `doctor` says."""
    lines = []
    for check in checks:
        lines.append(f"[{_MARKS[check.state]}] {check.name}: {check.sentence}")
        if check.remedy:
            lines.append(f"         {check.remedy}")
    return "\n".join(lines)


def history_text(lines: Sequence["HistoryLine"]) -> str:
    """What `history` says."""
    told = [f"{line.at_utc.astimezone():%Y-%m-%d %H:%M:%S}  {line.sentence}" for line in lines]
    return "\n".join(told) or "Nothing has happened here yet."


def receipt_lines(receipts: Sequence["HistoryReceipt"]) -> list[str]:
    """What `history` says below: one line a session, and who signed it."""
    told = [
        f"{one.facts.ended_at_utc.astimezone():%Y-%m-%d %H:%M:%S}  {one.sentence} "
        f"[signed by {' and '.join(one.signed_by)}]"
        for one in receipts
    ]
    return ["", "Receipts:", *told] if told else []


def receipts_json(receipts: Sequence["HistoryReceipt"]) -> list[dict[str, Any]]:
    """The receipts of `history --json`."""
    return [{**msgspec.to_builtins(one.facts), "signed_by": one.signed_by} for one in receipts]


def history_json(lines: Sequence["HistoryLine"], report: "AuditReport") -> dict[str, Any]:
    """What `history --json` says."""
    told = [
        {
            "at_utc": line.at_utc.isoformat(),
            "kind": line.kind,
            "who": line.who,
            "session_id": line.session_id,
            "succeeded": line.succeeded,
            "sentence": line.sentence,
        }
        for line in lines
    ]
    return {"is_intact": report.is_intact, "records": report.records, "head": report.head, "lines": told}


def private_windows_json(lists: "PrivateLists") -> dict[str, Any]:
    """Both lists for `private-windows list --json`."""
    return {
        "organisation": msgspec.to_builtins(lists.organisation),
        "person": msgspec.to_builtins(lists.person),
    }


def private_windows_text(lists: "PrivateLists") -> str:
    """What `private-windows list` says."""
    lines: list[str] = []
    for whose, entries in (("the organisation", lists.organisation), ("you", lists.person)):
        for entry in entries:
            given = {"class": entry.window_class, "title": entry.title}
            told = ", ".join(f"{name} {shown_text(text, 200)}" for name, text in given.items() if text)
            lines.append(f"by {whose}: {told}")
    return "\n".join(lines) or "No window is private: a technician who may see the screen sees all of it."


def consents_json(rows: Sequence["StandingRow"]) -> dict[str, Any]:
    """What `consents list --json` says."""
    return {
        "consents": [
            {
                "id": row.standing_id,
                "whom": row.whom,
                "name": row.name,
                "grantable": row.grantable,
                "left_s": round(row.left_s),
            }
            for row in rows
        ]
    }


def consents_text(rows: Sequence["StandingRow"]) -> str:
    """What `consents list` says."""
    lines = []
    for row in rows:
        group = row.whom.removeprefix("group:")
        who = f"everyone who may help group {group}" if group != row.whom else f"{row.name} ({row.whom})"
        words = PLAIN_WORDS[Grantable(row.grantable)] if row.grantable in set(Grantable) else row.grantable
        hours, minutes = divmod(int(row.left_s) // 60, 60)
        left = f"{hours} h {minutes} min"
        lines.append(f"{row.standing_id}  {shown_text(who, 160)}: {words}, {left} left")
    return "\n".join(lines) or "You are asked every time: nothing is allowed beforehand."


def blocks_json(rows: Sequence["BlockRow"]) -> dict[str, Any]:
    """What `blocks list --json` says."""
    return {
        "blocks": [
            {
                "id": row.block_id,
                "technician": row.technician_id,
                "name": row.name,
                "is_mismatch": row.is_mismatch,
                "may_lift": row.may_lift,
                "left_s": round(row.left_s),
            }
            for row in rows
        ]
    }


def blocks_text(rows: Sequence["BlockRow"]) -> str:
    """What `blocks list` says."""
    lines = []
    for row in rows:
        named = f"{row.name} ({row.technician_id})" if row.name else row.technician_id
        who = {"": "whoever is not verified", "*": "everybody"}.get(row.technician_id, named)
        where = "on this computer: the four digits did not match" if row.is_mismatch else "may not ask you"
        whose = "" if row.may_lift else " (another user said so, and can lift it)"
        lines.append(
            f"{row.block_id}  {shown_text(who, 160)}: {where}, {int(row.left_s) // 60} min left{whose}"
        )
    return "\n".join(lines) or "Nobody is blocked."


def start_log(*, as_json: bool) -> None:
    """Event names with fields on standard error, one line each; JSON with `--json`."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.processors.LogfmtRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            plain_values,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),  # logging.INFO
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr or _nowhere()),
    )


def _nowhere() -> TextIO:
    """For a service of Windows, which has no standard error; open for as long as the process lives."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _as_sentence(detail: str) -> str:
    first = detail.partition(" ")[0]
    start = detail[0].upper() if first.isalpha() else detail[0]  # a path or an address stays as it is
    return f"{start}{detail[1:].rstrip('.')}."
