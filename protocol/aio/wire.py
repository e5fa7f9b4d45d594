"""A wire carries whole binary messages between two ends; here, a WebSocket client to the relay."""

import asyncio
import ipaddress
import re
import socket
import ssl
import sys
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidURI, ProxyError
from websockets.proxy import Proxy, get_proxy, parse_proxy
from websockets.uri import parse_uri

from protocol.aio.own_addresses import OwnAddress
from protocol.errors import ErrorCode, PeerViolation, Unreachable, UsageError

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
UNSENT_LIMIT_BYTES = 16 << 10
"""One TLS record: what the kernel and websockets each keep of us that has not left the machine."""
SECOND_ADDRESS_AFTER_S = 0.25
"""When the next of a name's addresses is tried beside the one before (RFC 8305, 8)."""
NAME_TIMEOUT_S = 3.0
ADDRESSES_LIMIT = 8
TOO_LARGE_CLOSE_CODE = 1009  # RFC 6455, 7.4.1
# where the names of relays led when they answered last, for a time without a name server
_ADDRESSES: dict[str, str] = {}
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")


class Wire(Protocol):
    """Messages in order, whole, with back-pressure. One task sends and one receives at a time."""

    async def send(self, message: bytes) -> None:
        """Hand one message over; waits while the wire is full.

        Raises:
            Unreachable: E_LINK_LOST.
        """
        ...

    async def receive(self) -> bytes:
        """The next message.

        Raises:
            Unreachable: E_LINK_LOST.
            PeerViolation: text instead of bytes, or a message over the wire's limit.
        """
        ...

    async def close(self) -> None:
        """Close both directions. May be called twice."""
        ...


class WebSocketWire:
    """A client's WebSocket (RFC 6455) without compression."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._own_address: OwnAddress | None = None
        here = str(connection.local_address[0])
        if not is_loopback(here):  # that one never goes
            self._own_address = OwnAddress(here, connection.transport.abort)

    async def send(self, message: bytes) -> None:
        """See `Wire.send`."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as exc:
            raise Unreachable(str(exc), code=ErrorCode.E_LINK_LOST) from None

    async def receive(self) -> bytes:
        """See `Wire.receive`."""
        try:
            message = await self._connection.recv(decode=False)
        except ConnectionClosed as exc:
            if exc.sent is not None and exc.sent.code == TOO_LARGE_CLOSE_CODE:
                raise PeerViolation("message over the limit", code=ErrorCode.E_MESSAGE_SIZE) from None
            raise Unreachable(str(exc), code=ErrorCode.E_LINK_LOST) from None
        return bytes(message)

    async def close(self) -> None:
        """See `Wire.close`."""
        if self._own_address is not None:
            self._own_address.close()
        await self._connection.close()


def is_loopback(host: str) -> bool:
    """Whether this host name or address can only mean this machine."""
    address = _address(host)
    return address.is_loopback if address is not None else host == "localhost"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None: it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def lacks_brackets(address: str) -> bool:
    """Whether an IPv6 address, with a port or without, stands here outside of brackets (RFC 3986, 3.2.2)."""
    place = address.rpartition("//")[2].partition("/")[0].rpartition("@")[2]
    return "[" not in place and place.count(":") > 1


def socket_url(relay_url: str, path: str, *, port: int = 0) -> str:
    """The WebSocket address of a path at this relay; `port` 0 keeps the relay's own.

    Raises:
        UsageError: not http(s) or ws(s), no host, or unencrypted to another machine.
        PeerViolation: the path, which a relay may have named, could change where the address leads.
    """
    if not _PATH.fullmatch(path):
        raise PeerViolation(f"{path!r} is no path of a relay")
    schemes = {"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"}
    try:
        parts = urlsplit(relay_url)
        chosen = port or parts.port
    except ValueError:  # brackets that do not close, a port that is none
        parts, chosen = urlsplit(""), None
    if lacks_brackets(relay_url):
        detail = f"{relay_url!r}: an IPv6 address needs brackets, as in https://[2001:db8::1]:8470"
        raise UsageError(detail, code=ErrorCode.E_CONFIG)
    if parts.scheme not in schemes or not parts.hostname:
        raise UsageError(f"{relay_url!r} is no address of a relay", code=ErrorCode.E_CONFIG)
    scheme = schemes[parts.scheme]
    if scheme == "ws" and not is_loopback(parts.hostname):
        raise UsageError(f"{relay_url!r} is not encrypted; use https://", code=ErrorCode.E_CONFIG)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{scheme}://{host}{f':{chosen}' if chosen else ''}{path}"


