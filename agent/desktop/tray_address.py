"""Where the person's session bus is, before anything that speaks to it is imported."""

from collections.abc import Mapping


def bus_address(environment: Mapping[str, str]) -> str:
    """Where the session's bus is (D-Bus Specification, "Well-known Message Bus Instances"); "" for none."""
    given = environment.get("DBUS_SESSION_BUS_ADDRESS")
    if given is not None:
        return given
    folder = environment.get("XDG_RUNTIME_DIR", "")
    return f"unix:path={folder}/bus" if folder.startswith("/") else ""
