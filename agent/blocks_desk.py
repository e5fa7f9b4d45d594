"""The service's answers about blocks: whom the person does not want for a while, and lifting that."""

import asyncio
from collections.abc import Callable

import structlog

from agent.blocks import Block, Blocks
from agent.desktop.block_messages import BlockLifted, BlockList, BlockRow, BlocksAsked
from agent.desktop.ipc_messages import TO_COMMAND_LINE_CODEC, Hello, IpcRefused
from agent.desktop_link import others_uid
from agent.local_frames import LocalConnection
from agent.session_audit import Appends
from protocol.audit import AuditEvent, AuditKind
from protocol.errors import ErrorCode, Refused, SupportError

log = structlog.get_logger()

KEEP_EVERY_S = 300.0
IsAnybodyHere = Callable[[int | None], bool]


class BlocksDesk:
    """Lists and lifts. There is no verb that blocks: only the person's prompt and window do."""

    def __init__(
        self, blocks: Blocks, audit: Appends, device_id: str, is_anybody_here: IsAnybodyHere
    ) -> None:
        """`is_anybody_here`: whether a session lives at this user's desktop, which could press for them."""
        self._blocks = blocks
        self._audit = audit
        self._device_id = device_id
        self._is_anybody_here = is_anybody_here

    async def keep_true(self) -> None:
        """Write down now and then how much is left of them; until cancelled."""
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            self._blocks.keep()

    async def handle(self, hello: Hello, connection: LocalConnection) -> None:
        """Answer `BlocksAsked` or `BlockLifted`."""
        assert isinstance(hello, BlocksAsked | BlockLifted)
        uid = others_uid(connection)
        answer: BlockList | IpcRefused
        try:
            if isinstance(hello, BlockLifted):
                answer = BlockList(self._lift(hello.block_id, connection.peer.uid, uid))
            else:
                shown = (each for each in self._blocks.live() if each.is_everywhere or each.may_lift(uid))
                answer = BlockList([_row(each, uid) for each in shown])
        except SupportError as exc:
            answer = IpcRefused(code=exc.code)
        await connection.send(TO_COMMAND_LINE_CODEC.encode(answer))
        await connection.finish()

    def _lift(self, block_id: str, peer_uid: int, uid: int | None) -> list[BlockRow]:
        if self._is_anybody_here(uid):
            raise Refused("somebody is here", code=ErrorCode.E_BUSY)
        return note_lifted(self._blocks.end(block_id, uid), self._audit, self._device_id, peer_uid)


def note_lifted(lifted: list[Block], audit: Appends, device_id: str, uid: int) -> list[BlockRow]:
    """Write down that these were lifted by this user, and tell of them."""
    for each in lifted:
        facts: dict[str, str | int] = {"whom": each.technician_id, "code": each.code.value, "uid": uid}
        try:
            audit.append(AuditEvent(AuditKind.BLOCK_ENDED, "person", device_id, "", True, facts))
        except SupportError as exc:  # the person's word holds all the same
            log.error("audit.failed", kind=AuditKind.BLOCK_ENDED.value, code=str(exc.code), detail=exc.detail)
    return [_row(each, uid=None) for each in lifted]


def _row(each: Block, uid: int | None) -> BlockRow:
    return BlockRow(
        each.block_id, each.technician_id, each.name, each.is_mismatch, each.may_lift(uid), each.left_s
    )
