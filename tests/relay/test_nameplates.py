"""Who waits behind which nameplate, who may ask for it, and how often."""

import pytest

from protocol.certificates import Role
from protocol.errors import ErrorCode, Refused
from protocol.ids import OrganisationId
from protocol.limits import CODE_LIFETIME_S, NAMEPLATE_OFFERS_LIMIT
from relay.nameplates import Nameplates
from tests.support.control_link import RecordingLink

HOLDER = b"h" * 16
OTHERS = OrganisationId("1" * 64)
NOBODY = OrganisationId("")


def new() -> tuple[Nameplates, RecordingLink, RecordingLink]:
    return Nameplates(lambda _: None), RecordingLink(Role.TECHNICIAN), RecordingLink(Role.DEVICE, "d-1")


def refusal(plates: Nameplates, technician: RecordingLink, nameplate: str, now_s: float) -> ErrorCode:
    with pytest.raises(Refused) as refused:
        plates.find(technician, nameplate, now_s)
    return refused.value.code


def test_the_device_that_waits_is_found() -> None:
    plates, technician, device = new()
    plates.hold(device, "0417", HOLDER, 0)
    assert plates.find(technician, "0417", 1) is device


def test_nobody_is_found_before_and_after() -> None:
    plates, technician, device = new()
    assert refusal(plates, technician, "0417", 0) is ErrorCode.E_CODE_UNKNOWN
    plates.hold(device, "0417", HOLDER, 0)
    assert refusal(plates, technician, "0417", CODE_LIFETIME_S) is ErrorCode.E_CODE_UNKNOWN
    plates.hold(device, "0417", HOLDER, CODE_LIFETIME_S)
    plates.release(device, "0417")
    assert refusal(plates, technician, "0417", CODE_LIFETIME_S + 1) is ErrorCode.E_CODE_UNKNOWN


def test_another_device_cannot_take_or_release_a_nameplate() -> None:
    plates, technician, device = new()
    thief = RecordingLink(Role.DEVICE, "d-2")
    plates.hold(device, "0417", HOLDER, 0)
    with pytest.raises(Refused) as refused:
        plates.hold(thief, "0417", b"x" * 16, 1)
    assert refused.value.code is ErrorCode.E_CODE_TAKEN
    plates.release(thief, "0417")
    plates.forget(thief)
    assert plates.find(technician, "0417", 2) is device


def test_the_holder_takes_it_over_to_a_new_link_without_more_time_or_offers() -> None:
    plates, technician, device = new()
    again = RecordingLink(Role.DEVICE, "d-1")
    plates.hold(device, "0417", HOLDER, 0)
    plates.find(technician, "0417", 1)
    plates.hold(again, "0417", HOLDER, 2)
    plates.forget(device)  # the old link ends late
    for _ in range(NAMEPLATE_OFFERS_LIMIT - 1):
        assert plates.find(technician, "0417", 3) is again
    assert refusal(plates, technician, "0417", 4) is ErrorCode.E_CODE_UNKNOWN


def test_a_device_holds_one_nameplate() -> None:
    plates, technician, device = new()
    plates.hold(device, "0417", HOLDER, 0)
    plates.hold(device, "0418", b"x" * 16, 1)
    assert refusal(plates, technician, "0417", 2) is ErrorCode.E_CODE_UNKNOWN
    assert plates.find(technician, "0418", 2) is device


@pytest.mark.parametrize("organisation", [OTHERS, NOBODY])
def test_a_device_of_an_organisation_meets_no_stranger(organisation: OrganisationId) -> None:
    plates, _, device = new()
    stranger = RecordingLink(Role.TECHNICIAN, "eve", organisation, is_visitor=organisation == NOBODY)
    plates.hold(device, "0417", HOLDER, 0)
    assert refusal(plates, stranger, "0417", 1) is ErrorCode.E_CERT_ORG


def test_a_visiting_device_meets_anybody() -> None:
    plates, technician, _ = new()
    device = RecordingLink(Role.DEVICE, "v-1", NOBODY, is_visitor=True)
    plates.hold(device, "0417", HOLDER, 0)
    assert plates.find(technician, "0417", 1) is device
    assert plates.find(RecordingLink(Role.TECHNICIAN, "v-2", NOBODY, is_visitor=True), "0417", 1) is device
