"""The command line's side of the service's socket: one question, one answer."""

from collections.abc import AsyncGenerator
from pathlib import Path

from agent.desktop.block_messages import BlockLifted, BlockList, BlockRow, BlocksAsked
from agent.desktop.ipc_messages import (
    HELLO_CODEC,
    TO_COMMAND_LINE_CODEC,
    HelpAsked,
    HelpCode,
    HelpNews,
    IpcRefused,
    LeaveOrdered,
    Left,
    ListsChanged,
    ListsTaken,
    StandingAsked,
    StandingList,
    StandingRevoked,
    StandingRow,
    Status,
    StatusAsked,
)
from agent.desktop.pause_messages import Paused, PauseOrdered, ResumeOrdered
from agent.local_frames import connect_local
from protocol.errors import PeerViolation


async def ask_status(socket_path: Path) -> Status:
    """How the running service is.

    Raises:
        Unreachable: E_NOT_RUNNING. Refused: what the service said.
    """
    answer = await _ask(socket_path, StatusAsked())
    if not isinstance(answer, Status):
        raise PeerViolation(f"{type(answer).__name__} instead of a status")
    return answer


async def order_leave(socket_path: Path) -> None:
    """Have the running service end its sessions, forget the organisation and end.

    Raises:
        Unreachable: E_NOT_RUNNING. Refused: what the service said.
    """
    answer = await _ask(socket_path, LeaveOrdered())
    if not isinstance(answer, Left):
        raise PeerViolation(f"{type(answer).__name__} instead of an end")


async def tell_lists_changed(socket_path: Path) -> None:
    """Have the running service read the lists of private windows now.

    Raises:
        Unreachable: E_NOT_RUNNING. Refused: what the service said.
    """
    answer = await _ask(socket_path, ListsChanged())
    if not isinstance(answer, ListsTaken):
        raise PeerViolation(f"{type(answer).__name__} instead of a receipt")


async def ask_standing(socket_path: Path) -> list[StandingRow]:
    """What the person allowed beforehand.

    Raises:
        Unreachable: E_NOT_RUNNING. Refused: what the service said.
    """
    return await _standing(socket_path, StandingAsked())


async def revoke_standing(socket_path: Path, standing_id: str) -> list[StandingRow]:
    """Take one back, or "all"; returns what was taken back.

    Raises:
        Unreachable: E_NOT_RUNNING. Refused: E_CONSENT_UNKNOWN, or what else the service said.
    """
    return await _standing(socket_path, StandingRevoked(standing_id))


async def _standing(socket_path: Path, question: StandingAsked | StandingRevoked) -> list[StandingRow]:
    answer = await _ask(socket_path, question)
    if not isinstance(answer, StandingList):
        raise PeerViolation(f"{type(answer).__name__} instead of a list")
    return answer.standing


async def order_pause(socket_path: Path, *, is_on: bool) -> float:
    """Begin the pause, or end it; for how long it lasts now.

    Raises:
        Unreachable: E_NOT_RUNNING. Refused: what the service said.
    """
    answer = await _ask(socket_path, PauseOrdered() if is_on else ResumeOrdered())
    if not isinstance(answer, Paused):
        raise PeerViolation(f"{type(answer).__name__} instead of a pause")
    return answer.left_s


async def ask_blocks(socket_path: Path) -> list[BlockRow]:
    """Whom the person blocked.

    Raises:
        Unreachable: E_NOT_RUNNING. Refused: what the service said.
    """
    return await _blocks(socket_path, BlocksAsked())


async def lift_block(socket_path: Path, block_id: str) -> list[BlockRow]:
    """Lift one, or "all"; returns what was lifted.

    Raises:
        Unreachable: E_NOT_RUNNING. Refused: E_BLOCK_UNKNOWN; E_BUSY, somebody is here.
    """
    return await _blocks(socket_path, BlockLifted(block_id))


async def _blocks(socket_path: Path, question: BlocksAsked | BlockLifted) -> list[BlockRow]:
    answer = await _ask(socket_path, question)
    if not isinstance(answer, BlockList):
        raise PeerViolation(f"{type(answer).__name__} instead of a list")
    return answer.blocks


async def ask_for_help(socket_path: Path) -> AsyncGenerator[HelpCode | HelpNews, None]:
    """The code that the running service shows, then what came of it. Closing this makes the code void.

    Raises:
        Unreachable: E_NOT_RUNNING; E_LINK_LOST, the service ended. Refused: what the service said.
    """
    connection = await connect_local(str(socket_path))
    try:
        await connection.send(HELLO_CODEC.encode(HelpAsked()))
        while True:
            frame = await connection.receive(TO_COMMAND_LINE_CODEC.limit_bytes)
            answer = TO_COMMAND_LINE_CODEC.decode(frame)
            if isinstance(answer, IpcRefused):
                raise answer.refusal()
            if not isinstance(answer, HelpCode | HelpNews):
                raise PeerViolation(f"{type(answer).__name__} instead of a code")
            yield answer
            if isinstance(answer, HelpNews):
                return
    finally:
        connection.close()


async def _ask(
    socket_path: Path,
    question: StatusAsked
    | LeaveOrdered
    | ListsChanged
    | StandingAsked
    | StandingRevoked
    | PauseOrdered
    | ResumeOrdered
    | BlocksAsked
    | BlockLifted,
) -> Status | Left | ListsTaken | StandingList | Paused | BlockList:
    connection = await connect_local(str(socket_path))
    try:
        await connection.send(HELLO_CODEC.encode(question))
        answer = TO_COMMAND_LINE_CODEC.decode(await connection.receive(TO_COMMAND_LINE_CODEC.limit_bytes))
    finally:
        connection.close()
    if isinstance(answer, IpcRefused):
        raise answer.refusal()
    if not isinstance(answer, Status | Left | ListsTaken | StandingList | Paused | BlockList):
        raise PeerViolation(f"{type(answer).__name__} instead of an answer")
    return answer
