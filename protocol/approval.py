"""The two-person rule: another technician or an admin signs one request, for one device and technician.

The first person hands the second an `ApprovalRequest`, a text that proves nothing. What comes back is an
`Approval` in a DSSE envelope (`protocol.envelope`), good for some minutes and for that request id alone.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Self

import msgspec
from msgspec import Meta

from protocol.certificates import Role, VerifiedPeer
from protocol.envelope import open_envelope, sign_envelope
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.limits import (
    APPROVAL_LIFETIME_S,
    APPROVAL_LIMIT_BYTES,
    CLOCK_SKEW_S,
    COMMAND_PARAMETERS_LIMIT,
    REASON_LIMIT_CHARS,
)
from protocol.messages.commands import RunCommand, Value
from protocol.messages.presence import ShortText
from protocol.trust import Trust

APPROVAL_TYPE: Final = "application/vnd.alongside.approval+json"


def request_sha256(request: RunCommand) -> str:
    """What grants and approvals are bound to: hex SHA-256 over request id, command, entry and parameters."""
    parameters = dict(sorted(request.parameters.items()))
    bound = [request.request_id, request.command_id, request.entry_sha256, parameters]
    return hashlib.sha256(b"alongside/run/1\0" + msgspec.json.encode(bound)).hexdigest()


class _Bound(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    request_id: ShortText
    command_id: ShortText
    entry_sha256: Annotated[str, Meta(min_length=64, max_length=64)]
    parameters: Annotated[dict[str, Value], Meta(max_length=COMMAND_PARAMETERS_LIMIT)]
    device_id: ShortText
    technician_id: ShortText

    @property
    def request(self) -> RunCommand:
        """The request that this is about, without an approval."""
        return RunCommand(self.request_id, self.command_id, self.entry_sha256, self.parameters)


class ApprovalRequest(_Bound, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the second person is asked; unsigned, so everything but the ids is for reading only."""

    format: Literal["alongside-approval-request/1"] = "alongside-approval-request/1"
    device_name: ShortText
    technician_name: ShortText
    reason: Annotated[str, Meta(max_length=REASON_LIMIT_CHARS)]

    @classmethod
    def read(cls, text: bytes) -> Self:
        """The request in this text.

        Raises:
            DocumentRefused: E_APPROVAL_REQUEST, it is none.
        """
        if len(text) > APPROVAL_LIMIT_BYTES:
            raise DocumentRefused("it is too large", code=ErrorCode.E_APPROVAL_REQUEST)
        try:
            return msgspec.json.decode(text, type=cls, strict=True)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            detail = f"not a request for an approval: {exc}"[:200]
            raise DocumentRefused(detail, code=ErrorCode.E_APPROVAL_REQUEST) from None


class Approval(_Bound, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the second person signs. `technician_id` is the first one, who may run it."""

    issued_at_utc: Annotated[datetime, Meta(tz=True)]
    expires_at_utc: Annotated[datetime, Meta(tz=True)]


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """What an approval has to be for: where and for whom the request would run."""

    device_id: str
    device_group: str
    technician_id: str
    technician_lifetime_limit: timedelta


def sign_approval(asked: ApprovalRequest, approver: Identity, *, now: datetime) -> bytes:
    """The second person's approval, good for APPROVAL_LIFETIME_S from now."""
    approval = Approval(
        request_id=asked.request_id,
        command_id=asked.command_id,
        entry_sha256=asked.entry_sha256,
        parameters=asked.parameters,
        device_id=asked.device_id,
        technician_id=asked.technician_id,
        issued_at_utc=now,
        expires_at_utc=now + timedelta(seconds=APPROVAL_LIFETIME_S),
    )
    return sign_envelope(APPROVAL_TYPE, msgspec.json.encode(approval), approver)


def open_approval(signed: bytes, trust: Trust | bytes, *, now: datetime) -> tuple[Approval, VerifiedPeer]:
    """What was approved and by whom; for which request and device it is used is not looked at.

    Raises:
        DocumentRefused: E_POLICY_SIGNATURE, E_APPROVAL_REQUEST (malformed), E_APPROVAL_EXPIRED.
        CertificateRefused: the signer is no technician or admin of the organisation.
    """
    if len(signed) > APPROVAL_LIMIT_BYTES:
        raise DocumentRefused("it is too large", code=ErrorCode.E_APPROVAL_REQUEST)
    payload, signer = open_envelope(
        signed, APPROVAL_TYPE, trust, roles={Role.TECHNICIAN, Role.ADMIN}, now=now
    )
    try:
        approval = msgspec.json.decode(payload, type=Approval, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise DocumentRefused(str(exc)[:200], code=ErrorCode.E_APPROVAL_REQUEST) from None
    life = approval.expires_at_utc - approval.issued_at_utc
    is_begun = approval.issued_at_utc - timedelta(seconds=CLOCK_SKEW_S) <= now
    if life > timedelta(seconds=APPROVAL_LIFETIME_S) or not is_begun or now >= approval.expires_at_utc:
        raise DocumentRefused(
            f"given {approval.issued_at_utc:%H:%M} UTC, good until {approval.expires_at_utc:%H:%M}",
            code=ErrorCode.E_APPROVAL_EXPIRED,
        )
    return approval, signer


def check_approval(
    request: RunCommand, trust: Trust | bytes, terms: ApprovalTerms, *, now: datetime
) -> VerifiedPeer:
    """The second person, when the request carries their approval of exactly this.

    Raises:
        DocumentRefused: as `open_approval`; E_APPROVAL_MISSING, E_APPROVAL_REQUEST, E_APPROVAL_PERSON.
        CertificateRefused: as `open_approval`; E_CERT_LIFETIME.
    """
    if not request.approval:
        raise DocumentRefused(request.command_id, code=ErrorCode.E_APPROVAL_MISSING)
    approval, signer = open_approval(request.approval, trust, now=now)
    meant = (request_sha256(approval.request), approval.device_id, approval.technician_id)
    if meant != (request_sha256(request), terms.device_id, terms.technician_id):
        raise DocumentRefused(f"it is for {approval.request_id}", code=ErrorCode.E_APPROVAL_REQUEST)
    if signer.subject_id == terms.technician_id:
        raise DocumentRefused(f"{signer.subject_id} asked for it too", code=ErrorCode.E_APPROVAL_PERSON)
    if signer.role is Role.TECHNICIAN:
        _check_technician(signer, terms)
    return signer


def _check_technician(signer: VerifiedPeer, terms: ApprovalTerms) -> None:
    if not (signer.scope.covers_group(terms.device_group) and signer.scope.covers(Grantable.COMMANDS_RUN)):
        raise DocumentRefused(
            f"{signer.subject_id} may not run commands there", code=ErrorCode.E_APPROVAL_PERSON
        )
    life = signer.not_after - signer.not_before
    if life > terms.technician_lifetime_limit + timedelta(seconds=CLOCK_SKEW_S):
        raise CertificateRefused(f"{signer.subject_id}: life of {life}", code=ErrorCode.E_CERT_LIFETIME)
