"""The receipt of a session: one text about it that both ends sign, each for its own audit log (pure).

The agent writes the body out of its own records and signs it; the technician's end compares it with its
own records and signs it too. Each signature covers the body, the signer's role, and where the signer's
log stood: the record that ended the session, and a hash over all of the session's records. A receipt that
only one end signed says what that end knows; `is_truncated` says that the session was cut before both
could say goodbye. The formats are those of `protocol.audit_check`, which checks receipts offline.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from protocol.audit import AuditKind, AuditRecord
from protocol.audit_check import ANCHOR_LABEL, statement
from protocol.certificates import Role, spki, verify_chain_by_any
from protocol.errors import DocumentRefused, ErrorCode
from protocol.identity import Identity
from protocol.limits import CERTIFICATE_LIMIT_BYTES, CHAIN_LIMIT_CERTIFICATES, RECEIPT_LIMIT_BYTES
from protocol.messages.presence import ShortText

T = TypeVar("T")
RECEIPT_VERSION: Final = 1
COMMANDS_LIMIT: Final = 200
TECHNICIAN_LEFT: Final = "technician_left"
CLOCKS_APART_LIMIT: Final = timedelta(
    days=1
)  # signed times may be wrong by what a wrong time zone makes of them

_Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Members = Annotated[list[ShortText], Meta(max_length=COMMANDS_LIMIT)]


class CommandLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One requested command. `outcome` is "exit 0", an error code, or "unknown" when no end is on record."""

    request_id: ShortText
    command_id: ShortText
    outcome: ShortText = "unknown"


class FileLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One transferred file."""

    name: ShortText
    sha256: _Digest
    size_bytes: int


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happened, in the words of both logs. Ids, names, codes and counts; never content."""

    version: int
    organisation_id: ShortText
    session_id: ShortText
    device_id: ShortText
    device_name: ShortText
    technician_id: ShortText
    technician_name: ShortText
    started_at_utc: datetime
    ended_at_utc: datetime
    cause: ShortText
    is_truncated: bool
    grants: _Members
    commands: Annotated[list[CommandLine], Meta(max_length=COMMANDS_LIMIT)]
    commands_count: int
    files: Annotated[list[FileLine], Meta(max_length=COMMANDS_LIMIT)]


class LogMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a log stood: record no. `seq` ended the session; `session_sha256` is over all of its records."""

    seq: Annotated[int, Meta(ge=1)]
    sha256: _Digest
    records: Annotated[int, Meta(ge=1)]
    session_sha256: _Digest


class Half(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One end's ECDSA P-256 SHA-256 signature over `audit_check.statement`. Chain: leaf first, no root."""

    role: Literal["device", "technician"]
    log: LogMark
    signature: Annotated[bytes, Meta(max_length=256)]
    chain: Annotated[
        list[Annotated[bytes, Meta(max_length=CERTIFICATE_LIMIT_BYTES)]],
        Meta(min_length=1, max_length=CHAIN_LIMIT_CERTIFICATES),
    ]


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body's exact bytes with one or two signatures, of different roles."""

    body: bytes
    signatures: Annotated[list[Half], Meta(min_length=1, max_length=2)]

    @property
    def line(self) -> bytes:
        """The receipt as it is kept and sent."""
        return msgspec.json.encode(self)

    @property
    def sha256(self) -> str:
        """The hash of the body, which names this receipt."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def roles(self) -> list[str]:
        """Who signed it."""
        return sorted(half.role for half in self.signatures)

    @property
    def is_complete(self) -> bool:
        """Whether both ends signed it."""
        return len(self.signatures) == 2

    def facts(self) -> Body:
        """The body, read; raises DocumentRefused E_RECEIPT."""
        return _decoded(self.body, Body)

    def half(self, role: str) -> Half | None:
        """The signature of this role."""
        return next((half for half in self.signatures if half.role == role), None)


@dataclass
class SessionTrail:
    """What one log holds of one session, from session.ready to session.ended; fed in their order."""

    grants: list[str] = field(default_factory=list)
    commands: dict[str, CommandLine] = field(default_factory=dict)
    started_at_utc: datetime | None = None
    ended: AuditRecord | None = None
    _hashes: list[str] = field(default_factory=list)

    def add(self, record: AuditRecord) -> None:
        """The next record of this session; only those from session.ready to session.ended count."""
        if record.kind == AuditKind.SESSION_READY and self.started_at_utc is None:
            self.started_at_utc = record.at_utc
        if self.started_at_utc is None or self.ended is not None:
            return
        self._hashes.append(record.sha256 or "")
        match record.kind:
            case AuditKind.GRANT_GIVEN:
                self.grants.append(str(record.facts.get("grantable", "")))
            case AuditKind.COMMAND_REQUESTED | AuditKind.COMMAND_REFUSED | AuditKind.COMMAND_ENDED:
                self._command(record)
            case AuditKind.SESSION_ENDED:
                self.ended = record

    def _command(self, record: AuditRecord) -> None:
        request_id = str(record.facts.get("request_id", ""))
        known = self.commands.get(request_id)
        if known is None or known.outcome == "unknown":
            command_id = str(record.facts.get("command_id", ""))
            self.commands[request_id] = CommandLine(request_id, command_id, _outcome(record))

    @property
    def mark(self) -> LogMark | None:
        """Where the log stood when the session had ended; None before that, or without records on disk."""
        if self.ended is None or self.ended.sha256 is None:
            return None
        whole = hashlib.sha256("".join(self._hashes).encode()).hexdigest()
        return LogMark(self.ended.seq, self.ended.sha256, len(self._hashes), whole)


@dataclass(frozen=True, slots=True)
class Parties:
    """Whose session it is."""

    organisation_id: str
    session_id: str
    device_id: str
    device_name: str
    technician_id: str
    technician_name: str


def make_body(parties: Parties, trail: SessionTrail, *, is_truncated: bool) -> bytes:
    """The body over what this trail holds. The trail has to have ended."""
    assert trail.ended is not None
    assert trail.started_at_utc is not None
    commands = sorted(trail.commands.values(), key=lambda line: line.request_id)
    body = Body(
        version=RECEIPT_VERSION,
        organisation_id=parties.organisation_id,
        session_id=parties.session_id,
        device_id=parties.device_id,
        device_name=parties.device_name,
        technician_id=parties.technician_id,
        technician_name=parties.technician_name,
        started_at_utc=trail.started_at_utc,
        ended_at_utc=trail.ended.at_utc,
        cause=str(trail.ended.facts.get("cause", "")),
        is_truncated=is_truncated,
        grants=sorted(trail.grants)[:COMMANDS_LIMIT],
        commands=commands[:COMMANDS_LIMIT],
        commands_count=len(commands),
        files=[],
    )
    return msgspec.json.encode(body, order="sorted")


def sign(body: bytes, mark: LogMark, signer: Identity) -> Half:
    """This end's signature over the body and its own log."""
    role: Literal["device", "technician"] = "device" if signer.role is Role.DEVICE else "technician"
    signature = signer.sign(statement(role, msgspec.to_builtins(mark), body))
    return Half(role, mark, signature, list(signer.chain))


