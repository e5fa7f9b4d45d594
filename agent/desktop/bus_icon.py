"""The icon in trays that speak StatusNotifierItem: KDE, Xfce, LXQt, waybar, GNOME with its extension.

It is placed while a watcher knows it and some tray shows what the watcher knows. A watcher, a tray or a bus
that goes takes it away; one that comes back gets it again.
"""

import time
from collections.abc import Callable
from typing import Any

import structlog

from agent.bus_frames import (
    NOTHING,
    BusMessage,
    Content,
    Kind,
    Target,
    write_error,
    write_reply,
    write_signal,
)
from agent.desktop.session_bus import BUS, BUS_PATH, BusCalls, SessionBus
from agent.desktop.tray_icon import IconCalls
from agent.desktop.tray_item import ITEM, ITEM_PATH, MENU, MENU_PATH, PROPERTIES, Answer, Shown, answer_call

log = structlog.get_logger()

WATCHER, WATCHER_PATH = "org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher"
OPEN_AGAIN_S = 0.5  # other programs may call, and as often as they like
_OF_WATCHER = f"type='signal',sender='{WATCHER}',interface='{WATCHER}',path='{WATCHER_PATH}'"
_WANTED = (
    f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{WATCHER}'",
    f"{_OF_WATCHER},member='StatusNotifierHostRegistered'",
    f"{_OF_WATCHER},member='StatusNotifierHostUnregistered'",
)


class BusIcon:
    """Runs in the window thread. Without a bus `look` tries again."""

    def __init__(self, address: str, tk: Any, calls: IconCalls, shown: Shown) -> None:
        self._address, self._tk, self._calls, self._shown = address, tk, calls, shown
        self._bus: SessionBus | None = None
        self._opened_at_s = -OPEN_AGAIN_S
        self._forget()
        self.look()

    @property
    def is_placed(self) -> bool:
        """Some tray shows it."""
        return self._is_known and self._has_host

    def look(self) -> None:
        """Connect where there is no connection."""
        if self._bus is None:
            calls = BusCalls(self._connected, self._take, self._lost)
            try:
                self._bus = SessionBus(self._address, self._tk, calls)
            except (ImportError, OSError, ValueError) as exc:
                log.debug("bus_icon.no_bus", detail=repr(exc)[:200])

    def show(self, shown: Shown) -> None:
        """It looks like this from now on."""
        before, self._shown = self._shown, shown
        if self._bus is None or not self._is_known or before == shown:
            return
        for name in ("NewTitle", "NewIcon", "NewAttentionIcon", "NewToolTip"):
            self._tell(ITEM_PATH, ITEM, name)
        self._tell(ITEM_PATH, ITEM, "NewStatus", Content("s", (shown.status,)))
        self._tell(MENU_PATH, MENU, "LayoutUpdated", Content("ui", (shown.revision, 0)))

    def close(self) -> None:
        """Take it away. May be called twice."""
        bus, self._bus = self._bus, None
        self._forget()
        if bus is not None:
            bus.close()

    def _forget(self) -> None:
        self._watcher = ""
        self._is_known = self._has_host = False
        self._asked_owner = self._asked_known = self._asked_host = 0

    def _connected(self) -> None:
        for rule in _WANTED:
            self._ask_bus("AddMatch", rule)
        self._asked_owner = self._ask_bus("GetNameOwner", WATCHER)

    def _ask_bus(self, name: str, word: str) -> int:
        if self._bus is None:  # lost while it was asked
            return 0
        return self._bus.call(Target(BUS, BUS_PATH, BUS, name), Content("s", (word,)))

    def _lost(self) -> None:
        self._bus = None
        self._change(self._forget)

    def _take(self, message: BusMessage) -> None:
        if message.kind is Kind.CALL:
            self._answer(message)
        elif message.kind is Kind.SIGNAL:
            self._take_signal(message)
        elif message.reply_to:
            self._change(lambda: self._take_reply(message))

    def _change(self, call: Callable[[], None]) -> None:
        was_placed = self.is_placed
        call()
        if self.is_placed is not was_placed:
            log.info("bus_icon.placed" if self.is_placed else "bus_icon.gone")
            self._calls.changed()

    def _take_signal(self, message: BusMessage) -> None:
        if message.sender == BUS and message.name == "NameOwnerChanged" and len(message.body) == 3:
            if message.body[0] == WATCHER:
                owner = message.body[2]
                self._change(lambda: self._follow(owner))
        elif message.sender == self._watcher and message.interface == WATCHER:
            self._ask_host()

    def _take_reply(self, message: BusMessage) -> None:
        is_good = message.kind is Kind.RETURN
        value = message.body[0] if message.body else None
        if message.reply_to == self._asked_owner and message.sender == BUS:
            self._follow(value if is_good else "")
        elif not self._watcher or message.sender != self._watcher:
            return
        elif message.reply_to == self._asked_known:
            self._is_known = is_good
        elif message.reply_to == self._asked_host:
            self._has_host = is_good and value == ("b", True)

    def _follow(self, owner: object) -> None:
        """The watcher is this connection now, or gone."""
        owner = owner if isinstance(owner, str) else ""
        if owner == self._watcher:
            return
        self._watcher, self._is_known, self._has_host = owner, False, False
        if owner and self._bus is not None:
            target = Target(owner, WATCHER_PATH, WATCHER, "RegisterStatusNotifierItem")
            self._asked_known = self._bus.call(target, Content("s", (ITEM_PATH,)))
            self._ask_host()

    def _ask_host(self) -> None:
        if self._watcher and self._bus is not None:
            target = Target(self._watcher, WATCHER_PATH, PROPERTIES, "Get")
            words = Content("ss", (WATCHER, "IsStatusNotifierHostRegistered"))
            self._asked_host = self._bus.call(target, words)

    def _answer(self, message: BusMessage) -> None:
        answer: Answer = answer_call(message, self._shown, self._open)
        if self._bus is None or not message.wants_reply:
            return
        if answer.error:
            self._bus.write(lambda serial: write_error(message, answer.error, serial))
        else:
            self._bus.write(lambda serial: write_reply(message, answer.content, serial))

    def _open(self) -> None:
        now_s = time.monotonic()
        if now_s - self._opened_at_s >= OPEN_AGAIN_S:
            self._opened_at_s = now_s
            self._calls.clicked()

    def _tell(self, path: str, interface: str, name: str, content: Content = NOTHING) -> None:
        if self._bus is not None:
            target = Target("", path, interface, name)
            self._bus.write(lambda serial: write_signal(target, content, serial))
