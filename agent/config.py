"""The agent's settings: read once, checked once, passed down by hand."""

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from protocol.errors import ErrorCode, UsageError

SOURCES = ("auto", "xcffib", "pixelflux", "dxcam", "screencapturekit", "mss")
_SETTINGS = {
    "source": str,
    "display": str,
    "has_desktop": bool,
    "seats_socket": str,
    "seat_users": str,
    "exec_socket": str,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """`display` is an X display such as ":1", "" for the environment's; `source` a screen source.

    `seats_socket`: where desktop processes of other users connect, "" for nowhere. `seat_users`: users (names
    or uids, with spaces between them) who may, beside those of whom the system says that they have a desktop.
    `exec_socket`: where systemd starts a unit for each command (`agent.exec.unit`), "" for our own children.
    """

    data: Path
    display: str = ""
    source: str = "auto"
    has_desktop: bool = True
    seats_socket: str = ""
    seat_users: str = ""
    exec_socket: str = ""
    as_json: bool = False


def default_data() -> Path:
    """Where state lives without `--data`: the system's folder for root, the person's otherwise."""
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        return Path("/var/lib/alongside-agent")
    return Path(platformdirs.user_data_dir("alongside-agent"))


def load_config(data: Path, settings: Path, given: Mapping[str, str | bool | None]) -> AgentConfig:
    """The settings file (optional), then what the command line gave.

    Raises:
        UsageError: E_CONFIG, naming the file and the key.
    """
    merged = {**_read_settings(settings), **{key: value for key, value in given.items() if value is not None}}
    config = AgentConfig(
        data=data,
        display=str(merged.get("display", "")),
        source=str(merged.get("source", "auto")),
        has_desktop=bool(merged.get("has_desktop", True)),
        seats_socket=str(merged.get("seats_socket", "")),
        seat_users=str(merged.get("seat_users", "")),
        exec_socket=str(merged.get("exec_socket", "")),
        as_json=bool(given.get("as_json")),
    )
    if config.source not in SOURCES:
        raise UsageError(f"source {config.source!r} is none of {', '.join(SOURCES)}", code=ErrorCode.E_CONFIG)
    return config


def _read_settings(settings: Path) -> dict[str, str | bool]:
    try:
        found = tomllib.loads(settings.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"{settings}: {exc}", code=ErrorCode.E_CONFIG) from None
    for key, value in found.items():
        if key not in _SETTINGS:
            raise UsageError(f"{settings}: unknown setting {key!r}", code=ErrorCode.E_CONFIG)
        if not isinstance(value, _SETTINGS[key]):
            raise UsageError(f"{settings}: {key} must be {_SETTINGS[key].__name__}", code=ErrorCode.E_CONFIG)
    return found
