"""`alongside run`: one approved command of the organisation's signed catalogue."""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from protocol.aio.channel_io import ChannelStream
from protocol.approval import ApprovalRequest
from protocol.catalogue import Catalogue, CommandEntry
from protocol.errors import (
    DocumentRefused,
    ErrorCode,
    ExitStatus,
    PeerViolation,
    SupportError,
    UsageError,
)
from protocol.grantables import Grantable
from protocol.ids import checked_request_id, new_request_id
from protocol.limits import REASON_LIMIT_CHARS
from protocol.messages.commands import CommandEnded, CommandRefused
from protocol.names import shown_text
from technician_client.app import TechnicianApp, technician_app
from technician_client.capabilities.commands import ask_outcome, run_command
from technician_client.cli.asking import Request, granted_channel
from technician_client.cli.command_view import CommandView, outcome_document, outcome_sentence
from technician_client.cli.options import DataOption, DeviceArgument, JsonOption, ReasonOption, TicketOption
from technician_client.cli.output import Output
from technician_client.cli.plan import Order, Plan, plan, require_second_person
from technician_client.cli.running import run_async
from technician_client.cli.tables import table
from technician_client.command_audit import CommandAudit
from technician_client.config import TechnicianConfig, load_config
from technician_client.device_match import match_device
from technician_client.files import write_private
from technician_client.session_audit import SessionAudit


def run(
    device: DeviceArgument,
    command: Annotated[str, typer.Argument(metavar="COMMAND", help="The command's id; see --list.")] = "",
    parameters: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="The command's parameters.")
    ] = None,
    data: DataOption = None,
    is_json: JsonOption = False,
    list_commands: Annotated[
        bool, typer.Option("--list", help="List the commands of the signed catalogue instead.")
    ] = False,
    reason: ReasonOption = "",
    ticket: TicketOption = "",
    ask_approval: Annotated[
        Path | None,
        typer.Option("--ask-approval", metavar="FILE", help="Write a request for a second person instead."),
    ] = None,
    approval: Annotated[
        Path | None,
        typer.Option("--approval", metavar="FILE", help="Run what a second person approved."),
    ] = None,
    outcome: Annotated[
        str,
        typer.Option("--outcome", metavar="REQUEST", help="Tell what became of an earlier request instead."),
    ] = "",
) -> None:
    """Run an approved command on DEVICE; its output is passed on as it comes.

    Exit 0 when the command exits with 0 and 7 when it does not. With --json each event is one line.
    Where it takes two people: --ask-approval FILE, then alongside approve FILE, then --approval FILE.
    """
    output = Output(is_json=is_json)
    config = load_config(data)
    if list_commands:
        run_async(_list(config, output))
        return
    request = Request(device, Grantable.COMMANDS_RUN, reason, ticket)
    if outcome:
        raise typer.Exit(run_async(_tell_outcome(config, request, outcome, output)))
    if not command and approval is None:
        raise UsageError("no command was given; see: alongside run DEVICE --list")
    order = Order(command, parse_parameters(parameters or []), approval)
    if ask_approval is not None:
        run_async(_ask_approval(config, request, order, ask_approval, output))
        return
    raise typer.Exit(run_async(_run(config, request, order, output)))


def parse_parameters(words: Sequence[str]) -> dict[str, str]:
    """The values of `key=value` words; a value may be empty and may hold further `=`.

    Raises:
        UsageError: a word is not of that form, or names a key twice.
    """
    values: dict[str, str] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or not key:
            raise UsageError(f"{word!r} is not of the form key=value")
        if key in values:
            raise UsageError(f"{key!r} is given twice")
        values[key] = value
    return values


async def _list(config: TechnicianConfig, output: Output) -> None:
    async with technician_app(config) as app:
        with output.working("Fetching the signed policy …"):
            catalogue = await _catalogue(app)
    output.result(*catalogue_listing(catalogue))


def catalogue_listing(catalogue: Catalogue) -> tuple[dict[str, Any], Any]:
    """The catalogue as a JSON document and as a table."""
    entries = list(catalogue.entries)
    documents = [
        {
            "command_id": entry.command_id,
            "title": entry.title,
            "parameters": sorted(entry.parameters),
            "platforms": list(entry.platforms),
            "risk": entry.risk,
            "takes_two_people": entry.takes_two_people,
            "sha256": entry.sha256,
        }
        for entry in entries
    ]
    rows = [(entry.command_id, _usage(entry), entry.risk, entry.title) for entry in entries]
    return {"commands": documents}, table(("COMMAND", "PARAMETERS", "RISK", "TITLE"), rows)


