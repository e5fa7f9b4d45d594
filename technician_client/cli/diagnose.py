"""`alongside diagnose`: how a device is doing, in one snapshot."""

import msgspec

from protocol.grantables import Grantable
from protocol.messages.diagnostics import Snapshot
from technician_client.capabilities.diagnostics import read_snapshot
from technician_client.cli.asking import Request, app_for, code_or_device, granted_channel
from technician_client.cli.options import (
    DataOption,
    DeviceOrCodeArgument,
    JsonOption,
    ReasonOption,
    TicketOption,
    VisitRelayCaOption,
    VisitRelayOption,
)
from technician_client.cli.output import Output
from technician_client.cli.running import run_async
from technician_client.cli.snapshot_tables import snapshot_tables
from technician_client.config import TechnicianConfig, load_config
from technician_client.relay_address import RelayAddress


def diagnose(
    device: DeviceOrCodeArgument,
    data: DataOption = None,
    is_json: JsonOption = False,
    reason: ReasonOption = "",
    ticket: TicketOption = "",
    relay: VisitRelayOption = "",
    relay_ca: VisitRelayCaOption = None,
) -> None:
    """Read a device's diagnostics: system, processor, memory, disks, network, programs, log-ins, displays.

    The person at the device is asked first, unless the signed policy says unattended.
    """
    output = Output(is_json=is_json)
    request = Request(code_or_device(device), Grantable.DIAGNOSTICS_READ, reason, ticket)
    visit = RelayAddress(relay, tls_ca=str(relay_ca or ""))
    snapshot = run_async(_snapshot(load_config(data), request, visit, output))
    output.result(msgspec.to_builtins(snapshot), *snapshot_tables(snapshot))


async def _snapshot(
    config: TechnicianConfig, request: Request, visit: RelayAddress, output: Output
) -> Snapshot:
    async with (
        app_for(config, request.device, visit) as app,
        granted_channel(app, request, output) as (_, stream),
    ):
        with output.working("Reading …"):
            return await read_snapshot(stream)
