"""What of this computer the updater touches beside the installation: systemd, units, the running service."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from agent.desktop.ipc_messages import HELLO_CODEC, TO_COMMAND_LINE_CODEC
from agent.desktop.update_messages import UpdateAnswer, UpdateAsked
from agent.local_frames import LocalConnection, connect_local
from protocol.errors import EnvironmentFault, ErrorCode, SupportError
from protocol.private_files import write_private_file

SERVICE: Final = "alongside-agent.service"
_ASK_LIMIT_S: Final = 10.0
_SYSTEMCTL_LIMIT_S: Final = 180.0
_UNIT_LIMIT_BYTES: Final = 256 << 10
CLEAN_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class Host(Protocol):
    """The computer, as the updater sees it."""

    def put_units(self, units: Path) -> None:
        """Make the units of this folder those of the system; raises EnvironmentFault E_DATA_DISK."""

    def restart(self) -> None:
        """Have the service run what `current` leads to; whether it does is seen by asking it."""

    def asked(self) -> AbstractContextManager[UpdateAnswer | None]:
        """What the service says, or None; while the context is open no session begins."""


@dataclass(frozen=True, slots=True)
class SystemdHost:
    """A computer with systemd; without a running one, units are written and nothing is restarted."""

    service_socket: Path
    system_units: Path = Path("/etc/systemd/system")
    user_units: Path = Path("/etc/systemd/user")

    def put_units(self, units: Path) -> None:
        """See `Host`."""
        for unit in sorted(units.glob("alongside-agent*.*")):
            folder = self.user_units if "-desktop" in unit.name else self.system_units
            content = unit.read_bytes()[:_UNIT_LIMIT_BYTES]
            target = folder / unit.name
            try:
                if target.is_file() and target.read_bytes() == content:
                    continue
                folder.mkdir(parents=True, exist_ok=True)
                write_private_file(target, content)
                target.chmod(0o644)
            except OSError as exc:
                raise EnvironmentFault(str(exc), code=ErrorCode.E_DATA_DISK) from None

    def restart(self) -> None:
        """See `Host`."""
        if not Path("/run/systemd/system").is_dir():
            return
        for words in (["daemon-reload"], ["restart", SERVICE]):
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(  # noqa: S603 -- fixed words, no shell
                    ["systemctl", "--quiet", *words],  # noqa: S607 -- found in the PATH below
                    env=CLEAN_ENVIRONMENT,
                    timeout=_SYSTEMCTL_LIMIT_S,
                    check=False,
                    stdin=subprocess.DEVNULL,
                )

    @contextmanager
    def asked(self) -> Iterator[UpdateAnswer | None]:
        """See `Host`."""
        with asyncio.Runner() as runner:
            connection, answer = runner.run(self._ask())
            try:
                yield answer
            finally:
                if connection is not None:
                    connection.close()

    async def _ask(self) -> tuple[LocalConnection | None, UpdateAnswer | None]:
        connection = None
        try:
            async with asyncio.timeout(_ASK_LIMIT_S):
                connection = await connect_local(str(self.service_socket))
                await connection.send(HELLO_CODEC.encode(UpdateAsked()))
                frame = await connection.receive(TO_COMMAND_LINE_CODEC.limit_bytes)
            answer = TO_COMMAND_LINE_CODEC.decode(frame)
        except (OSError, SupportError, TimeoutError):  # it does not run, or not well
            return connection, None
        return connection, answer if isinstance(answer, UpdateAnswer) else None
