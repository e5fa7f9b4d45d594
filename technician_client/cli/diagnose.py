"""`alongside diagnose`: how a device is doing, in one snapshot."""

import msgspec

from protocol.grantables import Grantable
from protocol.messages.diagnostics import Snapshot
from technician_client.app import technician_app
from technician_client.capabilities.diagnostics import read_snapshot
from technician_client.cli.asking import Request, granted_channel
from technician_client.cli.options import DataOption, DeviceArgument, JsonOption, ReasonOption, TicketOption
from technician_client.cli.output import Output
from technician_client.cli.running import run_async
from technician_client.cli.snapshot_tables import snapshot_tables
from technician_client.config import TechnicianConfig, load_config


def diagnose(
    device: DeviceArgument,
    data: DataOption = None,
    is_json: JsonOption = False,
    reason: ReasonOption = "",
    ticket: TicketOption = "",
) -> None:
    """Read DEVICE's diagnostics: system, processor, memory, disks, network, programs, log-ins, displays.

    The person at the device is asked first, unless the signed policy says unattended.
    """
    output = Output(is_json=is_json)
    request = Request(device, Grantable.DIAGNOSTICS_READ, reason, ticket)
    snapshot = run_async(_snapshot(load_config(data), request, output))
    output.result(msgspec.to_builtins(snapshot), *snapshot_tables(snapshot))


async def _snapshot(config: TechnicianConfig, request: Request, output: Output) -> Snapshot:
    async with technician_app(config) as app, granted_channel(app, request, output) as (_, stream):
        with output.working("Reading …"):
            return await read_snapshot(stream)
