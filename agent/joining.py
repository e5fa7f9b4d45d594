"""Becoming a device of an organisation, and leaving it. The identity counts once the relay let it in."""

import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.given_token import GivenToken, require_unshown
from agent.state import DataDir, RelayAddress, ServiceLock, read_bounded
from protocol.aio.audit_log import AuditLog
from protocol.aio.log_in import connect_control, log_in
from protocol.audit import AuditEvent, AuditKind
from protocol.certificates import Role, verify_chain
from protocol.errors import EnvironmentFault, ErrorCode, ExitStatus, SupportError, exit_status
from protocol.identity import Identity, load_identity, save_identity
from protocol.ids import DeviceId
from protocol.join_token import JoinToken, join, read_token
from protocol.limits import CERTIFICATE_LIMIT_BYTES
from protocol.names import shown_name
from protocol.private_files import write_private_file

PEM_LIMIT_BYTES = 16 * CERTIFICATE_LIMIT_BYTES


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


async def join_organisation(data: DataDir, given: GivenToken, name: str, relay_ca: Path | None) -> Joined:
    """Make an identity under the token, log in once, and keep it. A refusal is written down.

    Raises:
        EnvironmentFault: E_ALREADY_JOINED, E_ALREADY_RUNNING (another join is at it), E_DATA_DISK.
        DocumentRefused: the token. UsageError: E_TOKEN_SHOWN.
        SupportError: the relay refused, with its code; Unreachable. Nothing is kept then.
    """
    try:
        return await _join(data, given, name, relay_ca)
    except SupportError as exc:
        if exit_status(exc.code) in (ExitStatus.USAGE, ExitStatus.REFUSED, ExitStatus.TRUST):
            _record_refusal(data, exc.code)
        raise


async def _join(data: DataDir, given: GivenToken, name: str, relay_ca: Path | None) -> Joined:
    _require_no_organisation(data)
    token = read_token(given.text, now=datetime.now(UTC))
    require_unshown(token, given)
    data.prepare()
    with ServiceLock(data.lock):
        _require_no_organisation(data)  # another join may have ended before the lock was ours
        return await _join_alone(data, token, name, relay_ca)


def _require_no_organisation(data: DataDir) -> None:
    if data.identity.exists():
        raise EnvironmentFault(str(data.identity), code=ErrorCode.E_ALREADY_JOINED)


async def _join_alone(data: DataDir, token: JoinToken, name: str, relay_ca: Path | None) -> Joined:
    identity = join(token, shown_name(name or socket.gethostname()), now=datetime.now(UTC))
    peer = verify_chain(identity.chain, identity.root_der, roles={Role.DEVICE}, now=datetime.now(UTC))
    draft = data.identity.with_name("identity.joining.pem")
    try:
        save_identity(identity, draft)
        status = await _log_in_once(token.relay_url, token.relay_id, identity, relay_ca)
        _record(data, identity, AuditKind.DEVICE_JOINED, {"relay": token.relay_url, "group": peer.group})
        if relay_ca is not None:
            write_private_file(data.relay_ca, read_bounded(relay_ca, PEM_LIMIT_BYTES))
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


async def _log_in_once(relay_url: str, relay_id: str, identity: Identity, relay_ca: Path | None) -> str:
    wire = await connect_control(relay_url, tls_ca=relay_ca)
    try:
        welcome, _ = await log_in(wire, identity, relay_id or None)
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