def read_receipt(line: bytes) -> Receipt:
    """A receipt from a peer or from the disk; its signatures are not checked here.

    Raises:
        DocumentRefused: E_RECEIPT, too large or malformed.
    """
    if len(line) > RECEIPT_LIMIT_BYTES:
        raise refused(f"{len(line)} bytes are too many for a receipt")
    receipt = _decoded(line, Receipt)
    if len(set(receipt.roles)) != len(receipt.signatures):
        raise refused("one role signed twice")
    return receipt


def check_half(receipt: Receipt, role: Role, roots: Sequence[bytes]) -> Half:
    """The signature of this role; its chain was valid under one of `roots` when the session ended.

    Raises:
        DocumentRefused: E_RECEIPT, there is none or it does not hold. CertificateRefused: the chain.
    """
    half, facts = receipt.half(role.value), receipt.facts()
    if half is None:
        raise refused(f"not signed by the {role}")
    peer = verify_chain_by_any(half.chain, roots, roles={role}, now=facts.ended_at_utc.astimezone(UTC))
    own_id = facts.device_id if role is Role.DEVICE else facts.technician_id
    if str(peer.subject_id) != own_id or peer.organisation_id != facts.organisation_id:
        raise refused(f"signed by {peer.subject_id} of {peer.organisation_id[:8]}")
    if not peer.verify_signature(
        half.signature, statement(half.role, msgspec.to_builtins(half.log), receipt.body)
    ):
        raise refused(f"the {role}'s signature does not hold")
    return half


def differences(body: Body, trail: SessionTrail, *, did_end_it: bool) -> str:
    """What in the body of the other end cannot be true by our own records; "" when nothing.

    The other end may know more of what was under way when the session ended: an answer, an exit status. What
    we know has to be there, and a command that we never asked for must not be.
    """
    if Counter(trail.grants) - Counter(body.grants):
        return "a grant is missing"
    named = {line.request_id: line for line in body.commands}
    if (
        any(_contradicts(line, named) for line in trail.commands.values())
        and body.commands_count <= COMMANDS_LIMIT
    ):
        return "a command is missing or ended otherwise"
    if not named.keys() <= trail.commands.keys() or body.commands_count > len(trail.commands):
        return "a command that was not asked for"
    if trail.ended is None or trail.started_at_utc is None:
        return "the session has not ended here"
    own_cause = str(trail.ended.facts.get("cause", ""))
    if not (did_end_it or body.is_truncated or own_cause == body.cause):
        return f"ended by {own_cause} here"
    times = ((body.started_at_utc, trail.started_at_utc), (body.ended_at_utc, trail.ended.at_utc))
    if any(abs(theirs - ours) > CLOCKS_APART_LIMIT for theirs, ours in times):
        return "the times are more than a day off"
    return ""


def _contradicts(ours: CommandLine, named: dict[str, CommandLine]) -> bool:
    theirs = named.get(ours.request_id)
    if theirs is None:
        return ours.outcome != "unknown"
    return theirs.command_id != ours.command_id or ours.outcome not in ("unknown", theirs.outcome)


def make_anchor(head: str, device: Identity) -> bytes:
    """The device's signed log head for the relay: its public key, the hash, the signature; nothing else."""
    digest = bytes.fromhex(head)
    return spki(device.key.public_key()) + digest + device.sign(ANCHOR_LABEL + digest)


def trail_of(records: Sequence[AuditRecord], session_id: str) -> SessionTrail:
    """The trail of one session out of a log's records."""
    trail = SessionTrail()
    for record in records:
        if record.session_id == session_id:
            trail.add(record)
    return trail


def refused(why: str) -> DocumentRefused:
    """E_RECEIPT with the reason."""
    return DocumentRefused(why, code=ErrorCode.E_RECEIPT)


def _outcome(record: AuditRecord) -> str:
    code = str(record.facts.get("code", ""))
    match record.kind:
        case AuditKind.COMMAND_REFUSED:
            return code or "refused"
        case AuditKind.COMMAND_ENDED if code != ErrorCode.E_COMMAND_OUTCOME:
            return code or f"exit {record.facts.get('exit_status')}"
        case _:
            return "unknown"


def _decoded(encoded: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(encoded, type=kind, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise refused(f"not a receipt: {exc}"[:200]) from None
