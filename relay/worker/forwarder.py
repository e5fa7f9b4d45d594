"""Pairs two sockets of a session and forwards opaque messages between them (no framework, no clock).

A socket goes CONNECTED --valid ticket--> WAITING --other end came--> PAIRED --either end left--> CLOSED.
Whatever breaks a rule closes that socket and, when paired, its other end; other sessions do not notice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import Protocol

from protocol.errors import ErrorCode, SupportError
from protocol.ids import SessionId
from protocol.limits import LOGIN_TIMEOUT_S, SESSION_MESSAGE_LIMIT_BYTES, SESSION_PAIR_TIMEOUT_S
from protocol.messages.control import FROM_WORKER_CODEC, Paired, Refused
from relay.worker.tickets import Side, TicketGate

SESSION_IDLE_LIMIT_S = 60.0
SOCKETS_LIMIT = 20_000


class CloseCode(IntEnum):
    """WebSocket close codes that we use (RFC 6455, 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    UNSUPPORTED = 1003
    POLICY = 1008
    TOO_BIG = 1009


class ForwardingSocket(Protocol):
    """One WebSocket as a shell offers it. Nothing blocks; all of it may be called after the end."""

    def send(self, message: bytes | memoryview) -> None:
        """Queue one binary message; the shell copies what it keeps."""

    def pause_reading(self) -> None:
        """Hand over no further message until `resume_reading`; messages already parsed may still come."""

    def resume_reading(self) -> None:
        """Go on reading."""

    def close(self, code: CloseCode) -> None:
        """Flush what is queued, then close."""


class Stage(Enum):
    """Where one socket stands."""

    CONNECTED = auto()
    WAITING = auto()
    PAIRED = auto()
    CLOSED = auto()


@dataclass(slots=True, eq=False)
class End:
    """One socket of a session; made by `Forwarder.connected`, opaque to the shell."""

    socket: ForwardingSocket
    deadline_s: float
    stage: Stage = Stage.CONNECTED
    session_id: SessionId | None = None
    side: Side | None = None
    other: "End | None" = None
    last_message_at_s: float = 0.0


class Forwarder:
    """All sessions of one worker. `now_s` is of a clock that nobody sets, `unix_s` tells that of tickets."""

    def __init__(self, gate: TicketGate, unix_s: Callable[[], float]) -> None:
        self._gate = gate
        self._unix_s = unix_s
        self._ends: set[End] = set()
        self._ticketless: dict[End, None] = {}  # oldest first
        self._waiting: dict[SessionId, End] = {}

    @property
    def sockets(self) -> int:
        """Open sockets."""
        return len(self._ends)

    def connected(self, socket: ForwardingSocket, now_s: float) -> End:
        """A socket came; its first message has to be a ticket."""
        end = End(socket, deadline_s=now_s + LOGIN_TIMEOUT_S)
        self._ends.add(end)
        self._ticketless[end] = None
        if len(self._ends) > SOCKETS_LIMIT:
            # the oldest one without a ticket, at last this one: who holds sockets open locks nobody out
            self._refuse(next(iter(self._ticketless)), ErrorCode.E_BUSY)
        return end

    def received(self, end: End, message: bytes | memoryview, now_s: float) -> None:
        """One whole binary message came from this end."""
        if len(message) > SESSION_MESSAGE_LIMIT_BYTES:
            self.violated(end, CloseCode.TOO_BIG)
        elif end.stage is Stage.PAIRED and end.other is not None:
            end.last_message_at_s = now_s
            end.other.socket.send(message)
        elif end.stage is Stage.CONNECTED:
            self._redeem(end, bytes(message), now_s)
        elif end.stage is Stage.WAITING:
            self.violated(end, CloseCode.POLICY)

    def violated(self, end: End, code: CloseCode) -> None:
        """This end sent what it must not (a text frame, an oversized message): its session is over."""
        self._close(end, code)

    def writable(self, end: End, is_writable: bool) -> None:
        """This end's write buffer crossed its high-water (False) or low-water (True) mark."""
        if end.other is None or end.stage is not Stage.PAIRED:
            return
        if is_writable:
            end.other.socket.resume_reading()
        else:
            end.other.socket.pause_reading()

    def disconnected(self, end: End) -> None:
        """This end's socket is gone."""
        self._close(end, CloseCode.NORMAL)

    def tick(self, now_s: float) -> None:
        """Close what came without a ticket, found no other end, or has been silent for too long."""
        for end in list(self._ends):
            if end.stage is Stage.PAIRED:
                self._end_if_idle(end, now_s)
            elif end.stage is not Stage.CLOSED and end.deadline_s <= now_s:
                self._refuse(end, ErrorCode.E_PEER_SILENT)

    def close_all(self) -> None:
        """The worker stops: every socket is told so."""
        for end in list(self._ends):
            self._close(end, CloseCode.GOING_AWAY)

    def _redeem(self, end: End, ticket: bytes, now_s: float) -> None:
        try:
            admission = self._gate.redeem(ticket, self._unix_s())
        except SupportError as exc:
            self._refuse(end, exc.code)
            return
        del self._ticketless[end]
        end.session_id, end.side = admission.session_id, admission.side
        other = self._waiting.get(admission.session_id)
        if other is None:
            end.stage = Stage.WAITING
            end.deadline_s = now_s + SESSION_PAIR_TIMEOUT_S
            self._waiting[admission.session_id] = end
        elif other.side is end.side:
            self._refuse(end, ErrorCode.E_TICKET)
        else:
            self._pair(end, other, now_s)

    def _pair(self, end: End, other: End, now_s: float) -> None:
        session_id = end.session_id
        assert session_id is not None
        del self._waiting[session_id]
        end.other, other.other = other, end
        paired = FROM_WORKER_CODEC.encode(Paired(session_id))
        for one in (end, other):
            one.stage = Stage.PAIRED
            one.last_message_at_s = now_s
        for one in (end, other):
            one.socket.send(paired)

    def _end_if_idle(self, end: End, now_s: float) -> None:
        other = end.other
        assert other is not None
        if max(end.last_message_at_s, other.last_message_at_s) + SESSION_IDLE_LIMIT_S <= now_s:
            self._close(end, CloseCode.GOING_AWAY)

    def _refuse(self, end: End, code: ErrorCode) -> None:
        end.socket.send(FROM_WORKER_CODEC.encode(Refused(0, code)))
        self._close(end, CloseCode.POLICY)

    def _close(self, end: End, code: CloseCode) -> None:
        if end.stage is Stage.CLOSED:
            return
        if end.stage is Stage.WAITING and end.session_id is not None:
            self._waiting.pop(end.session_id, None)
        other, end.other, end.stage = end.other, None, Stage.CLOSED
        self._ends.discard(end)
        self._ticketless.pop(end, None)
        end.socket.close(code)
        if other is not None:
            self._close(other, CloseCode.NORMAL if code is CloseCode.NORMAL else CloseCode.GOING_AWAY)
