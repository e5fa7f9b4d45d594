"""What a connection may cost before anybody logged in: bytes, seconds, and how many at once."""

import asyncio
from collections import OrderedDict
from typing import cast

from protocol.limits import LOGIN_TIMEOUT_S, PRE_LOGIN_MESSAGE_LIMIT_BYTES

# HTTP request and the log-in message with its frame
INTAKE_LIMIT_BYTES = PRE_LOGIN_MESSAGE_LIMIT_BYTES + (16 << 10)
# of them the request's head: a few thousand headers would be a few thousand objects
HEAD_LIMIT_BYTES = 8 << 10
INTAKE_TIMEOUT_S = LOGIN_TIMEOUT_S + 5.0
INTAKE_CONNECTIONS_LIMIT = 2000
# a refused connection that closes keeps its TLS and HTTP buffers: what was said is with the kernel by then
INTAKE_LOOK_S = 0.25
# of what came at once, so much is parsed before whoever judges it has had a turn
INTAKE_SLICE_BYTES = 2 << 10


_HEAD_END = b"\r\n\r\n"  # RFC 9112, 2.1


class IntakeCount:
    """Connections that are not lifted yet, of one server, oldest first.

    When there are too many the oldest one goes: who has something to say has said it by then, and nobody
    locks the others out by holding connections open.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[Intake, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many there are."""
        return len(self._waiting)

    def add(self, newest: "Intake") -> None:
        """One more came."""
        self._waiting[newest] = None
        if len(self._waiting) > INTAKE_CONNECTIONS_LIMIT:
            oldest, _ = self._waiting.popitem(last=False)
            oldest.cut()

    def forget(self, one: "Intake") -> None:
        """It was lifted, or is gone; may be said again."""
        self._waiting.pop(one, None)


class PassesOn(asyncio.BaseProtocol):
    """What a protocol that stands before another one leaves to it."""

    _inner: asyncio.Protocol | asyncio.BufferedProtocol

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._inner.resume_writing()


class Intake(PassesOn, asyncio.Protocol):
    """Stands before an HTTP protocol and cuts the connection at its bounds, until `lift` is called.

    What comes is handed on in slices, one in each turn of the event loop: thousands of tiny frames behind one
    that gets the connection refused are never parsed.
    """

    def __init__(self, inner: asyncio.Protocol, count: IntakeCount) -> None:
        self._inner: asyncio.Protocol = inner
        self._count = count
        self._received_bytes = 0
        self._head_end: bytes | None = b""  # the last bytes that may begin its end; None once it came
        self._held = bytearray()
        self._is_lifted = True  # until it is connected
        self._is_waiting = False
        self._turn: asyncio.Handle | None = None
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._was_closing = False

    def lift(self) -> None:
        """The client proved who it is; its bounds are others from now on."""
        if self._is_lifted:
            return
        self._is_lifted = True
        self._count.forget(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self._hand_on(len(self._held))

    def hold(self) -> None:
        """What it said is judged now: nothing behind it is parsed before `lift` or `go_on`."""
        self._is_waiting = True
        if self._turn is not None:
            self._turn.cancel()

    def go_on(self) -> None:
        """It was refused: what it still says is parsed within the bounds as before."""
        self._is_waiting = False
        if self._held and not self._is_lifted:
            self._next_slice()

    def give_time(self, limit_s: float) -> None:
        """What it asked for takes longer to send: no longer among those that wait, cut after so long."""
        if self._deadline is None:
            return
        self._count.forget(self)
        self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(limit_s, self.cut)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self._is_lifted = False
        self._deadline = asyncio.get_running_loop().call_later(INTAKE_TIMEOUT_S, self.cut)
        self._inner.connection_made(transport)
        self._count.add(self)
        self._look_again()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._is_lifted:
            self._inner.data_received(data)
            return
        is_too_long = self._is_head_too_long(data)
        self._received_bytes += len(data)
        if is_too_long or self._received_bytes > INTAKE_LIMIT_BYTES:
            self.cut()
            return
        is_due = bool(self._held)
        self._held += data
        if not is_due:
            self._next_slice()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._held.clear()
        self.lift()
        self._inner.connection_lost(exc)

    def cut(self) -> None:
        """End it now, without a word."""
        self._held.clear()
        if self._transport is not None:
            self._transport.abort()

    def _is_head_too_long(self, data: bytes) -> bool:
        if self._head_end is None:
            return False
        seen = self._head_end + data
        place = seen.find(_HEAD_END)
        size_bytes = self._received_bytes - len(self._head_end) + (len(seen) if place < 0 else place)
        self._head_end = seen[-(len(_HEAD_END) - 1) :] if place < 0 else None
        return size_bytes > HEAD_LIMIT_BYTES

    def _look_again(self) -> None:
        """Cut what has been closing since the last look with nothing left to say to it.

        A TLS peer may let us wait for its own end, with all buffers.
        """
        if self._is_lifted or self._transport is None:
            return
        is_closing = self._transport.is_closing() and not self._transport.get_write_buffer_size()
        if is_closing and self._was_closing:
            self.cut()
            return
        self._was_closing = is_closing
        self._look = asyncio.get_running_loop().call_later(INTAKE_LOOK_S, self._look_again)

    def _next_slice(self) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            self._held.clear()
        if self._is_waiting:
            return
        self._hand_on(INTAKE_SLICE_BYTES)
        if self._held:
            self._turn = asyncio.get_running_loop().call_soon(self._next_slice)

    def _hand_on(self, size_bytes: int) -> None:
        if self._held:
            part = bytes(self._held[:size_bytes])
            del self._held[:size_bytes]
            self._inner.data_received(part)
