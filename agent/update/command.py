"""`alongside-agent update`: what the command does, apart from parsing and printing."""

import asyncio
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from agent.local_client import ask_status
from agent.state import DataDir
from agent.update.listed import Machine
from agent.update.look import CURRENT, LATER, NOTHING, OFFERED, Device, Look
from agent.update.places import DEFAULT_PREFIX, UpdatePlaces
from agent.update.status import UpdateStatus, read_status
from protocol.errors import EnvironmentFault, ErrorCode, SupportError

ASK_LIMIT_S: Final = 10.0
_TEXTS = {
    CURRENT: "This computer has the version that is offered.",
    OFFERED: "A newer version is offered to this computer.",
    LATER: "A newer version is offered to other computers first.",
    NOTHING: "Nothing is offered for this kind of computer.",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found."""

    status: UpdateStatus

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        shown: dict[str, object] = msgspec.to_builtins(self.status)
        return shown

    def text(self) -> str:
        """For a person."""
        status = self.status
        told = f"{_TEXTS.get(status.outcome, status.outcome)} Here: {status.version or 'unknown'}"
        return f"{told}, offered: {status.offered or 'nothing'}, ring: {status.ring} %."


def check_for_update(data: DataDir, prefix: Path | None) -> Found:
    """Look what is offered.

    Raises:
        SupportError: why the list cannot be believed or had; E_UPDATE_NONE.
    """
    places = UpdatePlaces(prefix or DEFAULT_PREFIX)
    return Found(Look(places, this_device(places, data)).look())


def this_device(places: UpdatePlaces, data: DataDir) -> Device:
    """Who this is, by the running service, or by what it said last.

    Raises:
        EnvironmentFault: E_UPDATE_NONE, it is no installation with updates, or its relay was never known.
    """
    before = read_status(places.status) or UpdateStatus()
    device_id, relay_url = before.device_id, places.settings().relay or before.relay_url
    with suppress(SupportError, TimeoutError):
        status = asyncio.run(asyncio.wait_for(ask_status(data.socket), ASK_LIMIT_S))
        device_id, relay_url = status.device_id, places.settings().relay or status.relay_url
    if not relay_url:
        raise EnvironmentFault("start the agent first: its relay is not known", code=ErrorCode.E_UPDATE_NONE)
    machine = Machine(platform.system().lower(), platform.machine())
    return Device(device_id, relay_url, machine, data.tls_ca)
