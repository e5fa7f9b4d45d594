"""A private message bus (a real dbus-daemon) and a logind on it that a test plays."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

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
        self._bus: Any = None

    async def open(self) -> None:
        """Own the name."""
        self._bus = await MessageBus(bus_address=self.address).connect()
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name(LOGIND)

    def close(self) -> None:
        """Go away, as when it crashes."""
        self._bus.disconnect()

    async def signal(self, path: str, interface: str, member: str, signature: str = "", *body: Any) -> None:
        """Send one."""
        sent = Message(
            message_type=MessageType.SIGNAL,
            path=path,
            interface=f"{LOGIND}.{interface}" if "." not in interface else interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        await self._bus.send(sent)

    async def sleep(self, *, is_beginning: bool) -> None:
        """The machine goes to sleep, or has woken."""
        await self.signal(MANAGER_PATH, "Manager", "PrepareForSleep", "b", is_beginning)

    async def change(self, name: str, *, value: bool) -> None:
        """A property of the session changes."""
        self.properties[name] = value
        changed = {name: Variant("b", value)}
        await self.signal(
            SESSION_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
            f"{LOGIND}.Session", changed, [],
        )  # fmt: skip

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        self.asked.append(str(message.member))
        match message.member:
            case "GetSessionByPID" if message.body[0] in self.pids:
                return Message.new_method_return(message, "o", [SESSION_PATH])
            case "GetSessionByPID":
                return Message.new_error(message, f"{LOGIND}.NoSessionForPID", "no session")
            case "ListSessions":
                row = ["1", os.getuid(), "person", "seat0", SESSION_PATH]
                return Message.new_method_return(message, "a(susso)", [[row]])
            case "Get":
                value = self.properties[message.body[1]]
                kind = "b" if isinstance(value, bool) else "s"
                return Message.new_method_return(message, "v", [Variant(kind, value)])
            case _:
                return None


@contextmanager
def message_bus(folder: Path) -> Iterator[str]:
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
    with message_bus(folder) as address:
        logind = FakeLogind(address)
        await logind.open()
        try:
            yield logind
        finally:
            logind.close()
