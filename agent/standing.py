"""What the person allowed beforehand: whom, what, until when. It replaces the prompt, never the indicator.

Only the person's own prompt makes one: no message of the relay, of a policy or of a session does. One counts
its time on the machine's boot time, and is over when the wall clock was set back over a restart: it may end
early, and never late.
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from agent.lasting_time import Moment, Now, elapsed_s, now
from agent.state import read_kept
from agent.user_names import own_uid
from protocol.errors import ErrorCode, Refused, SupportError
from protocol.grantables import Grantable
from protocol.limits import STANDING_LENGTH_LIMIT_S, STANDING_LIMIT
from protocol.private_files import write_private_file

log = structlog.get_logger()

FILE_LIMIT_BYTES = 128 << 10


class StandingConsent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One permission for one technician, or for everyone who may help a device of this group.

    Exactly one of `technician_id` and `group` is set. `left_s` is what is left when it is read.
    """

    standing_id: str
    technician_id: str
    group: str
    name: str
    grantable: Grantable
    left_s: float
    uid: int = msgspec.field(default_factory=own_uid)
    """The user of the device who allowed it, and at whose desktop it holds."""

    def is_for(self, technician_id: str, group: str, uid: int) -> bool:
        """Whether this technician, on a device of this group, at this user's desktop, is meant."""
        if self.uid != uid:
            return False
        return self.group == group if self.group else self.technician_id == technician_id

    @property
    def whom(self) -> str:
        """For the audit: the technician's id, or the group."""
        return f"group:{self.group}" if self.group else self.technician_id


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    written: Moment
    standing: list[StandingConsent]


@dataclass(frozen=True, slots=True)
class Whom:
    """For whom the person allows something: a technician, or everyone who may help a device of the group."""

    technician_id: str = ""
    group: str = ""
    name: str = ""
    uid: int = field(default_factory=own_uid)


class StandingConsents:
    """All of this device. `listeners` hear of each one that is taken back, not of those that run out."""

    def __init__(self, path: Path | None, moment_now: Now = now) -> None:
        """`path` None keeps nothing."""
        self.listeners: set[Callable[[StandingConsent], None]] = set()
        self._path = path
        self._now = moment_now
        self._written = moment_now()
        self._standing: list[StandingConsent] = []  # as of `_written`

    def load(self) -> None:
        """Read what was kept. What cannot be read, or judged by this clock, does not hold."""
        if self._path is None:
            return
        try:
            found = read_kept(self._path, _File, FILE_LIMIT_BYTES)
        except FileNotFoundError:
            return
        except SupportError as exc:
            log.error("standing.unreadable", path=str(self._path), detail=exc.detail[:200])
            return
        self._written = found.written
        self._standing = [
            msgspec.structs.replace(each, left_s=min(each.left_s, STANDING_LENGTH_LIMIT_S))
            for each in found.standing[:STANDING_LIMIT]
            if bool(each.technician_id) != bool(each.group)
        ]
        # what this clock cannot judge at the start does not hold later either, when the clock is set again
        try:
            self.keep()
        except SupportError as exc:
            log.error("standing.unkept", path=str(self._path), detail=exc.detail[:200])
            self._standing = []

    def live(self) -> list[StandingConsent]:
        """What holds now, each with what is left of it."""
        passed_s = elapsed_s(self._written, self._now())
        if passed_s is None:
            return []
        left = (msgspec.structs.replace(each, left_s=each.left_s - passed_s) for each in self._standing)
        return [each for each in left if each.left_s > 0]

    def covering(
        self, technician_id: str, group: str, grantables: Iterable[Grantable], uid: int | None = None
    ) -> dict[Grantable, StandingConsent]:
        """One for each of these that the person allowed beforehand: the one that holds longest.

        `uid` is whose desktop it is; None: the service's own user's.
        """
        whose = own_uid() if uid is None else uid
        found: dict[Grantable, StandingConsent] = {}
        wanted = set(grantables)
        for each in sorted(self.live(), key=lambda one: one.left_s):
            if each.grantable in wanted and each.is_for(technician_id, group, whose):
                found[each.grantable] = each
        return found

    def give(self, whom: Whom, grantables: Iterable[Grantable], length_s: float) -> list[StandingConsent]:
        """Keep these; what the same one had of the same kind is replaced.

        Raises:
            Refused: E_BUSY, there are as many as it takes. EnvironmentFault: E_DATA_DISK; nothing is given.
        """
        left_s = min(length_s, STANDING_LENGTH_LIMIT_S)
        given = [
            StandingConsent(
                f"c-{secrets.token_hex(4)}",
                whom.technician_id,
                whom.group,
                whom.name,
                grantable,
                left_s,
                whom.uid,
            )
            for grantable in sorted(grantables)
        ]
        same = {_what(each) for each in given}
        kept = [each for each in self.live() if _what(each) not in same]
        if len(kept) + len(given) > STANDING_LIMIT:
            raise Refused(f"more than {STANDING_LIMIT}", code=ErrorCode.E_BUSY)
        self._replace([*kept, *given])
        return given

    def end(self, standing_id: str, uid: int | None = None) -> list[StandingConsent]:
        """Take one back, or all of them for "all"; what rests on it ends now. `uid`: of this user's alone.

        Raises:
            Refused: E_CONSENT_UNKNOWN. EnvironmentFault: E_DATA_DISK; it is over all the same.
        """
        live = self.live()
        theirs = [each for each in live if uid in (None, each.uid)]
        ended = [each for each in theirs if standing_id in (each.standing_id, "all")]
        if not ended and standing_id != "all":
            raise Refused(standing_id[:32], code=ErrorCode.E_CONSENT_UNKNOWN)
        rest = [each for each in live if each not in ended]
        self._standing, self._written = rest, self._now()
        for each in ended:
            for listener in tuple(self.listeners):
                listener(each)
        self._replace(rest)
        return ended

    def keep(self) -> None:
        """Write down how much is left, so that a restart of the machine gives none of it back."""
        if self._standing:
            self._replace(self.live())

    def _replace(self, standing: list[StandingConsent]) -> None:
        moment = self._now()
        if self._path is not None:
            write_private_file(self._path, msgspec.json.encode(_File(moment, standing)))
        self._standing, self._written = standing, moment


def _what(each: StandingConsent) -> tuple[str, str, Grantable, int]:
    return each.technician_id, each.group, each.grantable, each.uid
