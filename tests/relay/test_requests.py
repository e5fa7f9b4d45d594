"""Answers of the request desk that need no network."""

from datetime import UTC, datetime
from typing import cast

from protocol.certificates import Role
from protocol.errors import ErrorCode
from protocol.ids import OrganisationId
from protocol.limits import DEVICE_LIST_LIMIT
from protocol.messages.control import FROM_RELAY_CODEC, DeviceFacts, ListDevices, Refused, SessionRoute
from protocol.messages.presence import DeviceList
from relay.presence import Presence
from relay.rendezvous import Rendezvous
from relay.requests import RequestDesk
from relay.store.interface import DeviceChange, DeviceRecord, Store
from relay.worker.tickets import TicketMint
from tests.support.control_link import RecordingLink

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class LongNames:
    """A store full of devices whose names take as many bytes as a name may."""

    async def devices(self, organisation_id: OrganisationId) -> list[DeviceRecord]:
        """See `Store`."""
        longest = "\U0001f600" * 64
        return [
            DeviceRecord(
                organisation_id, f"d-{number}", longest, longest, longest, "approved", "ab", NOW, NOW
            )
            for number in range(DEVICE_LIST_LIMIT)
        ]


async def test_a_device_list_never_exceeds_the_message_limit() -> None:
    """Regression: encoding a list over the limit would have ended the technician's link."""
    rendezvous = Rendezvous(TicketMint(b"k" * 32), [SessionRoute(0, "/v1/session")])
    desk = RequestDesk(cast(Store, LongNames()), Presence(), rendezvous)
    link = RecordingLink()
    await desk.handle(link, ListDevices(1))
    [answer] = link.posted
    assert isinstance(answer, DeviceList)
    assert 1000 < len(answer.devices) < DEVICE_LIST_LIMIT
    FROM_RELAY_CODEC.encode(answer)


class CountingStore:
    """Counts what reaches it."""

    def __init__(self) -> None:
        self.calls = 0

    async def devices(self, organisation_id: OrganisationId) -> list[DeviceRecord]:
        """See `Store`."""
        self.calls += 1
        return []

    async def update_device(
        self, organisation_id: OrganisationId, device_id: str, change: DeviceChange
    ) -> DeviceRecord | None:
        """See `Store`."""
        self.calls += 1
        return None


def _desk(store: CountingStore) -> RequestDesk:
    rendezvous = Rendezvous(TicketMint(b"k" * 32), [SessionRoute(0, "/v1/session")])
    return RequestDesk(cast(Store, store), Presence(), rendezvous)


async def test_p17_a_device_that_floods_its_facts_costs_a_few_writes_and_keeps_its_link() -> None:
    store, link = CountingStore(), RecordingLink(role=Role.DEVICE)
    desk = _desk(store)
    for _ in range(1000):
        await desk.handle(link, DeviceFacts("a", "linux", "1"))
    assert store.calls <= 12
    assert link.posted == []


async def test_p17_a_technician_who_floods_lists_is_refused_by_rate() -> None:
    store, link = CountingStore(), RecordingLink()
    desk = _desk(store)
    for number in range(1, 1001):
        await desk.handle(link, ListDevices(number))
    assert store.calls <= 70
    assert link.posted[-1] == Refused(1000, ErrorCode.E_RATE)
