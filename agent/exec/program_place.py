"""Which file a program's path means, and that nobody can exchange it between our look at it and its start.

Every link is followed first, and what is started is the file at the end. Nobody else can put another one in
its place when it and every folder above it belong to root or to ourselves and nobody else may write to them.
"""

import os
import stat
from pathlib import Path

from protocol.errors import ErrorCode, Refused


def settled_program(program: str) -> str:
    """The path without links of the file that this path means.

    Raises:
        Refused: E_COMMAND_MISSING, it is no file; E_COMMAND_UNSAFE, somebody else can exchange it.
    """
    try:
        path = Path(program).resolve(strict=True)
        for folder in path.parents:
            _check_folder(folder)
        _check_file(path)
    except (OSError, RuntimeError):  # the latter: links in a circle, on Python before 3.13
        raise _missing(program) from None
    return str(path)


def _check_folder(folder: Path) -> None:
    found = folder.stat(follow_symlinks=False)
    # in a sticky folder nobody renames or removes what others own (inode(7)), such as /tmp
    is_sticky = bool(found.st_mode & stat.S_ISVTX)
    if not _is_ours(found) or (_is_writable(found) and not is_sticky):
        raise _unsafe(folder)


def _check_file(path: Path) -> None:
    found = path.stat(follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        raise _missing(str(path))
    if not _is_ours(found) or _is_writable(found):
        raise _unsafe(path)


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid in (0, os.geteuid())


def _is_writable(found: os.stat_result) -> bool:
    """By anybody but its owner; root's own group counts as root."""
    by_group = bool(found.st_mode & stat.S_IWGRP) and found.st_gid != 0
    return by_group or bool(found.st_mode & stat.S_IWOTH)


def _unsafe(place: Path) -> Refused:
    return Refused(f"{place} can be changed by other users", code=ErrorCode.E_COMMAND_UNSAFE)


def _missing(program: str) -> Refused:
    return Refused(f"{program} is not installed on this device", code=ErrorCode.E_COMMAND_MISSING)
