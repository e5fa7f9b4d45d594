"""A system's install script as the one file that a relay hands out, with what it takes in from beside it."""

import re
from pathlib import Path
from typing import Final

from protocol.errors import UsageError
from protocol.platforms import Platform

_SHELL_TAKEN_IN: Final = b"""# shellcheck source=scripts/install/verify.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../verify.sh"
"""
_SHELL_END: Final = b"# install.sh takes these functions in\n"
_POWERSHELL_TAKEN_IN: Final = re.compile(rb"^\. \(Join-Path \$PSScriptRoot '([a-z]+\.ps1)'\)\n", re.MULTILINE)
_POWERSHELL_PART: Final = re.compile(
    rb"^# install\.ps1 takes in what stands from here\n(.*)^# install\.ps1 takes in what stands up to here\n",
    re.MULTILINE | re.DOTALL,
)


def one_script(folder: Path, platform: Platform) -> bytes:
    """The script of `scripts/install` for this system; b"" where the sources have none.

    Raises:
        UsageError: what it takes in is not there.
    """
    file = folder / platform / ("install.ps1" if platform == "windows" else "install.sh")
    if not file.is_file():
        return b""
    if platform == "windows":
        return _POWERSHELL_TAKEN_IN.sub(
            lambda found: _part(file.with_name(found[1].decode())), file.read_bytes()
        )
    script = file.read_bytes()
    return script.replace(_SHELL_TAKEN_IN, _checks(folder)) if _SHELL_TAKEN_IN in script else script


def _checks(folder: Path) -> bytes:
    file = folder / "verify.sh"
    functions, end, _ = file.read_bytes().partition(_SHELL_END) if file.is_file() else (b"", b"", b"")
    if not end:
        raise UsageError(f"{file} is not there, or has no part that install.sh takes in")
    return functions


def _part(file: Path) -> bytes:
    found = _POWERSHELL_PART.search(file.read_bytes()) if file.is_file() else None
    if found is None:
        raise UsageError(f"{file} is not there, or has no part that install.ps1 takes in")
    return found[1]
