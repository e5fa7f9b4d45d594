"""`alongside run`: one approved command of the organisation's signed catalogue."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from protocol.catalogue import Catalogue, CommandEntry
from protocol.errors import Refused, UsageError
from protocol.grantables import Grantable
from protocol.ids import new_request_id
from protocol.names import shown_text
from technician_client.app import TechnicianApp, technician_app
from technician_client.capabilities.commands import run_command
from technician_client.cli.asking import Request, granted_channel
from technician_client.cli.command_view import CommandView
from technician_client.cli.options import DataOption, DeviceArgument, JsonOption, ReasonOption, TicketOption
from technician_client.cli.output import Output
from technician_client.cli.running import run_async
from technician_client.cli.tables import table
from technician_client.command_audit import CommandAudit
from technician_client.config import TechnicianConfig, load_config
from technician_client.session_audit import SessionAudit


@dataclass(frozen=True, slots=True)
class Order:
    """Which entry to run with which parameters."""

    command_id: str
    parameters: dict[str, str]


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
) -> None:
    """Run an approved command on DEVICE; its output is passed on as it comes.

    Exit 0 when the command exits with 0 and 7 when it does not. With --json each event is one line.
    """
    output = Output(is_json=is_json)
    config = load_config(data)
    if list_commands:
        run_async(_list(config, output))
        return
    if not command:
        raise UsageError("no command was given; see: alongside run DEVICE --list")
    order = Order(command, parse_parameters(parameters or []))
    request = Request(device, Grantable.COMMANDS_RUN, reason, ticket)
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
        entry = _checked(order, catalogue, app)
        async with granted_channel(app, request, output) as (session, stream):
            view = CommandView(output)
            request_id = new_request_id()
            noted = CommandAudit(session.audit, entry.command_id, request_id)
            noted.requested()
            async with aclosing(run_command(stream, entry, order.parameters, request_id)) as messages:
                async for message in messages:
                    noted.message(message)
                    view.message(message)
            return view.exit_status


def _checked(order: Order, catalogue: Catalogue, app: TechnicianApp) -> CommandEntry:
    """The entry, if the catalogue lets it run with these values; a refusal here is written down too."""
    try:
        entry = catalogue.find(order.command_id)
        entry.build_argv(order.parameters)
    except Refused as exc:
        unsent = SessionAudit(app.audit, actor=app.identity.subject_id, device_id="", session_id="")
        CommandAudit(unsent, shown_text(order.command_id, 64), "").refused(exc.code)
        raise
    return entry


async def _catalogue(app: TechnicianApp) -> Catalogue:
    return (await app.policy()).catalogue
