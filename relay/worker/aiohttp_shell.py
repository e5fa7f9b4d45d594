"""Session sockets on aiohttp: for one-process relays, and where picows does not exist."""

import asyncio
import contextlib
import time
from collections import deque

from aiohttp import WSMsgType, web

from protocol.limits import SESSION_MESSAGE_LIMIT_BYTES
from relay.worker.forwarder import CloseCode, Forwarder
from relay.worker.loop import ABORT_S, HIGH_WATER_BYTES, LINGER_S, LOW_WATER_BYTES


class AiohttpSocket:
    """Implements `ForwardingSocket`; `serve` is the request's whole life."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        # one byte more, since aiohttp refuses a message that is as large as its limit
        self._socket = web.WebSocketResponse(
            compress=False, max_msg_size=SESSION_MESSAGE_LIMIT_BYTES + 1, timeout=LINGER_S
        )
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._is_full = False
        self._close_code: CloseCode | None = None
        self._may_read = asyncio.Event()
        self._wake = asyncio.Event()

    def send(self, message: bytes | memoryview) -> None:
        """See `ForwardingSocket`."""
        if self._close_code is not None:
            return
        self._queue.append(bytes(message))
        self._queued_bytes += len(message)
        self._wake.set()
        if self._queued_bytes > HIGH_WATER_BYTES and not self._is_full:
            self._is_full = True
            self._forwarder.writable(self._end, False)

    def pause_reading(self) -> None:
        """See `ForwardingSocket`."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """See `ForwardingSocket`."""
        self._may_read.set()

    def close(self, code: CloseCode) -> None:
        """See `ForwardingSocket`."""
        if self._close_code is None:
            self._close_code = code
            self._may_read.set()
            self._wake.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Accept the socket and forward until it ends."""
        await self._socket.prepare(request)
        self._may_read.set()
        self._end = self._forwarder.connected(self, time.monotonic())
        writing = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            self._forwarder.disconnected(self._end)
            self.close(CloseCode.NORMAL)
            await _end_writing(request, writing)
        return self._socket

    async def _read(self) -> None:
        while self._close_code is None:
            await self._may_read.wait()
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                self._forwarder.received(self._end, message.data, time.monotonic())
            elif message.type is WSMsgType.TEXT:
                self._forwarder.violated(self._end, CloseCode.UNSUPPORTED)
            else:
                return

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                while self._queue:
                    message = self._queue.popleft()
                    await self._socket.send_bytes(message)
                    self._sent(len(message))
                if self._close_code is not None:
                    await self._socket.close(code=self._close_code)
                    return
                self._wake.clear()
                await self._wake.wait()

    def _sent(self, size_bytes: int) -> None:
        self._queued_bytes -= size_bytes
        if self._is_full and self._queued_bytes < LOW_WATER_BYTES:
            self._is_full = False
            self._forwarder.writable(self._end, True)


async def _end_writing(request: web.Request, writing: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait([writing], timeout=ABORT_S)
    if not done:
        writing.cancel()
        if request.transport is not None:
            request.transport.abort()
        await asyncio.wait([writing])
