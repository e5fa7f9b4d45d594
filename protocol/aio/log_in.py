"""Getting in at the relay, as agent, technician or admin: challenge, signature, session sockets."""

import asyncio
from pathlib import Path
from typing import Literal

from protocol.aio.wire import Wire, connect_wire, socket_url
from protocol.certificates import Role
from protocol.errors import ErrorCode, PeerViolation, Refused, SupportError, Unreachable
from protocol.identity import Identity
from protocol.limits import (
    CONTROL_MESSAGE_LIMIT_BYTES,
    LOGIN_TIMEOUT_S,
    SESSION_MESSAGE_LIMIT_BYTES,
    SESSION_PAIR_TIMEOUT_S,
)
from protocol.messages import control
from protocol.version import PROTOCOL_VERSION

CONTROL_PATH = "/v1/control"


async def connect_control(relay_url: str, *, tls_ca: Path | None = None, proxy: str = "") -> Wire:
    """Open the control link's socket.

    Raises:
        Unreachable, UsageError: see `connect_wire` and `socket_url`.
    """
    url = socket_url(relay_url, CONTROL_PATH)
    return await connect_wire(url, limit_bytes=CONTROL_MESSAGE_LIMIT_BYTES, tls_ca=tls_ca, proxy=proxy)


async def log_in(wire: Wire, identity: Identity, relay_id: str | None) -> tuple[control.Welcome, str]:
    """Answer the relay's challenge; returns its welcome and its id. A visitor's identity visits.

    `relay_id`: the one that was pinned; None accepts any (the first time an admin claims a relay).

    Raises:
        SupportError: the relay's refusal, with its code; E_RELAY_ID; E_VERSION.
        Unreachable: the link was lost, or the relay did not answer in time.
    """
    if identity.is_visitor:
        return await _visit(wire, identity.role, relay_id)
    challenge = await _challenge(wire, relay_id)
    transcript = control.login_transcript(challenge.nonce, challenge.relay_id)
    answer = control.LogIn(PROTOCOL_VERSION, list(identity.chain), identity.sign(transcript))
    return await _get_in(wire, answer), challenge.relay_id


async def _visit(wire: Wire, role: Role, relay_id: str | None) -> tuple[control.Welcome, str]:
    """Get in without an organisation, to meet by support code; errors as `log_in`, and E_CODE_VISITOR."""
    challenge = await _challenge(wire, relay_id)
    word: Literal["device", "technician"] = "device" if role is Role.DEVICE else "technician"
    return await _get_in(wire, control.Visit(PROTOCOL_VERSION, word)), challenge.relay_id


async def claim(wire: Wire, admin: Identity, secret: str) -> tuple[control.Welcome, str]:
    """Bind this relay to the admin's organisation; returns its welcome and its id. Errors as `log_in`."""
    challenge = await _challenge(wire, None)
    transcript = control.claim_transcript(challenge.nonce, challenge.relay_id, secret)
    order = control.Claim(PROTOCOL_VERSION, secret, admin.root_der, list(admin.chain), admin.sign(transcript))
    return await _get_in(wire, order), challenge.relay_id


async def succeed(
    wire: Wire, admin: Identity, steps: list[bytes], relay_id: str | None
) -> tuple[control.Welcome, str]:
    """Bring the relay the steps to the newest root and log in under it. Errors as `log_in`."""
    challenge = await _challenge(wire, relay_id)
    transcript = control.succession_transcript(challenge.nonce, challenge.relay_id)
    order = control.Succeed(PROTOCOL_VERSION, steps, list(admin.chain), admin.sign(transcript))
    return await _get_in(wire, order), challenge.relay_id


async def open_session_wire(
    relay_url: str,
    route: control.SessionRoute,
    ticket: bytes,
    *,
    tls_ca: Path | None = None,
    proxy: str = "",
) -> Wire:
    """Open the session socket with a ticket and wait for the other end. From then on all is opaque.

    Raises:
        SupportError: E_TICKET and others of the relay; E_PEER_SILENT when the other end does not come.
        Unreachable: as `connect_wire`.
    """
    url = socket_url(relay_url, route.path, port=route.port)
    wire = await connect_wire(url, limit_bytes=SESSION_MESSAGE_LIMIT_BYTES, tls_ca=tls_ca, proxy=proxy)
    try:
        await wire.send(ticket)
        async with asyncio.timeout(SESSION_PAIR_TIMEOUT_S):
            message = control.FROM_WORKER_CODEC.decode(await wire.receive())
        if isinstance(message, control.Refused):
            raise _refusal(message)
    except TimeoutError:
        await wire.close()
        raise Unreachable("the other end did not come", code=ErrorCode.E_PEER_SILENT) from None
    except BaseException:
        await wire.close()
        raise
    return wire


async def _challenge(wire: Wire, relay_id: str | None) -> control.Challenge:
    message = await _receive(wire)
    if not isinstance(message, control.Challenge):
        raise PeerViolation(f"{type(message).__name__} instead of a challenge")
    if message.version != PROTOCOL_VERSION:
        raise PeerViolation(f"relay speaks version {message.version}", code=ErrorCode.E_VERSION)
    if relay_id is not None and message.relay_id != relay_id:
        raise Refused(f"relay {message.relay_id}, expected {relay_id}", code=ErrorCode.E_RELAY_ID)
    return message


async def _get_in(wire: Wire, message: control.PreLogin) -> control.Welcome:
    await wire.send(control.PRE_LOGIN_CODEC.encode(message))
    answer = await _receive(wire)
    if isinstance(answer, control.Refused):
        raise _refusal(answer)
    if not isinstance(answer, control.Welcome):
        raise PeerViolation(f"{type(answer).__name__} instead of a welcome")
    return answer


async def _receive(wire: Wire) -> control.FromRelay:
    try:
        async with asyncio.timeout(LOGIN_TIMEOUT_S):
            return control.FROM_RELAY_CODEC.decode(await wire.receive())
    except TimeoutError:
        raise Unreachable("the relay does not answer", code=ErrorCode.E_RELAY_UNREACHABLE) from None


def _refusal(message: control.Refused) -> SupportError:
    try:
        return Refused("said by the relay", code=ErrorCode(message.code))
    except ValueError:
        return PeerViolation(f"unknown code {message.code[:40]!r}")
