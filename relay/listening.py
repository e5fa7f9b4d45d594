"""Listening sockets and the TLS context, made before any process is forked."""

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import EnvironmentFault, ErrorCode, UsageError
from relay.config import Address, RelayConfig

_BACKLOG = 1024
# a relay that was killed a moment ago may still be letting go of its ports and its lock
_TAKEOVER_S = 2.0
_TAKEOVER_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Listeners:
    """`control` and one socket a worker; all of them listen already, so no client is turned away."""

    control: socket.socket
    sessions: tuple[socket.socket, ...]
    control_port: int
    session_ports: tuple[int, ...]


def open_listeners(config: RelayConfig) -> Listeners:
    """Take all ports.

    Raises:
        EnvironmentFault: E_PORT_IN_USE, naming the address.
        UsageError: E_CONFIG, no such address on this machine, or a port that needs more rights.
    """
    control = _listen(config.listen)
    base = config.session_listen
    addresses = [Address(base.host, base.port + no if base.port else 0) for no in range(config.workers)]
    sessions = tuple(_listen(address) for address in addresses)
    return Listeners(control, sessions, _port(control), tuple(_port(one) for one in sessions))


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _listen(address: Address) -> socket.socket:
    try:
        family, _, _, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # [::] takes IPv4 too, whatever the system's own default is
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setblocking(False)
        _patiently(lambda: listener.bind(target), errno.EADDRINUSE)
        listener.listen(_BACKLOG)
    except OSError as exc:
        detail = f"{address}: {exc.strerror}"
        if exc.errno == errno.EADDRINUSE:
            raise EnvironmentFault(detail, code=ErrorCode.E_PORT_IN_USE) from None
        raise UsageError(f"cannot listen on {detail}", code=ErrorCode.E_CONFIG) from None
    return listener


def _patiently(attempt: Callable[[], None], passing_errno: int) -> None:
    deadline_s = time.monotonic() + _TAKEOVER_S
    while True:
        try:
            attempt()
        except OSError as exc:
            if exc.errno != passing_errno or time.monotonic() > deadline_s:
                raise
            time.sleep(_TAKEOVER_STEP_S)
        else:
            return


def lock_data(data: Path) -> int:
    """Hold the data folder for this relay alone; the lock ends with the last of its processes.

    Raises:
        EnvironmentFault: E_ALREADY_RUNNING, E_DATA_DISK.
    """
    try:
        import fcntl
    except ImportError:  # no POSIX locks there; the port then is what keeps a second relay away
        return -1
    path = data / "relay.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise EnvironmentFault(f"{path}: {exc.strerror}", code=ErrorCode.E_DATA_DISK) from None
    try:
        _patiently(lambda: fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB), errno.EWOULDBLOCK)
    except OSError:
        os.close(handle)
        raise EnvironmentFault(str(data), code=ErrorCode.E_ALREADY_RUNNING) from None
    return handle


def server_tls(config: RelayConfig) -> ssl.SSLContext | None:
    """The context of control link and workers, or None without TLS of our own.

    Raises:
        UsageError: E_CONFIG when certificate or key cannot be used.
    """
    if config.tls_cert is None:
        return None
    # not `ssl.create_default_context`, which writes the keys of every link where SSLKEYLOGFILE says
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0  # nothing of ours resumes, and each ticket's session would be kept in a cache
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as exc:
        detail = f"{config.tls_cert} and {config.tls_key}: {exc.strerror or exc}"
        raise UsageError(detail, code=ErrorCode.E_CONFIG) from None
    return context
