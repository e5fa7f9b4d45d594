"""What the person thought of a session, kept until its technician can be told inside a session's tunnel.

A rating is for that technician and nobody else. The relay never carries it outside of a tunnel, and the
audit log holds the thumb alone, never the words.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from agent.state import read_kept
from protocol.errors import ErrorCode, Refused, SupportError
from protocol.limits import RATING_LIFETIME_DAYS, RATINGS_LIMIT
from protocol.private_files import write_private_file

log = structlog.get_logger()

FILE_LIMIT_BYTES = 512 << 10


class Rating(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One session's."""

    session_id: str
    technician_id: str
    given_at_utc: datetime
    is_good: bool
    comment: str


class RatingBook:
    """Those of this device that wait for their technician, oldest first."""

    def __init__(
        self, path: Path | None, utc_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`path` None keeps nothing."""
        self._path = path
        self._utc_now = utc_now
        self._waiting: list[Rating] = []

    def load(self) -> None:
        """Read what was kept; what cannot be read is gone, and the log says so."""
        if self._path is None:
            return
        try:
            self._waiting = read_kept(self._path, list[Rating], FILE_LIMIT_BYTES)
        except FileNotFoundError:
            return
        except SupportError as exc:
            log.error("ratings.unreadable", path=str(self._path), detail=exc.detail[:200])

    def waiting_for(self, technician_id: str) -> list[Rating]:
        """What this technician is to be told; too old ones are forgotten."""
        oldest = self._utc_now() - timedelta(days=RATING_LIFETIME_DAYS)
        fresh = [each for each in self._waiting if each.given_at_utc >= oldest]
        if len(fresh) != len(self._waiting):
            self._replace(fresh)
        return [each for each in fresh if each.technician_id == technician_id]

    def check_new(self, session_id: str) -> None:
        """Let a session pass that has no rating here yet; raises Refused: E_STATE."""
        if any(each.session_id == session_id for each in self._waiting):
            raise Refused("it was rated already", code=ErrorCode.E_STATE)

    def keep(self, rating: Rating) -> None:
        """Keep it; the oldest goes when there are too many.

        Raises:
            Refused: E_STATE, that session was rated already. EnvironmentFault: E_DATA_DISK.
        """
        self.check_new(rating.session_id)
        self._replace([*self._waiting, rating][-RATINGS_LIMIT:])

    def delivered(self, session_id: str, technician_id: str) -> bool:
        """The technician has it: it is deleted. False when it does not wait for that technician."""
        gone = [
            each
            for each in self._waiting
            if (each.session_id, each.technician_id) == (session_id, technician_id)
        ]
        if gone:
            self._replace([each for each in self._waiting if each not in gone])
        return bool(gone)

    def _replace(self, waiting: list[Rating]) -> None:
        if self._path is not None:
            write_private_file(self._path, msgspec.json.encode(waiting))
        self._waiting = waiting
