"""The plain files that a relay hands out: install scripts and releases, by a table, no joined path."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog
from aiohttp import web

from protocol.errors import ErrorCode, UsageError
from protocol.published import (
    FILES_FOLDER,
    INDEX_DECODER,
    INDEX_LIMIT_BYTES,
    INDEX_NAME,
    INSTALL_SCRIPTS,
    RELEASE_PATH,
    PublishedIndex,
)
from relay.intake import INTAKE_TIMEOUT_S, Intake

# who is slower than this is cut; a bundle has some 60 MiB
LEAST_BYTES_PER_S = 16 << 10
DOWNLOADS_LIMIT = 256
RETRY_AFTER_S = 20
_LOG = structlog.get_logger()
_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


@dataclass(frozen=True, slots=True)
class _Served:
    file: Path
    content_type: str
    length_bytes: int


class Published:
    """Answers for what `index.json` lists; whatever else is asked for is not there.

    The index is read again when it changes; one that cannot be read leaves the former one in force.
    """

    def __init__(self, folder: Path) -> None:
        """Read the index.

        Raises:
            UsageError: E_CONFIG, it is missing or malformed.
        """
        self._folder = folder
        self._seen = self._stamp()
        self._table = self._read()
        self._downloads = 0

    def add_to(self, app: web.Application) -> None:
        """Take the paths."""
        for path in INSTALL_SCRIPTS:
            app.router.add_get(path, self._serve)
        app.router.add_get(RELEASE_PATH + "{name}", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self._look_again()
        served = self._table.get(request.path)
        if served is None:
            raise web.HTTPNotFound
        if self._downloads >= DOWNLOADS_LIMIT:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": str(RETRY_AFTER_S)})
        protocol = request.transport.get_protocol() if request.transport is not None else None
        if isinstance(protocol, Intake):
            protocol.give_time(INTAKE_TIMEOUT_S + served.length_bytes / LEAST_BYTES_PER_S)
        response = web.FileResponse(served.file, headers=_HEADERS | {"Content-Type": served.content_type})
        self._downloads += 1
        try:
            await response.prepare(request)  # it sends the whole file
        finally:
            self._downloads -= 1
        return response

    def _look_again(self) -> None:
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._table = self._read()
                self._seen = stamp
        except UsageError as exc:
            _LOG.warning("release.unreadable", code=exc.code.value, detail=exc.detail)

    def _stamp(self) -> tuple[int, int, int]:
        try:
            facts = (self._folder / INDEX_NAME).stat()
        except OSError as exc:
            raise _unusable(self._folder, str(exc.strerror)) from None
        return facts.st_mtime_ns, facts.st_size, facts.st_ino

    def _read(self) -> dict[str, _Served]:
        try:
            with (self._folder / INDEX_NAME).open("rb") as file:
                index = INDEX_DECODER.decode(file.read(INDEX_LIMIT_BYTES))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise _unusable(self._folder, str(exc)[:200]) from None
        return _table(self._folder / FILES_FOLDER, index)


def _table(files: Path, index: PublishedIndex) -> dict[str, _Served]:
    table: dict[str, _Served] = {}
    for each in index.files:
        kind = INSTALL_SCRIPTS.get(each.path, "application/octet-stream")
        # the pattern of `sha256` is what makes this join safe: 64 hex digits
        served = _Served(files / each.sha256, kind, each.length_bytes)
        table[each.path] = served
        table[RELEASE_PATH + each.sha256] = served
    return table


def _unusable(folder: Path, why: str) -> UsageError:
    return UsageError(f"{folder / INDEX_NAME}: {why}", code=ErrorCode.E_CONFIG)