def _usage(entry: CommandEntry) -> str:
    return " ".join(
        f"{name}={parameter.__struct_config__.tag}" for name, parameter in entry.parameters.items()
    )


async def _run(config: TechnicianConfig, request: Request, order: Order, output: Output) -> int:
    async with technician_app(config) as app:
        with output.working("Fetching the signed policy …"):
            catalogue = await _catalogue(app)
        planned = _planned(order, catalogue, app)
        async with granted_channel(app, request, output) as (session, stream):
            if planned.device_id not in ("", session.device_id):
                raise DocumentRefused(f"it is for {planned.device_id}", code=ErrorCode.E_APPROVAL_REQUEST)
            return await _follow(planned, session.audit, stream, output)


async def _follow(planned: Plan, audit: SessionAudit, stream: ChannelStream, output: Output) -> int:
    view = CommandView(output)
    noted = CommandAudit(audit, planned.entry.command_id, planned.request_id)
    noted.requested()
    asked = run_command(
        stream,
        planned.entry,
        planned.parameters,
        request_id=planned.request_id,
        approval=planned.approval,
    )
    is_told = False
    try:
        async with aclosing(asked) as messages:
            async for message in messages:
                noted.message(message)
                is_told = isinstance(message, CommandEnded | CommandRefused)
                view.message(message)
    finally:
        if not is_told:
            noted.lost()
            output.remark(
                "Nobody has said how this ended. Ask later with: "
                f"alongside run DEVICE --outcome {planned.request_id}"
            )
    return view.exit_status


async def _tell_outcome(config: TechnicianConfig, request: Request, text: str, output: Output) -> int:
    try:
        request_id = checked_request_id(text)
    except PeerViolation:
        raise UsageError(f"{text!r} is not a request's id") from None
    async with (
        technician_app(config) as app,
        granted_channel(app, request, output) as (_, stream),
    ):
        outcome = await ask_outcome(stream, request_id)
    output.result(outcome_document(outcome), Text(outcome_sentence(outcome)))
    has_succeeded = outcome.state == "ended" and outcome.exit_status == 0
    return int(ExitStatus.OK if has_succeeded else ExitStatus.REMOTE_FAILED)


async def _ask_approval(
    config: TechnicianConfig, request: Request, order: Order, target: Path, output: Output
) -> None:
    async with technician_app(config) as app:
        with output.working("Fetching the signed policy …"):
            catalogue = await _catalogue(app)
        entry = _planned(order, catalogue, app, is_to_run=False).entry
        row = match_device(request.device, await app.devices())
        asked = ApprovalRequest(
            request_id=new_request_id(),
            command_id=entry.command_id,
            entry_sha256=entry.sha256,
            parameters=order.parameters,
            device_id=row.device_id,
            technician_id=app.identity.subject_id,
            device_name=shown_text(row.name, 64),
            technician_name=shown_text(app.identity.name, 64),
            reason=shown_text(request.reason, REASON_LIMIT_CHARS),
        )
    write_private(target.absolute(), msgspec.json.format(msgspec.json.encode(asked), indent=2) + b"\n")
    output.result({"request_id": asked.request_id, "file": str(target)}, Text(f"{target} was written."))
    output.remark("Give it to the second person, who signs it with: alongside approve FILE")


def _planned(order: Order, catalogue: Catalogue, app: TechnicianApp, *, is_to_run: bool = True) -> Plan:
    """The request, if the catalogue lets it run with these values; a refusal here is written down too."""
    try:
        planned = plan(order, catalogue, app.identity)
        if is_to_run:
            require_second_person(planned)
    except SupportError as exc:
        unsent = SessionAudit(app.audit, actor=app.identity.subject_id, device_id="", session_id="")
        CommandAudit(unsent, shown_text(order.command_id, 64), "").refused(exc.code)
        raise
    return planned


async def _catalogue(app: TechnicianApp) -> Catalogue:
    return (await app.policy()).catalogue
