"""*Pause for an hour*: while it lasts nobody may ask or connect, whatever was allowed beforehand.

Each person's own: it holds at the desktop of the user who began it. One of the service's own user or root
is for everybody, and each person may end that for themselves (decision 0033). It ends by itself, and counts
on the machine's boot time. What cannot be told (an unreadable file, a wall clock that was set back) counts as
time that has not passed since it was last kept: a pause may last longer than it should.
"""

from pathlib import Path

import msgspec
import structlog

from agent.lasting_time import Moment, Now, elapsed_s, now
from agent.state import read_kept
from protocol.errors import SupportError
from protocol.limits import PAUSE_LENGTH_S, PAUSES_LIMIT
from protocol.private_files import write_private_file

log = structlog.get_logger()

FILE_LIMIT_BYTES = 64 << 10
EVERYBODY = None
"""Instead of a user."""


class UserPause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One user's, or EVERYBODY's but for those who ended it for themselves. `left_s`: when it is read."""

    uid: int | None
    left_s: float
    ended_for: tuple[int, ...] = ()

    def holds_for(self, uid: int | None) -> bool:
        """Whether it holds at this user's desktop; None: where there is no desktop."""
        if self.uid is EVERYBODY:
            return uid not in self.ended_for
        return self.uid == uid


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    written: Moment
    pauses: tuple[UserPause, ...] = ()
    left_s: float = 0.0
    """Of an older version: its only pause, which was everybody's."""


class Pauses:
    """All of this device."""

    def __init__(self, path: Path | None, moment_now: Now = now) -> None:
        """`path` None keeps nothing."""
        self._path = path
        self._now = moment_now
        self._written: Moment | None = None
        self._pauses: list[UserPause] = []  # as of `_written`

    def load(self) -> None:
        """Go on with what was begun before this start of the service."""
        if self._path is None:
            return
        try:
            found = read_kept(self._path, _File, FILE_LIMIT_BYTES)
        except FileNotFoundError:
            return
        except SupportError as exc:
            log.error("pause.unreadable", path=str(self._path), detail=exc.detail[:200])
            found = _File(self._now(), left_s=PAUSE_LENGTH_S)
        older = [UserPause(EVERYBODY, found.left_s)] if found.left_s > 0 else []
        self._written = found.written
        self._pauses = [_capped(each) for each in (*found.pauses, *older)][-PAUSES_LIMIT:]
        self._replace(self.live())

    def live(self) -> list[UserPause]:
        """What holds now, each with what is left of it."""
        if self._written is None or not self._pauses:
            return []
        passed_s = elapsed_s(self._written, self._now()) or 0.0
        left = (msgspec.structs.replace(each, left_s=each.left_s - passed_s) for each in self._pauses)
        return [each for each in left if each.left_s > 0]

    def left_s(self, uid: int | None) -> float:
        """For how long nobody may come to this user; None: where there is no desktop. 0 when they may."""
        return max((each.left_s for each in self.live() if each.holds_for(uid)), default=0.0)

    def begin(self, uid: int | None) -> float:
        """Pause for PAUSE_LENGTH_S from now, for this user or EVERYBODY; for how long it lasts."""
        rest = [each for each in self.live() if each.uid != uid]
        self._replace([*rest, UserPause(uid, PAUSE_LENGTH_S)])
        return PAUSE_LENGTH_S

    def end(self, uid: int | None) -> bool:
        """End it now for this user; EVERYBODY: for everybody who did not begin one. False: there was none."""
        live = self.live()
        after = [
            msgspec.structs.replace(each, ended_for=(*each.ended_for, uid))
            if each.uid is EVERYBODY and uid is not None and each.holds_for(uid)
            else each
            for each in live
            if each.uid != uid
        ]
        self._replace(after)
        return after != live

    def keep(self) -> None:
        """Write down how much is left, so that restarts of the machine cannot bring it back."""
        if self._pauses:
            self._replace(self.live())

    def _replace(self, pauses: list[UserPause]) -> None:
        had_some = bool(self._pauses)
        self._pauses, self._written = pauses[-PAUSES_LIMIT:], self._now()
        if self._path is None or not (had_some or pauses):
            return
        try:
            if self._pauses:
                write_private_file(self._path, msgspec.json.encode(_File(self._written, tuple(self._pauses))))
            else:
                self._path.unlink(missing_ok=True)
        except (SupportError, OSError) as exc:  # it holds, or has ended, as long as the service runs
            log.error("pause.not_kept", path=str(self._path), detail=str(exc)[:200])


def _capped(pause: UserPause) -> UserPause:
    return msgspec.structs.replace(
        pause, left_s=min(pause.left_s, PAUSE_LENGTH_S), ended_for=pause.ended_for[-PAUSES_LIMIT:]
    )
