"""How connections are accepted: TLS with small buffers, and an end that waits for nobody."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TypedDict

from protocol.limits import LOGIN_TIMEOUT_S

# a stranger fills what is read of him at once: one record, not the quarter of a megabyte that is usual; as
# much is there for what goes out
TLS_BUFFER_BYTES = (16 << 10) + 64  # RFC 8446, 5.2, and what stands around it
# a closed connection keeps its buffers until the peer closes it too, or for so long
TLS_SHUTDOWN_S = 2.0


class TlsTerms(TypedDict, total=False):
    """What `aiofastnet.create_server` takes beside the context; nothing without TLS."""

    ssl_handshake_timeout: float
    ssl_shutdown_timeout: float
    ssl_incoming_bio_size: int
    ssl_outgoing_bio_size: int


def tls_terms(tls: ssl.SSLContext | None) -> TlsTerms:
    """The bounds of connections with this context."""
    if tls is None:
        return {}
    return {
        "ssl_handshake_timeout": LOGIN_TIMEOUT_S,
        "ssl_shutdown_timeout": TLS_SHUTDOWN_S,
        "ssl_incoming_bio_size": TLS_BUFFER_BYTES,
        "ssl_outgoing_bio_size": TLS_BUFFER_BYTES,
    }


async def accept(
    factory: Callable[[], asyncio.Protocol], listener: socket.socket, tls: ssl.SSLContext | None
) -> asyncio.AbstractServer:
    """Serve a listening socket with a protocol for each connection."""
    loop = asyncio.get_running_loop()
    if tls is None:
        return await loop.create_server(factory, sock=listener)
    try:
        import aiofastnet
    except ImportError:  # larger buffers, and the same
        return await loop.create_server(
            factory,
            sock=listener,
            ssl=tls,
            ssl_handshake_timeout=LOGIN_TIMEOUT_S,
            ssl_shutdown_timeout=TLS_SHUTDOWN_S,
        )
    server: asyncio.AbstractServer = await aiofastnet.create_server(
        loop, factory, sock=listener, ssl=tls, **tls_terms(tls)
    )
    return server
