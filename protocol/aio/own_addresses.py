"""Changes of this machine's addresses, as the kernel tells them (rtnetlink(7)); where it does not, silence.

A connection from an address that has gone is dead, and nobody says so: else only heartbeats find out.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress

_IPV4_ADDRESSES, _IPV6_ADDRESSES = 0x10, 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_READ_BYTES = 64 << 10
SETTLED_AFTER_S = 1.0
"""An address that was taken away and is back by then (a renewed lease) was never gone."""


class AddressChanges:
    """Calls back, in the loop's thread, after each change; opens one socket, until `close`."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._socket = _open_socket()
        if self._socket is not None:
            try:
                self._loop.add_reader(self._socket, self._read)
            except NotImplementedError:  # a loop without descriptors
                self._socket.close()
                self._socket = None

    def _read(self) -> None:
        assert self._socket is not None
        with suppress(OSError):  # ENOBUFS: more changes than were kept, which is a change as well
            self._socket.recv(_READ_BYTES)
        self._on_change()

    def close(self) -> None:
        """May be called twice."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None


class OwnAddress:
    """Calls back once, when this address has been gone for `SETTLED_AFTER_S`; until `close`."""

    def __init__(self, address: str, on_gone: Callable[[], None]) -> None:
        self._address, self._on_gone = address, on_gone
        self._look: asyncio.TimerHandle | None = None
        self._changes = AddressChanges(self._changed)

    def _changed(self) -> None:
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(SETTLED_AFTER_S, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        if not is_ours(self._address):
            self.close()
            self._on_gone()

    def close(self) -> None:
        """May be called twice."""
        self._changes.close()
        if self._look is not None:
            self._look.cancel()
            self._look = None


async def address_changed() -> None:
    """Wait for the next change; for ever where none is told."""
    changed = asyncio.Event()
    changes = AddressChanges(changed.set)
    try:
        await changed.wait()
    finally:
        changes.close()


def is_ours(address: str) -> bool:
    """Whether this machine has the address now; a link-local one of IPv6 counts as ours."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.is_link_local:  # bound only together with its interface
        return True
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(parsed), 0))
        except OSError:
            return False
    return True


def _open_socket() -> socket.socket | None:
    if not hasattr(socket, "AF_NETLINK"):
        return None
    try:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError:
        return None
    try:
        made.setblocking(False)
        made.bind((0, _IPV4_ADDRESSES | _IPV6_ADDRESSES))
    except OSError:
        made.close()
        return None
    return made
