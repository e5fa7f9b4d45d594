"""`alongside-agent update`: what the command does, apart from parsing and printing."""

import asyncio
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from agent.local_client import ask_status
from agent.state import DataDir
from agent.update.apply import INSTALLED, ON_TRIAL, WAITING, Apply, Pace
from agent.update.host import SystemdHost
from agent.update.listed import Machine
from agent.update.look import CURRENT, LATER, NOTHING, OFFERED, Device, Look
from agent.update.places import DEFAULT_PREFIX, UpdatePlaces
from agent.update.status import UpdateStatus, read_status
from protocol.errors import EnvironmentFault, ErrorCode, Refused, SupportError
from protocol.platforms import machine_name, platform_name

ASK_LIMIT_S: Final = 10.0
INSTALL_LOCK: Final = Path("/run/alongside-install.lock")
_TEXTS = {
    CURRENT: "This computer has the version that is offered.",
    OFFERED: "A newer version is offered to this computer.",
    LATER: "A newer version is offered to other computers first.",
    NOTHING: "Nothing is offered for this kind of computer.",
    WAITING: "A newer version is ready; somebody is here, so it waits for the end of the session.",
    ON_TRIAL: "A newer version runs on trial: the relay cannot be reached, so it is not judged yet.",
    INSTALLED: "A newer version was installed, and it works.",
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


def apply_update(data: DataDir, prefix: Path | None, *, again: bool, patience_s: float) -> Found:
    """Take what is offered; finish first what an earlier run began.

    Raises:
        Refused: E_IDENTITY_OWNER, not root. EnvironmentFault: E_ALREADY_RUNNING, an installation is going on;
            E_UPDATE_FAILED, the newer version does not work here. SupportError: as `check_for_update`.
    """
    if os.geteuid() != 0:
        raise Refused("only root installs", code=ErrorCode.E_IDENTITY_OWNER)
    places = UpdatePlaces(prefix or DEFAULT_PREFIX)
    with _installing(INSTALL_LOCK):
        look = Look(places, this_device(places, data))
        status = Apply(look, SystemdHost(data.socket), Pace(health_s=patience_s)).run(again=again)
    if status.code:
        raise EnvironmentFault(status.detail, code=ErrorCode(status.code))
    return Found(status)


@contextmanager
def _installing(lock: Path) -> Iterator[None]:
    """Nothing else installs meanwhile: `install.sh` takes the same lock."""
    import fcntl  # not on every system, and this module is imported on all of them

    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EnvironmentFault(str(lock), code=ErrorCode.E_ALREADY_RUNNING) from None
        yield


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
    machine = Machine(platform_name(platform.system()), machine_name(platform.machine()))
    return Device(device_id, relay_url, machine, data.relay_ca, data.relay_proxy)
