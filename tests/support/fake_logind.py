"""A private message bus (a real dbus-daemon) and a logind on it that a test plays."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from jeepney import DBusAddress, Message, MessageType, message_bus, new_error, new_method_return, new_signal
from jeepney.io.asyncio import DBusConnection, open_dbus_connection

LOGIND = "org.freedesktop.login1"
MANAGER_PATH = "/org/freedesktop/login1"
SESSION_PATH = f"{MANAGER_PATH}/session/_31"
REMEDY = "install it with: apt-get install dbus"
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""


class FakeLogind:
    """One session of one person; `pids` are the processes in it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pids: set[int] = set()
        self.properties: dict[str, Any] = {
            "LockedHint": False,
            "Active": True,
            "Display": ":7",
            "Type": "tty",
        }
        self.asked: list[str] = []
        self.askers: set[str] = set()
        self._bus: DBusConnection | None = None
        self._answering: asyncio.Task[None] | None = None

    async def open(self, *, has_name: bool = True) -> None:
        """Own the name, or be anybody on the bus."""
        self._bus = await open_dbus_connection(self.address)
        if has_name:
            await self._bus.send(message_bus.RequestName(LOGIND))
            while (await self._bus.receive()).header.message_type is not MessageType.method_return:
                pass
        self._answering = asyncio.create_task(self._answer_all(self._bus))

    def close(self) -> None:
        """Go away, as when it crashes."""
        if self._bus is not None and self._answering is not None:
            self._answering.cancel()
            self._bus.writer.close()

    async def signal(
        self, path: str, interface: str, member: str, signature: str = "", *body: Any, to: str | None = None
    ) -> None:
        """Send one to everybody who wants it, or `to` a connection."""
        named = interface if "." in interface else f"{LOGIND}.{interface}"
        source = DBusAddress(path, bus_name=to, interface=named)
        await self._sent(new_signal(source, member, signature or None, body))

    async def sleep(self, *, is_beginning: bool) -> None:
        """The machine goes to sleep, or has woken."""
        await self.signal(MANAGER_PATH, "Manager", "PrepareForSleep", "b", is_beginning)

    async def change(self, name: str, *, value: bool) -> None:
        """A property of the session changes."""
        self.properties[name] = value
        changed = {name: ("b", value)}
        await self.signal(
            SESSION_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
            f"{LOGIND}.Session", changed, [],
        )  # fmt: skip

    async def _sent(self, message: Message) -> None:
        assert self._bus is not None
        await self._bus.send(message)

    async def _answer_all(self, bus: DBusConnection) -> None:
        while True:
            message = await bus.receive()
            if message.header.message_type is MessageType.method_call:
                await bus.send(self._answer(message))

    def _answer(self, message: Message) -> Message:
        member = str(message.header.fields[3])
        self.asked.append(member)
        self.askers.add(str(message.header.fields[7]))
        match member:
            case "GetSessionByPID" if message.body[0] in self.pids:
                return new_method_return(message, "o", (SESSION_PATH,))
            case "GetSessionByPID":
                return new_error(message, f"{LOGIND}.NoSessionForPID", "s", ("no session",))
            case "ListSessions":
                row = ("1", os.getuid(), "person", "seat0", SESSION_PATH)
                return new_method_return(message, "a(susso)", ([row],))
            case "Get":
                value = self.properties[message.body[1]]
                kind = "b" if isinstance(value, bool) else "s"
                return new_method_return(message, "v", ((kind, value),))
            case _:
                return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")


@contextmanager
def running_bus(folder: Path) -> Iterator[str]:
    """A bus of one's own; yields its address."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip(REMEDY)
    path = folder / "bus"
    config = folder / "bus.conf"
    config.write_text(_CONFIG.format(path=path))
    daemon = subprocess.Popen(
        ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"], stdout=subprocess.PIPE
    )
    assert daemon.stdout is not None
    try:
        daemon.stdout.readline()  # now it listens
        yield f"unix:path={path}"
    finally:
        daemon.terminate()
        daemon.wait(5)
        daemon.stdout.close()


@asynccontextmanager
async def fake_logind(folder: Path) -> AsyncIterator[FakeLogind]:
    """A bus with a logind."""
    with running_bus(folder) as address:
        logind = FakeLogind(address)
        await logind.open()
        try:
            yield logind
        finally:
            logind.close()
