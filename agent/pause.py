"""*Pause for an hour*: while it lasts nobody may ask or connect, whatever was allowed beforehand.

Only the person begins or ends one, and it ends by itself. It counts on the machine's boot time. What cannot
be told (a file that cannot be read, a wall clock that was set back over a restart) counts as time that has
not passed since it was last kept: a pause may last longer than it should, and the person can end it.
"""

from pathlib import Path

import msgspec
import structlog

from agent.lasting_time import Moment, Now, elapsed_s, now
from agent.state import read_kept
from protocol.errors import SupportError
from protocol.limits import PAUSE_LENGTH_S
from protocol.private_files import write_private_file

log = structlog.get_logger()

FILE_LIMIT_BYTES = 4096


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    written: Moment
    left_s: float


class Pause:
    """One for each device."""

    def __init__(self, path: Path | None, moment_now: Now = now) -> None:
        """`path` None keeps nothing."""
        self._path = path
        self._now = moment_now
        self._kept: _File | None = None

    def load(self) -> None:
        """Go on with a pause that was begun before this start of the service."""
        if self._path is None:
            return
        moment = self._now()
        try:
            found = read_kept(self._path, _File, FILE_LIMIT_BYTES)
        except FileNotFoundError:
            return
        except SupportError as exc:
            log.error("pause.unreadable", path=str(self._path), detail=exc.detail[:200])
            found = _File(moment, PAUSE_LENGTH_S)
        passed_s = elapsed_s(found.written, moment) or 0.0
        self._kept = _File(moment, min(found.left_s, PAUSE_LENGTH_S) - passed_s)
        self.keep()

    @property
    def left_s(self) -> float:
        """For how long it still lasts; 0 when there is none."""
        kept = self._kept
        if kept is None:
            return 0.0
        left_s = kept.left_s - (elapsed_s(kept.written, self._now()) or 0.0)
        if left_s <= 0:
            self._forget()
        return max(0.0, left_s)

    def begin(self) -> float:
        """Pause for PAUSE_LENGTH_S from now; for how long it lasts."""
        self._kept = _File(self._now(), PAUSE_LENGTH_S)
        self._keep()
        return PAUSE_LENGTH_S

    def end(self) -> None:
        """End it now."""
        self._forget()

    def keep(self) -> None:
        """Write down how much is left, so that restarts of the machine cannot bring it back."""
        left_s = self.left_s
        if left_s > 0:
            self._kept = _File(self._now(), left_s)
            self._keep()

    def _keep(self) -> None:
        if self._path is None:
            return
        try:
            write_private_file(self._path, msgspec.json.encode(self._kept))
        except SupportError as exc:  # it holds as long as the service runs
            log.error("pause.not_kept", code=str(exc.code), detail=exc.detail)

    def _forget(self) -> None:
        self._kept = None
        if self._path is None:
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as exc:  # it ends by itself all the same
            log.error("pause.not_forgotten", detail=str(exc))
