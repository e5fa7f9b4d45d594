"""Answers of the request desk that need no network."""

from datetime import UTC, datetime
from typing import cast

from protocol.ids import OrganisationId
from protocol.limits import DEVICE_LIST_LIMIT
from protocol.messages.control import FROM_RELAY_CODEC, ListDevices, SessionRoute
from protocol.messages.presence import DeviceList
from relay.presence import Presence
from relay.rendezvous import Rendezvous
from relay.requests import RequestDesk
from relay.store.interface import DeviceRecord, Store
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
