"""One connection to the system's message bus, with the calls that we need."""

import asyncio
from importlib import import_module
from typing import Any

from protocol.errors import BackendUnavailable

LOGIND = "org.freedesktop.login1"
CALL_TIMEOUT_S = 5.0


class SystemBus:
    """One connection to a message bus, with the two calls that are needed."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._bus: Any = None
        self._kinds: Any = None

    async def open(self) -> None:
        """Connect.

        Raises:
            BackendUnavailable: there is no bus, with what that means.
        """
        try:
            library, aio = import_module("dbus_fast"), import_module("dbus_fast.aio")
        except ImportError as exc:
            raise BackendUnavailable(f"{exc}; install the agent's requirements") from None
        self._kinds = library
        given = {"bus_address": self._address} if self._address else {}
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                bus = aio.MessageBus(bus_type=library.BusType.SYSTEM, **given)
                self._bus = await bus.connect()
        except (OSError, EOFError, TimeoutError, library.errors.DBusError, ValueError) as exc:
            raise BackendUnavailable(f"no system bus ({exc!r}); lock and log-out are not noticed") from None

    async def call(self, target: tuple[str, str, str, str], signature: str = "", *arguments: object) -> Any:
        """Call (destination, path, interface, member); the first value of the answer, or None.

        Raises:
            BackendUnavailable: an error, or no answer in time.
        """
        destination, path, interface, member = target
        message = self._kinds.Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(arguments),
        )
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                reply = await self._bus.call(message)
        except (OSError, EOFError, TimeoutError, self._kinds.errors.DBusError) as exc:
            raise BackendUnavailable(f"{member}: {exc!r}") from None
        if reply is None or reply.message_type is self._kinds.MessageType.ERROR:
            detail = f"{reply.error_name} {reply.body}" if reply is not None else "no answer"
            raise BackendUnavailable(f"{member}: {detail}"[:300])
        return reply.body[0] if reply.body else None

    def on_signal(self, handle: Any) -> None:
        """`handle(message)` is called with each signal."""

        def take(message: Any) -> None:
            if message.message_type is self._kinds.MessageType.SIGNAL:
                handle(message)

        self._bus.add_message_handler(take)

    async def lost(self) -> None:
        """Return when the connection is gone."""
        await self._bus.wait_for_disconnect()

    def close(self) -> None:
        """Disconnect; may be called twice."""
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None
