"""The systems that the agent is for, by the one name that catalogue, releases and published paths use."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

Platform: TypeAlias = Literal["linux", "macos", "windows"]
PLATFORMS: Final[tuple[Platform, ...]] = get_args(Platform)

SCRIPT_PATHS: Final[Mapping[Platform, str]] = {
    "linux": "/install.sh",
    "macos": "/install-macos.sh",
    "windows": "/install.ps1",
}
"""Where a relay hands out each system's install script."""


def platform_name(system: str) -> str:
    """Our name for what `platform.system()` says; another system's own name in lower case."""
    return "macos" if system == "Darwin" else system.lower()


def machine_name(machine: str) -> str:
    """Our name for what `platform.machine()` says: the system's own in lower case, as wheels have it.

    So it is `x86_64` or `aarch64` on Linux, `x86_64` or `arm64` on macOS, `amd64` or `arm64` on Windows.
    """
    return machine.lower()
