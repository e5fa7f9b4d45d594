"""`alongside fleet`: the organisation's devices and the tokens they join with."""

import sys
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from protocol.audit import AuditKind
from protocol.errors import UsageError
from protocol.ids import DeviceId
from protocol.messages.presence import DeviceRow
from technician_client.admin_audit import AdminAudit
from technician_client.admin_requests import AdminRequests
from technician_client.app import admin_link, fleet_link
from technician_client.cli import token
from technician_client.cli.options import DataOption, DeviceArgument, JsonOption
from technician_client.cli.output import Output
from technician_client.cli.running import run_async
from technician_client.cli.tables import device_table, pairs, standing
from technician_client.config import TechnicianConfig, load_config
from technician_client.device_match import match_device

app = typer.Typer(help="The organisation's devices.", no_args_is_help=True)
app.add_typer(token.app, name="token")


@app.command("list")
def list_devices(data: DataOption = None, is_json: JsonOption = False) -> None:
    """List the devices and whether they are here. Names are what the devices call themselves."""
    config, output = load_config(data), Output(is_json=is_json)
    rows = run_async(_devices(config, output))
    if not rows:
        output.remark("No device has joined yet; make a token with: alongside fleet token create")
    output.result({"devices": [device_document(row) for row in rows]}, device_table(rows))


@app.command()
def show(device: DeviceArgument, data: DataOption = None, is_json: JsonOption = False) -> None:
    """Show one device."""
    config, output = load_config(data), Output(is_json=is_json)
    row = match_device(device, run_async(_devices(config, output)))
    shown = pairs(
        [
            ("Device", row.device_id),
            ("Name", row.name),
            ("State", standing(row)),
            ("Group", row.group),
            ("System", row.platform),
            ("First seen", row.first_seen_at_utc),
            ("Last seen", row.last_seen_at_utc),
        ]
    )
    output.result(device_document(row), shown)


@app.command()
def approve(device: DeviceArgument, data: DataOption = None, is_json: JsonOption = False) -> None:
    """Let a device that joined with a bulk token take sessions, or one in quarantine whose copy is gone."""
    _set_status(load_config(data), device, "approved", Output(is_json=is_json))


@app.command()
def remove(
    device: DeviceArgument,
    data: DataOption = None,
    is_json: JsonOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")] = False,
) -> None:
    """Take a device out of the fleet: the relay refuses it until it joins again with a new token."""
    if not yes and not _is_sure(device):
        raise UsageError("nothing was removed; confirm with --yes")
    _set_status(load_config(data), device, "removed", Output(is_json=is_json))


def device_document(row: DeviceRow) -> dict[str, object]:
    """A device as JSON."""
    fields: dict[str, object] = msgspec.to_builtins(row)
    fields.pop("type", None)
    return fields


def _is_sure(device: str) -> bool:
    return sys.stdin.isatty() and typer.confirm(f"Remove {device} from the fleet?", err=True)


async def _devices(config: TechnicianConfig, output: Output) -> list[DeviceRow]:
    async with fleet_link(config) as link:
        with output.working("Asking the relay …"):
            return await link.devices()


def _set_status(config: TechnicianConfig, device: str, status: str, output: Output) -> None:
    device_id = run_async(_order_status(config, device, status, output))
    output.result({"device_id": device_id, "status": status}, Text(f"{device_id} is {status}."))


async def _order_status(config: TechnicianConfig, device: str, status: str, output: Output) -> str:
    async with admin_link(config) as link:
        with output.working("Asking the relay …"):
            row = match_device(device, await link.devices())
            await AdminRequests(link).set_device_status(DeviceId(row.device_id), status)
    kind = AuditKind.DEVICE_APPROVED if status == "approved" else AuditKind.DEVICE_REMOVED
    AdminAudit(config).note(kind, device_id=row.device_id)
    return row.device_id
