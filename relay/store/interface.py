"""The store as the rest of the relay sees it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from protocol.ids import OrganisationId


@dataclass(frozen=True, slots=True)
class OrganisationRecord:
    """An organisation that claimed this relay."""

    organisation_id: OrganisationId
    root_der: bytes
    name: str
    claimed_at_utc: datetime


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device that logged in at least once. `status` is one of `relay.enrollment`."""

    organisation_id: OrganisationId
    device_id: str
    name: str
    group: str
    platform: str
    status: str
    enroller_serial: str
    first_seen_at_utc: datetime
    last_seen_at_utc: datetime


@dataclass(frozen=True, slots=True)
class EnrollerRecord:
    """An enroller this relay has seen or revoked."""

    serial: str
    uses: int
    is_revoked: bool


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A published policy envelope, never opened here."""

    version: int
    envelope: bytes


class DocumentKind(StrEnum):
    """Signed documents that are kept and handed on unread."""

    STATUS = "status"
    SUCCESSORS = "successors"


@dataclass(frozen=True, slots=True)
class AnchorRecord:
    """What a device left to be kept, never opened here."""

    anchor: bytes
    kept_at_utc: datetime


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A published envelope, never opened here."""

    version: int
    envelope: bytes


@dataclass(frozen=True, slots=True)
class DeviceArrival:
    """A device's verified log-in with its enroller's terms; `uses_limit` 0 means no limit."""

    organisation_id: OrganisationId
    device_id: str
    name: str
    group: str
    enroller_serial: str
    join_until: datetime
    uses_limit: int
    is_bulk: bool
    at_utc: datetime


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """What to change of a device; None leaves a field as it is."""

    name: str | None = None
    platform: str | None = None
    status: str | None = None
    last_seen_at_utc: datetime | None = None


class Store(Protocol):
    """Everything that must outlive the relay's process. Each call is one transaction.

    Raises from every call:
        EnvironmentFault: E_DATA_DISK when the database cannot be read or written.
    """

    async def relay_id(self) -> str:
        """This relay's id; made at the first call, then fixed."""

    async def organisation(self, organisation_id: OrganisationId | None = None) -> OrganisationRecord | None:
        """The organisation with this id, or without an id the one that claimed the relay."""

    async def organisations(self) -> list[OrganisationRecord]:
        """Every organisation that is served here."""

    async def add_first_organisation(self, record: OrganisationRecord) -> bool:
        """Bind the relay to it; False when the relay was claimed before."""

    async def admit_device(self, arrival: DeviceArrival) -> DeviceRecord:
        """Keep the device, known or new, under the rules of `relay.enrollment`.

        Raises:
            Refused: E_TOKEN_EXPIRED, E_TOKEN_USED, E_TOKEN_REVOKED, E_DEVICE_REMOVED, E_DEVICE_CLONED.
        """

    async def update_device(
        self, organisation_id: OrganisationId, device_id: str, change: DeviceChange
    ) -> DeviceRecord | None:
        """The changed device, or None when the organisation has no such device."""

    async def device(self, organisation_id: OrganisationId, device_id: str) -> DeviceRecord | None:
        """One device of this organisation."""

    async def devices(self, organisation_id: OrganisationId) -> list[DeviceRecord]:
        """At most DEVICE_LIST_LIMIT of the organisation's devices, removed ones last."""

    async def enrollers(self, organisation_id: OrganisationId) -> list[EnrollerRecord]:
        """The organisation's enrollers, newest first, at most DEVICE_LIST_LIMIT."""

    async def revoke_enroller(self, organisation_id: OrganisationId, serial: str) -> None:
        """No further device joins under it, also when it was never seen here."""

    async def newest_policy(self, organisation_id: OrganisationId) -> PolicyRecord | None:
        """The newest published policy."""

    async def publish_policy(self, organisation_id: OrganisationId, policy: PolicyRecord) -> bool:
        """Keep it; False when its version does not rise."""

    async def newest_document(
        self, organisation_id: OrganisationId, kind: DocumentKind
    ) -> DocumentRecord | None:
        """The newest published document of this kind."""

    async def publish_document(
        self, organisation_id: OrganisationId, kind: DocumentKind, document: DocumentRecord
    ) -> bool:
        """Keep it in place of the one before; False when its version does not rise and it is not the same."""

    async def keep_anchor(
        self, organisation_id: OrganisationId, device_id: str, record: AnchorRecord
    ) -> bool:
        """Keep it as the newest; beyond ANCHORS_PER_DEVICE_LIMIT the oldest goes.

        False when the device has left ANCHORS_PER_DAY_LIMIT within a day: then nothing is kept, so that
        whoever owns a device cannot push its anchors out at once.
        """

    async def anchors(self, organisation_id: OrganisationId, device_id: str) -> list[AnchorRecord]:
        """The anchors of this device, oldest first."""

    async def succeed(
        self, organisation_id: OrganisationId, before: DocumentRecord | None, successors: DocumentRecord
    ) -> bool:
        """Keep the steps to the newest root (`version` is its generation) in place of those `before`.

        If it rises, policy and status list go, which were signed under the root before. False, and nothing
        changed, when other steps than `before` are kept: somebody else brought some at the same moment.
        """

    async def close(self) -> None:
        """Let go of the database."""
