"""Which users have a graphical session here, as systemd-logind tells it (org.freedesktop.login1(5))."""

from agent.platform.logind.bus import LOGIND, SystemBus

_MANAGER = (LOGIND, "/org/freedesktop/login1", f"{LOGIND}.Manager")
_PROPERTIES, _SESSION = "org.freedesktop.DBus.Properties", f"{LOGIND}.Session"
GRAPHICAL_TYPES = frozenset({"x11", "wayland", "mir"})
PERSON_CLASS = "user"  # and no greeter, lock screen or background session


async def graphical_users(bus_address: str = "") -> frozenset[int]:
    """Their uids now; `bus_address` "" is the system bus.

    Raises:
        BackendUnavailable: nobody tells here.
    """
    bus = SystemBus(bus_address)
    try:
        await bus.open()
        found = set()
        for _, uid, _, _, path in await bus.call((*_MANAGER, "ListSessions")):
            if uid not in found and await _is_graphical(bus, path):
                found.add(int(uid))
        return frozenset(found)
    finally:
        bus.close()


async def _is_graphical(bus: SystemBus, path: str) -> bool:
    told = [
        (await bus.call((LOGIND, path, _PROPERTIES, "Get"), "ss", _SESSION, name))[1]
        for name in ("Class", "Type")
    ]
    return told[0] == PERSON_CLASS and told[1] in GRAPHICAL_TYPES
