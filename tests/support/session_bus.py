"""A test's own session bus (dbus-daemon), programs on it, and a panel whose tray hears it (xfce4-panel)."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jeepney import DBusAddress, Properties, new_error, new_method_call, new_method_return, new_signal
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from agent.desktop.bus_icon import WATCHER, WATCHER_PATH
from agent.desktop.tray_item import ITEM, ITEM_PATH
from tests.support.desktop_service import wait_for

REMEDY = "install it with: apt-get install dbus xfce4-panel"
START_LIMIT_S = 30.0
ANSWER_LIMIT_S = 20.0
PANEL = """<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array"><value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=0;x=400;y=60"/>
      <property name="size" type="uint" value="40"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty"><property name="plugin-1" type="string" value="systray"/></property>
</channel>
"""


class BusProgram:
    """Any program of the person's session."""

    def __init__(self, address: str) -> None:
        self.connection: DBusConnection = open_dbus_connection(address)

    def ask(self, target: DBusAddress, name: str, signature: str = "", *body: Any) -> tuple[Any, ...]:
        """Call a method; the answer's values. An error's name is raised as LookupError."""
        call = new_method_call(target, name, signature or None, body)
        answer = self.connection.send_and_get_reply(call, timeout=ANSWER_LIMIT_S)
        if answer.header.message_type.name == "error":
            raise LookupError(answer.header.fields[4])
        return tuple(answer.body)

    def value(self, target: DBusAddress, name: str) -> Any:
        """A property."""
        answer = self.connection.send_and_get_reply(Properties(target).get(name), timeout=ANSWER_LIMIT_S)
        return answer.body[0][1]

    def items(self) -> list[str]:
        """What the watcher knows; nothing while there is none."""
        watcher = DBusAddress(WATCHER_PATH, WATCHER, WATCHER)
        try:
            names = self.ask(watcher.with_interface("org.freedesktop.DBus.Properties"), "Get", "ss", *_ITEMS)
        except LookupError:
            return []
        return [str(name) for name in names[0][1]]

    def the_item(self) -> DBusAddress:
        """Our icon, as soon as the watcher knows it."""
        found: list[str] = []

        def is_known() -> bool:
            found[:] = self.items()
            return bool(found)

        wait_for(is_known, START_LIMIT_S)
        return item_of(found[0].removesuffix(ITEM_PATH))

    def close(self) -> None:
        """Leave the bus."""
        self.connection.close()


_ITEMS = (WATCHER, "RegisteredStatusNotifierItems")


def item_of(name: str) -> DBusAddress:
    """The icon of the program of this name."""
    return DBusAddress(ITEM_PATH, name, ITEM)


class Watcher(BusProgram):
    """A watcher, and the tray that shows what it knows where `has_host`."""

    def __init__(self, address: str, *, has_host: bool) -> None:
        super().__init__(address)
        self.has_host = has_host
        bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
        assert self.ask(bus, "RequestName", "su", WATCHER, 4) == (1,)

    def serve(self) -> DBusAddress:
        """Answer until an icon was registered and the host was asked for; returns the icon."""
        item, is_asked = None, False
        while item is None or not is_asked:
            call = self.connection.receive(timeout=START_LIMIT_S)
            name = call.header.fields.get(3)
            if name == "RegisterStatusNotifierItem":
                item = item_of(str(call.header.fields[7]))
                self.connection.send(new_method_return(call))
            elif name == "Get":
                is_asked = True
                self.connection.send(new_method_return(call, "v", (("b", self.has_host),)))
            elif call.header.message_type.name == "method_call":
                self.connection.send(new_error(call, "org.freedesktop.DBus.Error.UnknownMethod"))
        return item

    def change_host(self, *, has_host: bool) -> None:
        """A tray comes or goes."""
        self.has_host = has_host
        word = "Registered" if has_host else "Unregistered"
        source = DBusAddress(WATCHER_PATH, interface=WATCHER)
        self.connection.send(new_signal(source, f"StatusNotifierHost{word}"))
        while (call := self.connection.receive(timeout=START_LIMIT_S)).header.fields.get(3) != "Get":
            pass
        self.connection.send(new_method_return(call, "v", (("b", has_host),)))


def home_of(folder: Path) -> dict[str, str]:
    """An environment for the bus, for what it starts, and for the panel: its settings are in it."""
    config = folder / "config" / "xfce4" / "xfconf" / "xfce-perchannel-xml"
    if not config.exists():
        config.mkdir(parents=True)
        (config / "xfce4-panel.xml").write_text(PANEL)
    folders = {"HOME": folder, "XDG_CONFIG_HOME": folder / "config", "XDG_CACHE_HOME": folder / "cache"}
    ours = {name: str(path) for name, path in {**folders, "XDG_RUNTIME_DIR": folder}.items()}
    return {**os.environ, **ours, "NO_AT_BRIDGE": "1"}


class BusDaemon:
    """Runs at once; may be killed and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._path, self._environment = folder / "bus", home_of(folder)
        self.address = f"unix:path={self._path}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Returns when it listens."""
        words = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1"]
        words.append(f"--address={self.address}")
        self._process = subprocess.Popen(
            words, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline()

    def kill(self) -> None:
        """SIGKILL. May be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            self._path.unlink()


@contextmanager
def session_bus(folder: Path) -> Iterator[BusDaemon]:
    """A bus that is gone at the end."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip(REMEDY)
    daemon = BusDaemon(folder)
    try:
        yield daemon
    finally:
        daemon.kill()


class XfcePanel:
    """A panel with nothing but a tray, which can be killed and started again."""

    def __init__(self, folder: Path, display: str, address: str) -> None:
        self._environment = {**home_of(folder), "DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": address}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It takes its time."""
        words = ["xfce4-panel", "--disable-wm-check"]
        self._process = subprocess.Popen(
            words, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        """SIGKILL; its plugins follow. May be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@contextmanager
def xfce_panel(folder: Path, display: str, address: str) -> Iterator[XfcePanel]:
    """A panel that is gone at the end."""
    if shutil.which("xfce4-panel") is None:
        pytest.skip(REMEDY)
    panel = XfcePanel(folder, display, address)
    try:
        yield panel
    finally:
        panel.kill()
