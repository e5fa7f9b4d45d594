"""Status lists at a real relay: kept, and handed on unread."""

import pytest

from protocol.errors import ErrorCode
from protocol.messages.control import Done, PublishStatus, Refused, StatusPublished
from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess, log_in_client

pytestmark = pytest.mark.real


async def test_a_list_goes_to_everybody_at_once_and_to_who_comes_later_over_a_restart(
    relay: RelayProcess,
) -> None:
    admin, technician, device = [
        await log_in_client(relay, who) for who in (acme().admin(), acme().technician(), acme().device())
    ]
    await admin.send(PublishStatus(1, 3, b"whatever it says"))
    await admin.wait_for(Done)
    for reader in (technician, device):
        published = await reader.wait_for(StatusPublished)
        assert (published.version, published.envelope) == (3, b"whatever it says")
        await reader.close()
    await admin.close()
    relay.kill()
    relay.restart()
    later = await log_in_client(relay, acme().device())
    assert (await later.wait_for(StatusPublished)).version == 3
    await later.close()


async def test_an_older_list_is_refused_and_the_same_one_again_is_no_fault(relay: RelayProcess) -> None:
    admin = await log_in_client(relay, acme().admin())
    for number, version, envelope in ((1, 3, b"three"), (2, 3, b"three"), (3, 4, b"four")):
        await admin.send(PublishStatus(number, version, envelope))
        assert (await admin.wait_for(Done)).request_no == number
    for number, version, envelope in ((4, 3, b"three"), (5, 4, b"other")):
        await admin.send(PublishStatus(number, version, envelope))
        assert await admin.wait_for(Refused) == Refused(number, ErrorCode.E_STATUS_VERSION)
    await admin.close()
