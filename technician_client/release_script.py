"""A system's install script as the one file that a relay hands out, with what it takes in from beside it."""

import re
from pathlib import Path
from typing import Final

from protocol.errors import UsageError
from protocol.platforms import Platform

_SHELL_TAKEN_IN: Final = b"""# shellcheck source=scripts/install/linux/verify.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/verify.sh"
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
    checks = file.with_name("verify.sh")
    functions = checks.read_bytes().partition(_SHELL_END)[0] if checks.is_file() else b""
    return file.read_bytes().replace(_SHELL_TAKEN_IN, functions)


def _part(file: Path) -> bytes:
    found = _POWERSHELL_PART.search(file.read_bytes()) if file.is_file() else None
    if found is None:
        raise UsageError(f"{file} is not there, or has no part that install.ps1 takes in")
    return found[1]
