"""Local messages about blocks: whom the person does not want for a while, and lifting that."""

from typing import Annotated

from msgspec import Meta

from protocol.codec import Finite, Message
from protocol.limits import BLOCKS_LIMIT
from protocol.messages.presence import ShortText


class BlocksAsked(Message, frozen=True, tag="ipc.blocks_asked"):
    """Command line or person's window to service: who is blocked?"""


class BlockLifted(Message, frozen=True, tag="ipc.block_lifted"):
    """Command line or person's window to service: lift this block ("all": all that this user may lift)."""

    block_id: ShortText


class BlockRow(Message, frozen=True, tag="ipc.block_row"):
    """One block. `technician_id` is "" for whoever nobody can tell, and "*" for everybody.

    `is_mismatch`: because four digits did not match; then it holds on the whole device. `may_lift`: by whom
    this goes to.
    """

    block_id: ShortText
    technician_id: ShortText
    name: ShortText
    is_mismatch: bool
    may_lift: bool
    left_s: Finite


class BlockList(Message, frozen=True, tag="ipc.block_list"):
    """Service: what holds for this user; as an answer to `BlockLifted`, what was lifted."""

    blocks: Annotated[list[BlockRow], Meta(max_length=BLOCKS_LIMIT)]
