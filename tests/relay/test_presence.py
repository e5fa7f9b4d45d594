"""Who is connected."""

from protocol.certificates import Role
from protocol.ids import OrganisationId
from protocol.messages.control import PolicyPublished, Pong
from relay.access import POLICY_READERS
from relay.presence import Presence
from tests.support.control_link import RecordingLink

OURS, THEIRS = OrganisationId("1" * 64), OrganisationId("2" * 64)


def _device(organisation_id: OrganisationId = OURS, device_id: str = "d-1") -> RecordingLink:
    return RecordingLink(Role.DEVICE, device_id, organisation_id)


def test_a_device_is_present_from_its_arrival_until_it_left() -> None:
    presence, link = Presence(), _device()
    assert presence.device(OURS, "d-1") is None
    assert presence.arrived(link) is None
    assert presence.device(OURS, "d-1") is link
    assert presence.left(link)
    assert presence.device(OURS, "d-1") is None
    assert not presence.left(link)


def test_a_device_of_another_organisation_is_not_seen() -> None:
    presence = Presence()
    presence.arrived(_device(THEIRS))
    assert presence.device(OURS, "d-1") is None


def test_a_newer_link_replaces_the_older_and_outlives_its_end() -> None:
    presence, older, newer = Presence(), _device(), _device()
    presence.arrived(older)
    assert presence.arrived(newer) is older
    assert not presence.left(older)
    assert presence.device(OURS, "d-1") is newer


def test_news_reach_the_people_of_that_organisation_alone() -> None:
    presence = Presence()
    admin, technician = RecordingLink(Role.ADMIN, "olga", OURS), RecordingLink(Role.TECHNICIAN, "ada", OURS)
    stranger, device = RecordingLink(Role.TECHNICIAN, "ada", THEIRS), _device()
    for link in (admin, technician, stranger, device):
        presence.arrived(link)
    presence.tell_people(OURS, Pong(1))
    assert admin.posted == technician.posted == [Pong(1)]
    assert stranger.posted == device.posted == []


def test_a_policy_reaches_devices_and_technicians() -> None:
    presence = Presence()
    admin, technician, device = RecordingLink(Role.ADMIN), RecordingLink(), _device(OrganisationId("0" * 64))
    for link in (admin, technician, device):
        presence.arrived(link)
    policy = PolicyPublished(1, b"x")
    presence.tell_roles(admin.organisation_id, POLICY_READERS, policy)
    assert technician.posted == device.posted == [policy]
    assert admin.posted == []


def test_one_person_may_have_several_links() -> None:
    presence, first, second = Presence(), RecordingLink(), RecordingLink()
    assert presence.arrived(first) is None
    assert presence.arrived(second) is None
    presence.left(first)
    assert presence.everybody() == [second]
