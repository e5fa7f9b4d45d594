"""The policy bundle: consent by device group, grantables by role, the catalogue; signed, versioned, expiring.

PROTOCOL.md, "Policy", describes the JSON document. It travels in a DSSE envelope (`protocol.envelope`).
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib import resources
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from protocol.catalogue import Catalogue
from protocol.certificates import Role
from protocol.envelope import open_envelope
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.grantables import Grantable
from protocol.ids import OrganisationId
from protocol.limits import (
    CLOCK_SKEW_S,
    POLICY_LIMIT_BYTES,
    TECHNICIAN_LIFETIME_DEFAULT_DAYS,
    TECHNICIAN_LIFETIME_LIMIT_DAYS,
)
from protocol.private_windows import PrivateWindow, PrivateWindowList
from protocol.trust import Trust

POLICY_TYPE: Final = "application/vnd.alongside.policy+json"
DEFAULT_LIFETIME: Final = timedelta(days=365)

Group = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}\Z")]
Moment = Annotated[datetime, Meta(tz=True)]
AskingRole: TypeAlias = Literal["technician", "admin"]


class Consent(StrEnum):
    """How a session on a device is allowed. Neither means unseen: the indicator is always there."""

    ASK = "ask"
    UNATTENDED = "unattended"


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: Literal["alongside-policy/1"]
    organisation_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    version: Annotated[int, Meta(ge=1, le=2**53)]
    issued_at_utc: Moment
    expires_at_utc: Moment
    groups: Annotated[dict[Group, Consent], Meta(max_length=256)]
    roles: Annotated[dict[AskingRole, Annotated[list[Grantable], Meta(max_length=32)]], Meta(max_length=2)]
    technician_lifetime_days_limit: Annotated[int, Meta(ge=1, le=TECHNICIAN_LIFETIME_LIMIT_DAYS)]
    catalogue: Catalogue
    private_windows: PrivateWindowList = msgspec.field(default_factory=list)
    support_codes: bool = True

    def __post_init__(self) -> None:
        if self.expires_at_utc <= self.issued_at_utc:
            raise ValueError("expires_at_utc is not after issued_at_utc")


_DECODER = msgspec.json.Decoder(_Document, strict=True)


class PolicyMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest policy that was ever accepted somewhere; `sha256` is of its document, "" for none yet.

    Versions are counted anew with each `generation` of the organisation's root.
    """

    version: int = 0
    sha256: str = ""
    generation: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """What only rises."""
        return self.generation, self.version


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in force. `sha256` (hex) is of the exact document: it tells two of one version apart."""

    organisation_id: OrganisationId
    version: int
    issued_at_utc: datetime
    expires_at_utc: datetime
    groups: dict[str, Consent]
    roles: dict[str, frozenset[Grantable]]
    technician_lifetime_days_limit: int
    catalogue: Catalogue
    sha256: str
    private_windows: tuple[PrivateWindow, ...] = ()
    support_codes: bool = True
    generation: int = 0

    @property
    def mark(self) -> PolicyMark:
        """What is remembered of this policy for ever."""
        return PolicyMark(self.version, self.sha256, self.generation)

    def consent_for(self, group: str) -> Consent:
        """How sessions on devices of this group are allowed; ask, where nothing is said."""
        return self.groups.get(group, Consent.ASK)

    def grantables_for(self, role: str) -> frozenset[Grantable]:
        """What this role may ask for; nothing, where nothing is said."""
        return self.roles.get(str(role), frozenset())


def parse_policy(payload: bytes) -> Policy:
    """Read a policy document; whether it is signed or over is not looked at.

    Raises:
        DocumentRefused: E_POLICY_FORMAT; the detail has the path of what is wrong.
    """
    if len(payload) > POLICY_LIMIT_BYTES:
        raise _malformed(f"{len(payload)} bytes, limit is {POLICY_LIMIT_BYTES}")
    try:
        document = _DECODER.decode(payload)
        json.loads(payload, object_pairs_hook=_without_doubles)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise _malformed(str(exc)) from None
    return Policy(
        organisation_id=OrganisationId(document.organisation_id),
        version=document.version,
        issued_at_utc=document.issued_at_utc.astimezone(UTC),
        expires_at_utc=document.expires_at_utc.astimezone(UTC),
        groups=dict(document.groups),
        roles={str(role): frozenset(grantables) for role, grantables in document.roles.items()},
        technician_lifetime_days_limit=document.technician_lifetime_days_limit,
        catalogue=document.catalogue,
        sha256=hashlib.sha256(payload).hexdigest(),
        private_windows=tuple(document.private_windows),
        support_codes=document.support_codes,
    )


def check_mark(policy: Policy, newest: PolicyMark) -> None:
    """Whether this policy, its signature verified, may follow the newest one that was accepted before.

    Raises:
        DocumentRefused: E_POLICY_VERSION, it is older; E_POLICY_EQUIVOCATION, it is another document of the
            same version: whoever holds the policy key, or who uses it, shows two faces.
    """
    if policy.mark.order < newest.order:
        raise DocumentRefused(
            f"version {policy.version}, and {newest.version} is in force", code=ErrorCode.E_POLICY_VERSION
        )
    if policy.mark.order == newest.order and newest.sha256 not in ("", policy.sha256):
        raise DocumentRefused(
            f"version {policy.version} is {newest.sha256[:16]} here and {policy.sha256[:16]} there",
            code=ErrorCode.E_POLICY_EQUIVOCATION,
        )


def open_policy(envelope: bytes, trust: Trust | bytes, *, now: datetime, newest: PolicyMark) -> Policy:
    """The policy in a signed envelope, if it may be put in force after the newest one accepted here.

    Raises:
        DocumentRefused: E_POLICY_SIGNATURE, E_POLICY_FORMAT, E_POLICY_EXPIRED, and as `check_mark`.
    """
    try:
        payload, signer = open_envelope(envelope, POLICY_TYPE, trust, roles={Role.POLICY}, now=now)
    except CertificateRefused as exc:
        raise DocumentRefused(f"its signer: {exc}", code=ErrorCode.E_POLICY_SIGNATURE) from None
    believed = trust if isinstance(trust, Trust) else Trust(trust)
    policy = replace(parse_policy(payload), generation=believed.roots.generation)
    if policy.organisation_id != signer.organisation_id:
        raise DocumentRefused("it is for another organisation", code=ErrorCode.E_POLICY_SIGNATURE)
    check_mark(policy, newest)
    if now - policy.expires_at_utc > timedelta(seconds=CLOCK_SKEW_S):
        raise DocumentRefused(
            f"it ended at {policy.expires_at_utc.isoformat()}", code=ErrorCode.E_POLICY_EXPIRED
        )
    return policy


def default_policy(organisation_id: OrganisationId, *, now: datetime) -> dict[str, Any]:
    """A document to start from, as JSON values to be edited: consent is asked for everything."""
    text = resources.files("protocol").joinpath("default_catalogue.json").read_text("utf-8")
    return {
        "format": "alongside-policy/1",
        "organisation_id": organisation_id,
        "version": 1,
        "issued_at_utc": _stamp(now),
        "expires_at_utc": _stamp(now + DEFAULT_LIFETIME),
        "groups": {"default": Consent.ASK.value},
        "roles": {Role.TECHNICIAN.value: [grantable.value for grantable in Grantable]},
        "technician_lifetime_days_limit": TECHNICIAN_LIFETIME_DEFAULT_DAYS,
        "catalogue": json.loads(text),
    }


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose keys are unique: of two spellings of one setting, a reader would see only one."""
    seen = dict(pairs)
    if len(seen) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {double!r} is there twice")
    return seen


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _malformed(why: str) -> DocumentRefused:
    return DocumentRefused(why[:300], code=ErrorCode.E_POLICY_FORMAT)
