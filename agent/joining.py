"""Becoming a device of an organisation, and leaving it. The identity counts once the relay let it in."""

import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.given_token import GivenToken, require_unshown
from agent.state import DataDir, RelayAddress, ServiceLock, read_bounded, read_proxy
from protocol.aio.audit_log import AuditLog
from protocol.aio.log_in import connect_control, log_in
from protocol.audit import AuditEvent, AuditKind
from protocol.certificates import Role, verify_chain
from protocol.errors import EnvironmentFault, ErrorCode, ExitStatus, SupportError, UsageError, exit_status
from protocol.identity import Identity, load_identity, save_identity
from protocol.ids import DeviceId
from protocol.join_token import JoinToken, join, read_token
from protocol.limits import CERTIFICATE_LIMIT_BYTES
from protocol.names import shown_name
from protocol.private_files import write_private_file

PEM_LIMIT_BYTES = 16 * CERTIFICATE_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class WayToRelay:
    """Files of the administrator's, each optional: the relay's own authority, and the proxy's address."""

    relay_ca: Path | None = None
    proxy: Path | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """What the person is told after joining. `status` is "approved" or "pending"."""

    device_id: str
    device_name: str
    organisation_id: str
    organisation_name: str
    group: str
    relay_url: str
    status: str


async def join_organisation(data: DataDir, given: GivenToken, name: str, way: WayToRelay) -> Joined:
    """Make an identity under the token, log in once, and keep it. A refusal is written down.

    Without a proxy in `way` the one counts that an installer wrote into the data folder.

    Raises:
        EnvironmentFault: E_ALREADY_JOINED, E_ALREADY_RUNNING (another join is at it), E_DATA_DISK.
        DocumentRefused: the token. UsageError: E_TOKEN_SHOWN.
        SupportError: the relay refused, with its code; Unreachable. Nothing is kept then.
    """
    try:
        return await _join(data, given, name, way)
    except SupportError as exc:
        if exit_status(exc.code) in (ExitStatus.USAGE, ExitStatus.REFUSED, ExitStatus.TRUST):
            _record_refusal(data, exc.code)
        raise


async def _join(data: DataDir, given: GivenToken, name: str, way: WayToRelay) -> Joined:
    _require_no_organisation(data)
    token = read_token(given.text, now=datetime.now(UTC))
    require_unshown(token, given)
    data.prepare()
    with ServiceLock(data.lock):
        _require_no_organisation(data)  # another join may have ended before the lock was ours
        return await _join_alone(data, token, name, way)


def _require_no_organisation(data: DataDir) -> None:
    if data.identity.exists():
        raise EnvironmentFault(str(data.identity), code=ErrorCode.E_ALREADY_JOINED)


async def _join_alone(data: DataDir, token: JoinToken, name: str, way: WayToRelay) -> Joined:
    identity = join(token, shown_name(name or socket.gethostname()), now=datetime.now(UTC))
    peer = verify_chain(identity.chain, identity.root_der, roles={Role.DEVICE}, now=datetime.now(UTC))
    proxy = given_proxy(way.proxy) if way.proxy is not None else data.proxy()
    draft = data.identity.with_name("identity.joining.pem")
    try:
        save_identity(identity, draft)
        status = await _log_in_once(token, identity, way.relay_ca, proxy)
        _record(data, identity, AuditKind.DEVICE_JOINED, {"relay": token.relay_url, "group": peer.group})
        if way.relay_ca is not None:
            write_private_file(data.relay_ca, read_bounded(way.relay_ca, PEM_LIMIT_BYTES))
        if way.proxy is not None:
            write_private_file(data.relay_proxy, proxy.encode())
        data.write_relay(RelayAddress(url=token.relay_url, relay_id=token.relay_id))
        draft.replace(data.identity)
    finally:
        draft.unlink(missing_ok=True)
    return Joined(
        device_id=identity.subject_id,
        device_name=identity.name,
        organisation_id=identity.organisation_id,
        organisation_name=shown_name(identity.organisation_name),
        group=peer.group,
        relay_url=token.relay_url,
        status=status,
    )


def given_proxy(path: Path) -> str:
    """The proxy's address in this file; raises UsageError E_CONFIG, EnvironmentFault E_DATA_DISK."""
    try:
        proxy = read_proxy(path)
    except FileNotFoundError:
        raise UsageError(f"{path} is not there", code=ErrorCode.E_CONFIG) from None
    if not proxy:
        raise UsageError(f"{path} is empty", code=ErrorCode.E_CONFIG)
    return proxy


async def _log_in_once(token: JoinToken, identity: Identity, relay_ca: Path | None, proxy: str) -> str:
    wire = await connect_control(token.relay_url, tls_ca=relay_ca, proxy=proxy)
    try:
        welcome, _ = await log_in(wire, identity, token.relay_id or None)
        return welcome.status
    finally:
        await wire.close()


def leave_organisation(data: DataDir) -> DeviceId:
    """Forget the organisation; the audit log stays. No service may be running.

    Raises:
        EnvironmentFault: E_IDENTITY_MISSING, it has not joined; E_DATA_DISK.
    """
    identity = load_identity(data.identity)
    _record(data, identity, AuditKind.DEVICE_LEFT, {})
    try:
        data.forget()
    except OSError as exc:
        raise EnvironmentFault(str(exc)) from None
    return DeviceId(identity.subject_id)


def _record(data: DataDir, identity: Identity, kind: AuditKind, facts: dict[str, str | int]) -> None:
    AuditLog(data.audit).append(
        AuditEvent(kind, "person", DeviceId(identity.subject_id), "", succeeded=True, facts=facts)
    )


def _record_refusal(data: DataDir, code: ErrorCode) -> None:
    event = AuditEvent(AuditKind.DEVICE_JOINED, "person", "", "", succeeded=False, facts={"code": code.value})
    with suppress(SupportError):  # the refusal is what has to be told
        data.prepare()
        AuditLog(data.audit).append(event)
