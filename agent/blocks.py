"""Whom the person wants to hear nothing of for an hour (THREATS.md 6.2, decision 0033).

A *Block for 1 hour* holds at the desktop of the user who pressed it. One that follows four digits which did
not match holds on the whole device. Nothing that comes over a network makes, shortens or ends one. It counts
on the machine's boot time; what cannot be told counts as time that has not passed.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from agent.lasting_time import Moment, Now, elapsed_s, now
from agent.state import read_kept
from protocol.errors import ErrorCode, Refused, SupportError
from protocol.limits import BLOCK_LENGTH_S, BLOCKS_LIMIT
from protocol.private_files import write_private_file

log = structlog.get_logger()

FILE_LIMIT_BYTES = 128 << 10
UNVERIFIED = ""
"""Instead of a technician's id: whoever nobody can tell. Such a one has another id each time."""
EVERYBODY = "*"
"""Instead of a technician's id: the list of blocks could not be read."""


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One technician's; `uid` is the user of the device who said so, or None. `left_s`: when it is read.

    `is_everywhere`: on the whole device, else at that user's desktop alone.
    """

    block_id: str
    technician_id: str
    name: str
    uid: int | None
    is_everywhere: bool
    is_mismatch: bool
    left_s: float

    @property
    def code(self) -> ErrorCode:
        """What the technician is told."""
        return ErrorCode.E_READBACK_BLOCKED if self.is_mismatch else ErrorCode.E_CONSENT_BLOCKED

    def is_for(self, technician_id: str, uid: int | None) -> bool:
        """Whether it holds against this technician at this user's desktop; None: at no desktop yet."""
        return self.technician_id in (technician_id, EVERYBODY) and (self.is_everywhere or self.uid == uid)

    def may_lift(self, uid: int | None) -> bool:
        """Whether this user may: their own, and what nobody's is. None: the service's own user, and root."""
        return uid is None or self.uid in (None, uid)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Whom to block, and for whom. `technician_id` is UNVERIFIED where nobody can tell who it is."""

    technician_id: str
    name: str
    uid: int | None
    is_mismatch: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    written: Moment
    blocks: list[Block]


class Blocks:
    """All of this device. `listeners` hear of each one that begins."""

    def __init__(self, path: Path | None, moment_now: Now = now) -> None:
        """`path` None keeps nothing."""
        self.listeners: set[Callable[[Block], None]] = set()
        self._path = path
        self._now = moment_now
        self._written = moment_now()
        self._blocks: list[Block] = []  # as of `_written`, the oldest first

    def load(self) -> None:
        """Go on with what was kept; a list that cannot be read blocks everybody until somebody lifts that."""
        if self._path is None:
            return
        try:
            found = read_kept(self._path, _File, FILE_LIMIT_BYTES)
        except FileNotFoundError:
            return
        except SupportError as exc:
            log.error("blocks.unreadable", path=str(self._path), detail=exc.detail[:200])
            found = _File(self._now(), [_new(Blocked(EVERYBODY, "", None), is_everywhere=True)])
        self._written = found.written
        self._blocks = [_capped(each) for each in found.blocks[-BLOCKS_LIMIT:]]
        self.keep()

    def take_over(self, technician_id: str, left_s: float) -> None:
        """A block that an older version kept, which held on the whole device."""
        kept = _new(Blocked(technician_id, "", None), is_everywhere=True)
        self._replace([*self.live(), _capped(msgspec.structs.replace(kept, left_s=left_s))])

    def live(self) -> list[Block]:
        """What holds now, each with what is left of it."""
        if not self._blocks:
            return []
        passed_s = elapsed_s(self._written, self._now()) or 0.0
        left = (msgspec.structs.replace(each, left_s=each.left_s - passed_s) for each in self._blocks)
        return [each for each in left if each.left_s > 0]

    def against(self, technician_id: str, uid: int | None) -> Block | None:
        """The block that counts against this technician at this user's desktop; None: there is none."""
        found = (each for each in self.live() if each.is_for(technician_id, uid))
        return max(found, key=lambda each: (each.is_mismatch, each.left_s), default=None)

    def begin(self, whom: Blocked) -> Block:
        """Block for BLOCK_LENGTH_S from now; one of the same kind is replaced."""
        begun = _new(whom, is_everywhere=whom.is_mismatch)
        self._replace([*(each for each in self.live() if _what(each) != _what(begun)), begun])
        for listener in tuple(self.listeners):
            listener(begun)
        return begun

    def end(self, block_id: str, uid: int | None = None) -> list[Block]:
        """Lift one, or all of them for "all". `uid`: of those that this user may lift.

        Raises:
            Refused: E_BLOCK_UNKNOWN.
        """
        live = self.live()
        ended = [each for each in live if each.may_lift(uid) and block_id in (each.block_id, "all")]
        if not ended and block_id != "all":
            raise Refused(block_id[:32], code=ErrorCode.E_BLOCK_UNKNOWN)
        self._replace([each for each in live if each not in ended])
        return ended

    def keep(self) -> None:
        """Write down how much is left, so that a restart of the machine cannot bring it back."""
        if self._blocks:
            self._replace(self.live())

    def _replace(self, blocks: list[Block]) -> None:
        moment = self._now()
        self._blocks, self._written = blocks[-BLOCKS_LIMIT:], moment
        if self._path is None:
            return
        try:
            if self._blocks:
                write_private_file(self._path, msgspec.json.encode(_File(moment, self._blocks)))
            else:
                self._path.unlink(missing_ok=True)
        except (SupportError, OSError) as exc:  # it holds, or is lifted, as long as the service runs
            log.error("blocks.not_kept", path=str(self._path), detail=str(exc)[:200])


def _new(whom: Blocked, *, is_everywhere: bool) -> Block:
    return Block(
        block_id=f"b-{secrets.token_hex(4)}",
        technician_id=whom.technician_id,
        name=whom.name,
        uid=whom.uid,
        is_everywhere=is_everywhere,
        is_mismatch=whom.is_mismatch,
        left_s=BLOCK_LENGTH_S,
    )


def _capped(block: Block) -> Block:
    return msgspec.structs.replace(block, left_s=min(block.left_s, BLOCK_LENGTH_S))


def _what(each: Block) -> tuple[str, int | None, bool]:
    return each.technician_id, each.uid, each.is_mismatch
