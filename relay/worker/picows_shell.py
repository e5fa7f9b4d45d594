"""Session sockets on picows: parsed and written in C, forwarded without a copy in Python."""

import asyncio
import logging
import socket
import ssl
import time

import structlog
from picows import WSCloseCode as PicowsCloseCode
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from protocol.limits import LOGIN_TIMEOUT_S, SESSION_MESSAGE_LIMIT_BYTES
from relay.accepting import tls_terms
from relay.worker.forwarder import CloseCode, End, Forwarder
from relay.worker.loop import ABORT_S, HIGH_WATER_BYTES, LINGER_S, LOW_WATER_BYTES, is_session_path
from relay.worker.ticket_intake import TicketIntake

_LOG = structlog.get_logger()
# a ticket is one frame, or a few if a proxy cut it; whoever has none is not read for longer
FRAMES_WITHOUT_TICKET_LIMIT = 16
# what reads an upgrade and a ticket; it grows with the messages of who has one
READ_BUFFER_BYTES = 4 << 10


class PicowsSocket(WSListener):
    """One session socket: picows' listener and the forwarder's `ForwardingSocket` in one."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._transport: WSTransport | None = None
        self._end: End | None = None
        self._partial: bytearray | None = None
        self._is_paused = False
        self._is_closing = False
        self._intake: TicketIntake | None = None
        self._frames_left = FRAMES_WITHOUT_TICKET_LIMIT

    # what picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        """See `WSListener`."""
        self._transport = transport
        tcp = transport.underlying_transport
        tcp.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=LOW_WATER_BYTES)
        _bound_unsent(tcp)
        self._intake = TicketIntake(tcp)
        self._end = self._forwarder.connected(self, time.monotonic())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """See `WSListener`."""
        if self._is_too_much():
            transport.disconnect(False)
        elif frame.msg_type is WSMsgType.CLOSE:
            self._answer_close(transport)
        elif frame.msg_type is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif self._is_closing or self._end is None:
            return
        elif frame.msg_type is WSMsgType.BINARY and frame.fin and self._partial is None and not frame.rsv1:
            self._hand_on(self._end, frame.get_payload_as_memoryview())
        elif frame.msg_type is WSMsgType.TEXT or frame.rsv1:
            self._forwarder.violated(self._end, CloseCode.UNSUPPORTED)
        elif frame.msg_type in (WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._assemble(self._end, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """See `WSListener`."""
        self._is_closing = True
        if self._end is not None:
            self._forwarder.disconnected(self._end)

    def pause_writing(self) -> None:
        """See `WSListener`."""
        if self._end is not None:
            self._forwarder.writable(self._end, False)

    def resume_writing(self) -> None:
        """See `WSListener`."""
        if self._end is not None:
            self._forwarder.writable(self._end, True)

    # what the forwarder calls

    def send(self, message: bytes | memoryview) -> None:
        """See `ForwardingSocket`."""
        if self._transport is not None and not self._is_closing:
            self._transport.send(WSMsgType.BINARY, message)

    def pause_reading(self) -> None:
        """See `ForwardingSocket`."""
        if self._transport is not None and not self._is_paused and not self._is_closing:
            self._is_paused = True
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """See `ForwardingSocket`."""
        if self._transport is not None and self._is_paused:
            self._is_paused = False
            if not self._transport.underlying_transport.is_closing():
                self._transport.underlying_transport.resume_reading()

    def close(self, code: CloseCode) -> None:
        """See `ForwardingSocket`."""
        transport = self._transport
        if transport is None or self._is_closing:
            return
        self._is_closing = True
        # read on: an unread byte at close would make the kernel reset what is still on its way
        self.resume_reading()
        transport.send_close(PicowsCloseCode(code.value))
        loop = asyncio.get_running_loop()
        loop.call_later(LINGER_S, transport.disconnect)
        loop.call_later(ABORT_S, transport.disconnect, False)

    def _is_too_much(self) -> bool:
        """Whether a socket without a ticket has said more than a ticket; it is read while it closes."""
        if self._end is not None and self._end.side is not None:
            return False
        self._frames_left -= 1
        return self._frames_left < 0

    def _hand_on(self, end: End, message: bytes | memoryview) -> None:
        self._forwarder.received(end, message, time.monotonic())
        if self._intake is not None and end.side is not None:
            self._intake.lift()
            self._intake = None

    def _answer_close(self, transport: WSTransport) -> None:
        if not transport.is_close_frame_sent:
            transport.send_close(PicowsCloseCode.OK)
        self._is_closing = True
        transport.disconnect()
        if self._end is not None:
            self._forwarder.disconnected(self._end)

    def _assemble(self, end: End, frame: WSFrame) -> None:
        """Fragments of one message (RFC 6455, 5.4), as a proxy may make them."""
        if (frame.msg_type is WSMsgType.CONTINUATION) == (self._partial is None):
            self._forwarder.violated(end, CloseCode.POLICY)
            return
        partial = self._partial or bytearray()
        if len(partial) + frame.payload_size > SESSION_MESSAGE_LIMIT_BYTES:
            self._forwarder.violated(end, CloseCode.TOO_BIG)
            return
        partial += frame.get_payload_as_memoryview()
        self._partial = None if frame.fin else partial
        if frame.fin:
            self._hand_on(end, bytes(partial))


def _bound_unsent(transport: asyncio.Transport) -> None:
    """Keep the kernel from holding seconds of pictures for a slow reader (tcp(7), TCP_NOTSENT_LOWAT)."""
    tcp: socket.socket | None = transport.get_extra_info("socket")
    if tcp is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, HIGH_WATER_BYTES)


def _quiet_logger() -> logging.Logger:
    """picows would log each broken hand-shake with what it received; that is no place for it."""
    logger = logging.Logger("picows.session", logging.CRITICAL)
    logger.propagate = False
    return logger


async def serve_picows(
    forwarder: Forwarder, listener: socket.socket, tls: ssl.SSLContext | None
) -> asyncio.AbstractServer:
    """Accept session sockets on a listening socket."""

    def route(request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener | None:
        path = request.path.decode("ascii", "replace")
        if path == "/healthz":
            response = WSUpgradeResponse.create_ok_response(b"ok\n")
            return WSUpgradeResponseWithListener(response, None)
        return PicowsSocket(forwarder) if is_session_path(path) else None

    return await ws_create_server(
        route,
        sock=listener,
        websocket_handshake_timeout=LOGIN_TIMEOUT_S,
        max_frame_size=SESSION_MESSAGE_LIMIT_BYTES,
        read_buffer_init_size=READ_BUFFER_BYTES,
        enable_auto_pong=False,
        logger_name=_quiet_logger(),
        ssl=tls,
        **tls_terms(tls),
    )