async def connect_wire(
    url: str,
    *,
    limit_bytes: int,
    tls_ca: Path | None = None,
    proxy: str = "",
    timeout_s: float = CONNECT_TIMEOUT_S,
) -> Wire:
    """Open a WebSocket to a relay. `tls_ca`: the only accepted roots, instead of the system's.

    `proxy`: the address of the proxy on the way (RFC 9110, 9.3.6), "" for the environment's.

    Raises:
        Unreachable: E_RELAY_UNREACHABLE, E_RELAY_NAME, E_RELAY_PROXY, or E_RELAY_TLS when its certificate is
            not acceptable.
        UsageError: E_CONFIG, `tls_ca` cannot be read.
    """
    host = urlsplit(url).hostname or ""
    context = relay_tls_context(tls_ca) if url.startswith("wss://") else None
    try:
        way = None if is_loopback(host) else _proxy(url, proxy)
        place = {} if way else await _place(host)
        connection = await _Straight(
            url,
            ssl=context,
            compression=None,
            max_size=limit_bytes,
            open_timeout=timeout_s,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,
            write_limit=UNSENT_LIMIT_BYTES,
            proxy=way,
            # an address has no second one, and asyncio's race leaves a socket open when it is cancelled late
            happy_eyeballs_delay=SECOND_ADDRESS_AFTER_S if _address(host) is None else None,
            **place,
        )
    except ssl.SSLError as exc:
        raise Unreachable(f"{url}: {exc}", code=ErrorCode.E_RELAY_TLS) from None
    except socket.gaierror as exc:
        raise Unreachable(f"{url}: {exc.strerror}", code=ErrorCode.E_RELAY_NAME) from None
    except (ProxyError, ImportError) as exc:  # python-socks is missing
        raise Unreachable(f"{url}: {exc}", code=ErrorCode.E_RELAY_PROXY) from None
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as exc:
        raise Unreachable(f"{url}: {exc}", code=ErrorCode.E_RELAY_UNREACHABLE) from None
    if way is None:
        _remember_address(host, connection)
    _bound_unsent(connection)
    return WebSocketWire(connection)


def _proxy(url: str, given: str) -> str | None:
    try:
        proxy = given or get_proxy(parse_uri(url))
    except ValueError:  # what it says may hold the proxy's password
        raise _bad_proxy(url) from None
    if proxy is not None:
        check_proxy(proxy, url)
    return proxy


def check_proxy(proxy: str, url: str, *, schemes: frozenset[str] | None = None) -> Proxy:
    """The parts of a proxy's address on the way to `url`; `schemes`: the only ones, if not all.

    Raises:
        Unreachable: E_RELAY_PROXY; the text holds nothing of the proxy's address.
    """
    try:
        parsed = parse_proxy(proxy)
    except (InvalidProxy, ValueError):  # what they say holds the proxy's password
        raise _bad_proxy(url) from None
    if schemes is not None and parsed.scheme not in schemes:
        raise _bad_proxy(url)
    return parsed


def _bad_proxy(url: str) -> Unreachable:
    detail = (
        f"{url}: the proxy's address is malformed (IPv6 needs brackets), or of a kind that is not supported"
    )
    return Unreachable(detail, code=ErrorCode.E_RELAY_PROXY)


async def _place(host: str) -> dict[str, Any]:
    """Where the name led before, if it leads nowhere now: the certificate is asked for the name as ever."""
    known = _ADDRESSES.get(host)
    if known is None:
        return {}
    try:
        async with asyncio.timeout(NAME_TIMEOUT_S):
            await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, TimeoutError):
        return {"host": known}
    return {}


def _remember_address(host: str, connection: ClientConnection) -> None:
    if host not in _ADDRESSES and len(_ADDRESSES) >= ADDRESSES_LIMIT:
        _ADDRESSES.clear()
    _ADDRESSES[host] = str(connection.remote_address[0])


class _Straight(connect):
    """A redirect is a refusal: a relay does not choose where its clients connect to."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """See `connect`."""
        return exc


def _bound_unsent(connection: ClientConnection) -> None:
    """Keep old pictures and files from queuing in the kernel ahead of a key (tcp(7), TCP_NOTSENT_LOWAT)."""
    tcp: socket.socket | None = connection.transport.get_extra_info("socket")
    if tcp is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LIMIT_BYTES)


def relay_tls_context(tls_ca: Path | str | None) -> ssl.SSLContext:
    """TLS 1.3 with full verification. The environment has no say (SSL_CERT_FILE, SSLKEYLOGFILE, …), which is
    why this is not `ssl.create_default_context`. `tls_ca`: the only authority, a file or its text (PEM)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if tls_ca is None:
        _load_system_authorities(context)
        return context
    try:
        if isinstance(tls_ca, str):
            context.load_verify_locations(cadata=tls_ca)
        else:
            context.load_verify_locations(str(tls_ca))
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError: no certificate in it; or empty
        name = "what is kept" if isinstance(tls_ca, str) else tls_ca
        why = getattr(exc, "strerror", None) or exc
        detail = f"{name} cannot be used as an authority's certificate: {why}"
        raise UsageError(detail, code=ErrorCode.E_CONFIG) from None
    return context


def _load_system_authorities(context: ssl.SSLContext) -> None:
    if sys.platform == "win32":
        for certificate, encoding, trust in ssl.enum_certificates("ROOT"):
            if encoding == "x509_asn" and (trust is True or ssl.Purpose.SERVER_AUTH.oid in trust):
                context.load_verify_locations(cadata=certificate)
        return
    paths = ssl.get_default_verify_paths()
    file, folder = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    if file.is_file():
        context.load_verify_locations(cafile=str(file))
    if folder.is_dir():
        context.load_verify_locations(capath=str(folder))
