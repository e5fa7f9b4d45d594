"""Small state files of this program: private, whole or not at all, and strictly read."""

from pathlib import Path
from typing import TypeVar

import msgspec

from protocol.errors import EnvironmentFault, ErrorCode, UsageError
from protocol.private_files import write_private_file

T = TypeVar("T")

TEXT_FILE_LIMIT_BYTES = 64 << 10
PRIVATE_FOLDER = 0o700


def make_private_folder(path: Path) -> None:
    """Create the folder (mode 0700) and its parents where they are missing.

    Raises:
        EnvironmentFault: E_DATA_DISK.
    """
    try:
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as exc:
        raise EnvironmentFault(str(exc)) from exc


def write_private(path: Path, content: bytes) -> None:
    """Replace the file's content in one step; it survives a power cut and only its owner reads it.

    Raises:
        EnvironmentFault: E_DATA_DISK; the former content stands.
    """
    make_private_folder(path.parent)
    write_private_file(path, content)


def read_bounded(path: Path, limit_bytes: int = TEXT_FILE_LIMIT_BYTES) -> bytes:
    """The file's content, never more than the limit.

    Raises:
        UsageError: the file is missing, unreadable or too large; the detail names it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror or exc}") from exc
    if len(content) > limit_bytes:
        raise UsageError(f"{path} is larger than {limit_bytes} bytes")
    return content


def read_secret_line(path: Path) -> str:
    """The first line of a file that holds one secret.

    Raises:
        UsageError: the file cannot be read, is empty or is not text; the secret is not in the detail.
    """
    try:
        line = read_bounded(path).decode("utf-8").partition("\n")[0].strip("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a text file") from None
    if not line:
        raise UsageError(f"{path} is empty")
    return line


def read_document(path: Path, kind: type[T]) -> T:
    """A JSON state file as the struct it has to be; unknown keys are refused.

    Raises:
        UsageError: E_CONFIG, with the file's name and what is wrong in it.
    """
    try:
        return msgspec.json.decode(read_bounded(path), type=kind, strict=True)
    except msgspec.DecodeError as exc:
        raise UsageError(f"{path}: {exc}", code=ErrorCode.E_CONFIG) from None


def write_document(path: Path, document: msgspec.Struct | list[msgspec.Struct]) -> None:
    """Write a struct as a JSON state file that a person can read.

    Raises:
        EnvironmentFault: E_DATA_DISK.
    """
    write_private(path, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
