"""Somebody tries every nameplate (THREATS.md 3.2, COD-15); the relay's clock is the test's."""

from contextlib import suppress

from protocol.certificates import Role
from protocol.errors import ErrorCode, Refused
from protocol.ids import OrganisationId
from protocol.limits import NAMEPLATE_OFFERS_LIMIT
from relay.nameplates import Nameplates
from tests.support.control_link import RecordingLink

TRIES = 20_000


def looked_up(plates: Nameplates, attacker: RecordingLink, tries: int, per_s: float) -> int:
    """How many of the tries were looked up at all, whether somebody waited there or not."""
    count = 0
    for number in range(tries):
        try:
            plates.find(attacker, f"{number % 10_000:04d}", number / per_s)
        except Refused as exc:
            count += exc.code is not ErrorCode.E_RATE
        else:
            count += 1
    return count


def visitor(address: str, name: str) -> RecordingLink:
    return RecordingLink(Role.TECHNICIAN, name, OrganisationId(""), is_visitor=True, address=address)


def test_cod_15_one_client_gets_ten_tries_and_then_one_in_ten_seconds() -> None:
    alarms: list[int] = []
    plates = Nameplates(alarms.append)
    for number in range(100):
        device = RecordingLink(Role.DEVICE, f"d-{number}")
        plates.hold(device, f"{number * 100:04d}", bytes(16), 0)
    attacker = RecordingLink(Role.TECHNICIAN, "eve")
    assert looked_up(plates, attacker, TRIES, per_s=TRIES / 500) <= 10 + 500 / 10
    honest = RecordingLink(Role.TECHNICIAN, "ada")
    assert plates.find(honest, "9900", 501)  # the control: others do not notice


def test_cod_15_a_visitor_wins_nothing_by_coming_back_under_another_name() -> None:
    plates = Nameplates(lambda _: None)
    plates.hold(RecordingLink(Role.DEVICE, "d-1", is_visitor=True), "9999", bytes(16), 0)
    allowed = 0
    for number in range(1000):
        with suppress(Refused):
            plates.find(visitor("203.0.113.9", f"v-{number}"), "9999", 0.0)
            allowed += 1
    assert allowed == NAMEPLATE_OFFERS_LIMIT


def test_cod_15_a_device_is_bothered_a_bounded_number_of_times_by_all_together() -> None:
    plates = Nameplates(lambda _: None)
    plates.hold(RecordingLink(Role.DEVICE, "d-1", is_visitor=True), "0417", bytes(16), 0)
    offers = 0
    for number in range(500):
        with suppress(Refused):
            plates.find(visitor(f"203.0.113.{number}", f"v-{number}"), "0417", 1.0)
            offers += 1
    assert offers == NAMEPLATE_OFFERS_LIMIT


def test_cod_15_many_misses_raise_one_alarm_in_ten_minutes() -> None:
    alarms: list[int] = []
    plates = Nameplates(alarms.append)
    for number in range(5000):
        with suppress(Refused):
            plates.find(visitor(f"2001:db8::{number:x}", f"v-{number}"), f"{number:04d}", 10.0)
    assert alarms == [100]
