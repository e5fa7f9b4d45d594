"""Whether the person wants this technician at all: no pause, and no block."""

from dataclasses import dataclass, field

from agent.blocks import UNVERIFIED, Block, Blocked, Blocks
from agent.pause import Pauses
from protocol.certificates import VerifiedPeer
from protocol.errors import ErrorCode
from protocol.names import shown_name


@dataclass(frozen=True, slots=True)
class Welcome:
    """One for each device."""

    pauses: Pauses = field(default_factory=lambda: Pauses(None))
    blocks: Blocks = field(default_factory=lambda: Blocks(None))

    def refusal(self, peer: VerifiedPeer, uid: int | None) -> ErrorCode | None:
        """Why no session with this technician begins or goes on at this user's desktop; None when it may.

        `uid` None: it is at no desktop, and there is none to which it would come.
        """
        if self.pauses.left_s(uid) > 0:
            return ErrorCode.E_CONSENT_PAUSED
        return self._block_code(peer, None)

    def refusal_to_ask(self, peer: VerifiedPeer, uid: int | None) -> ErrorCode | None:
        """Why the user at this desktop is not asked by this technician; None when they are."""
        return self.refusal(peer, uid) or self._block_code(peer, uid)

    def wait_s(self, cause: str, peer: VerifiedPeer, uid: int | None) -> float:
        """For how long what ended the session, or kept it out, still holds; 0.0 for everything else."""
        if cause == ErrorCode.E_CONSENT_PAUSED:
            return self.pauses.left_s(uid)
        if cause in (ErrorCode.E_READBACK_MISMATCH, ErrorCode.E_READBACK_BLOCKED):
            block = self.blocks.against(_id_of(peer), None)
            return block.left_s if block is not None else 0.0
        return 0.0

    def block(self, peer: VerifiedPeer, uid: int, *, is_mismatch: bool) -> Block:
        """The user does not want this technician for a while, or nobody of whom nobody can tell who it is."""
        name = "" if peer.is_visitor else shown_name(peer.name)
        return self.blocks.begin(Blocked(_id_of(peer), name, uid, is_mismatch=is_mismatch))

    def is_meant(self, block: Block, peer: VerifiedPeer) -> bool:
        """Whether a block of the whole device is about this technician."""
        return block.is_everywhere and block.is_for(_id_of(peer), None)

    def _block_code(self, peer: VerifiedPeer, uid: int | None) -> ErrorCode | None:
        block = self.blocks.against(_id_of(peer), uid)
        return block.code if block is not None else None


def _id_of(peer: VerifiedPeer) -> str:
    return UNVERIFIED if peer.is_visitor else peer.subject_id
