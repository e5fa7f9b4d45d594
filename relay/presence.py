"""Who is connected right now, in memory; organisations never see each other (no clock, no sockets)."""

from collections.abc import Collection
from dataclasses import dataclass, field

from protocol.certificates import Role
from protocol.ids import OrganisationId
from protocol.messages.control import FromRelay
from relay.links import Link


@dataclass(slots=True)
class _Present:
    devices: dict[str, Link] = field(default_factory=dict)
    people: set[Link] = field(default_factory=set)


class Presence:
    """The live links of every organisation."""

    def __init__(self) -> None:
        self._by_organisation: dict[OrganisationId, _Present] = {}

    def arrived(self, link: Link) -> Link | None:
        """The link counts from now on; an older link of the same device is forgotten and returned."""
        present = self._by_organisation.setdefault(link.organisation_id, _Present())
        if link.role is not Role.DEVICE:
            present.people.add(link)
            return None
        older = present.devices.get(link.subject_id)
        present.devices[link.subject_id] = link
        return older

    def left(self, link: Link) -> bool:
        """Forget the link; whether a device went away by it (not so when a newer link replaced it)."""
        present = self._by_organisation.get(link.organisation_id)
        if present is None:
            return False
        present.people.discard(link)
        is_gone = present.devices.get(link.subject_id) is link
        if is_gone:
            del present.devices[link.subject_id]
        if not present.devices and not present.people:
            del self._by_organisation[link.organisation_id]
        return is_gone

    def device(self, organisation_id: OrganisationId, device_id: str) -> Link | None:
        """The live link of a device of this organisation."""
        present = self._by_organisation.get(organisation_id)
        return present.devices.get(device_id) if present else None

    def tell_people(self, organisation_id: OrganisationId, message: FromRelay) -> None:
        """Post to the organisation's technicians and admins."""
        self.tell_roles(organisation_id, frozenset({Role.TECHNICIAN, Role.ADMIN}), message)

    def tell_roles(
        self, organisation_id: OrganisationId, roles: Collection[Role], message: FromRelay
    ) -> None:
        """Post to everybody of the organisation with one of these roles."""
        present = self._by_organisation.get(organisation_id)
        if present is None:
            return
        for link in [*present.devices.values(), *present.people]:
            if link.role in roles:
                link.post(message)

    def everybody(self) -> list[Link]:
        """Every live link."""
        return [
            link
            for present in self._by_organisation.values()
            for link in (*present.devices.values(), *present.people)
        ]
