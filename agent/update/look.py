"""One look at the list of updates: what is offered, whether it is for this device, and what is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from agent.update.agents_files import agents_authority, agents_proxy
from agent.update.fetch import Patience, RelayFetcher
from agent.update.listed import Machine, UpdateListing, answers, believed_until
from agent.update.places import UpdatePlaces
from agent.update.status import UpdateStatus, read_status, utc_now, write_status
from protocol.aio.audit_log import AuditLog
from protocol.audit import AuditEvent, AuditKind
from protocol.errors import SupportError
from protocol.names import shown_text
from protocol.release import version_order
from protocol.update_offer import is_among, ring_of

CURRENT, OFFERED, LATER, NOTHING, REFUSED = "current", "offered", "later", "nothing", "refused"


@dataclass(frozen=True, slots=True)
class Device:
    """Who looks, and where: `device_id` "" is among the last.

    `ca_file`, `proxy_file`: where the agent keeps its relay's only authority, and the address of its proxy;
    without such a file the system's authorities count, and the environment's proxy.
    """

    device_id: str
    relay_url: str
    machine: Machine
    ca_file: Path | None = None
    proxy_file: Path | None = None


class Look:
    """Looks once, writes down what it found, and leaves one record of each refusal."""

    def __init__(
        self,
        places: UpdatePlaces,
        device: Device,
        patience: Patience | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.places, self.device, self.now = places, device, now
        self._patience = patience
        self.listing: UpdateListing | None = None

    def look(self) -> UpdateStatus:
        """What is offered.

        Raises:
            SupportError: why the list cannot be believed or had; it is written down already.
        """
        try:
            self.listing = UpdateListing(self.places, self._fetcher(), self.device.machine)
            self.listing.refresh()
        except SupportError as exc:
            self.refuse(exc)
            raise
        return self.note(self._outcome())

    def _outcome(self) -> str:
        offer = self.listing.offer if self.listing else None
        if offer is None:
            return NOTHING
        installed = self.places.current_version
        if installed and version_order(offer.version) <= version_order(installed):
            return CURRENT
        return OFFERED if is_among(self.device.device_id, offer.percent) else LATER

    def relay_answers(self) -> bool:
        """Whether the relay can be reached at all, with whatever answer."""
        try:
            return answers(self._fetcher())
        except SupportError:
            return False

    def _fetcher(self) -> RelayFetcher:
        device = self.device
        proxy = agents_proxy(device.proxy_file) if device.proxy_file is not None else ""
        authority = agents_authority(device.ca_file) if device.ca_file is not None else None
        return RelayFetcher(device.relay_url, authority, self._patience, proxy)

    def note(self, outcome: str, exc: SupportError | None = None) -> UpdateStatus:
        """Write down how things are."""
        before = read_status(self.places.status) or UpdateStatus()
        offer = self.listing.offer if self.listing else None
        now = self.now()
        status = msgspec.structs.replace(
            before,
            version=self.places.current_version,
            offered=offer.version if offer else before.offered,
            percent=offer.percent if offer else before.percent,
            ring=ring_of(self.device.device_id) if self.device.device_id else 100,
            outcome=outcome,
            code=exc.code.value if exc else "",
            detail=shown_text(exc.detail, 200) if exc else "",
            checked_at_utc=now,
            since_utc=before.since_utc or now,
            believed_until_utc=believed_until(self.places),
            device_id=self.device.device_id,
            relay_url=self.device.relay_url,
        )
        write_status(self.places.status, status)
        return status

    def refuse(self, exc: SupportError) -> None:
        """One record, unless the last look ended the same; then the status."""
        before = read_status(self.places.status)
        told = (exc.code.value, shown_text(exc.detail, 200))
        if before is None or (before.code, before.detail) != told:
            offer = self.listing.offer if self.listing else None
            facts = {"code": told[0], "detail": told[1], "version": offer.version if offer else ""}
            event = AuditEvent(AuditKind.UPDATE_REFUSED, "agent", self.device.device_id, "", False, facts)
            AuditLog(self.places.audit).append(event)
        self.note(REFUSED, exc)
