"""*Pause for an hour*: how long it lasts, whatever the clock does, the service, or the file."""

import json
import tempfile
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.pause import EVERYBODY, Pauses
from protocol.limits import PAUSE_LENGTH_S, PAUSES_LIMIT
from protocol.messages.session import EndSession
from technician_client.refusals import goodbye_detail
from tests.agent.test_ask_patience import Machine

ANNA, BEN = 1001, 1002


def kept(path: Path, machine: Machine) -> Pauses:
    """As the service has it after it started."""
    made = Pauses(path, machine.now)
    made.load()
    return made


def test_it_lasts_over_a_restart_of_service_and_machine_and_ends_by_itself(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    assert kept(path, machine).left_s(EVERYBODY) == 0
    kept(path, machine).begin(EVERYBODY)
    machine.passes(1000)
    assert kept(path, machine).left_s(EVERYBODY) == PAUSE_LENGTH_S - 1000
    machine.restarts(600)
    pause = kept(path, machine)
    assert pause.left_s(EVERYBODY) == pytest.approx(PAUSE_LENGTH_S - 1600)
    machine.passes(PAUSE_LENGTH_S - 1600)
    assert pause.left_s(EVERYBODY) == 0
    assert kept(path, machine).left_s(EVERYBODY) == 0


def test_the_person_ends_it_at_any_time(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    pause = kept(path, machine)
    pause.begin(EVERYBODY)
    pause.end(EVERYBODY)
    assert pause.left_s(EVERYBODY) == kept(path, machine).left_s(EVERYBODY) == 0
    assert not path.exists()


def test_setting_the_clock_changes_nothing_while_the_machine_runs(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    pause = kept(path, machine)
    pause.begin(EVERYBODY)
    for hours in (-30, 48):
        machine.wall += timedelta(hours=hours)
        assert pause.left_s(EVERYBODY) == kept(path, machine).left_s(EVERYBODY) == PAUSE_LENGTH_S


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"written":1}', b"x" * 10_000])
def test_a_damaged_file_is_a_whole_pause_and_not_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pause.json"
    path.write_bytes(content)
    machine = Machine()
    assert kept(path, machine).left_s(EVERYBODY) == PAUSE_LENGTH_S
    machine.passes(10)
    assert kept(path, machine).left_s(EVERYBODY) == PAUSE_LENGTH_S - 10, "and it begins once"


def test_no_file_makes_it_longer_than_an_hour(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    kept(path, machine).begin(EVERYBODY)
    document = json.loads(path.read_bytes())
    document["pauses"][0]["left_s"] = 1e12
    path.write_text(json.dumps(document))
    assert kept(path, machine).left_s(EVERYBODY) == PAUSE_LENGTH_S


def test_a_disk_that_is_full_does_not_take_it_away(tmp_path: Path) -> None:
    pause = Pauses(tmp_path / "not-there" / "pause.json", Machine().now)
    pause.begin(EVERYBODY)
    assert pause.left_s(EVERYBODY) == PAUSE_LENGTH_S


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("passes"), st.floats(0, 3000)),
        st.tuples(st.just("set_back"), st.floats(0, 200_000)),
        st.tuples(st.just("restarts"), st.floats(0, 3000)),
        st.tuples(st.just("service"), st.just(0.0)),
    ),
    max_size=12,
)


@settings(deadline=None)  # each step is a file on the disk
@given(STEPS)
def test_con_19_a_pause_neither_ends_early_nor_grows(steps: list[tuple[str, float]]) -> None:
    """A clock that is set back, restarts of service and machine: time off may count, running time does."""
    with tempfile.TemporaryDirectory() as folder:
        machine, path = Machine(), Path(folder) / "pause.json"
        pause = kept(path, machine)
        before_s = pause.begin(EVERYBODY)
        ran_s = off_s = 0.0
        for what, seconds in steps:
            match what:
                case "passes":
                    ran_s += seconds
                    machine.passes(seconds)
                    pause.keep()  # as the service does every five minutes
                case "set_back":
                    machine.wall -= timedelta(seconds=seconds)
                case "restarts":
                    off_s += seconds
                    machine.restarts(seconds)
                    pause = kept(path, machine)
                case _:
                    pause = kept(path, machine)
            assert pause.left_s(EVERYBODY) <= before_s
            assert pause.left_s(EVERYBODY) >= PAUSE_LENGTH_S - ran_s - off_s - 1e-3
            before_s = pause.left_s(EVERYBODY)


def test_the_technician_hears_until_when_and_of_nothing_else() -> None:
    assert goodbye_detail(EndSession("E_CONSENT_PAUSED", 60.0)).startswith("paused by the person until ")
    for code in ("E_READBACK_MISMATCH", "E_READBACK_BLOCKED"):
        assert goodbye_detail(EndSession(code, 60.0)).startswith("blocked by the person until ")
    assert goodbye_detail(EndSession("E_CONSENT_PAUSED")) == ""
    assert goodbye_detail(EndSession("E_CERT_SCOPE", 60.0)) == ""
    assert goodbye_detail(EndSession("E_CONSENT_PAUSED", 1e15)), "an absurd wait is no crash"


def test_con_15_a_pause_is_one_user_s_own_and_silences_nobody_else(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    pauses = kept(path, machine)
    pauses.begin(ANNA)
    for each in (pauses, kept(path, machine)):
        assert [each.left_s(uid) for uid in (ANNA, BEN, EVERYBODY)] == [PAUSE_LENGTH_S, 0, 0]
    assert not pauses.end(BEN)
    assert not pauses.end(EVERYBODY), "nor does it end when the one for everybody does"
    assert pauses.left_s(ANNA) == PAUSE_LENGTH_S
    machine.passes(600)
    pauses.begin(BEN)
    assert [pauses.left_s(uid) for uid in (ANNA, BEN)] == [PAUSE_LENGTH_S - 600, PAUSE_LENGTH_S]
    assert pauses.end(ANNA)
    assert [kept(path, machine).left_s(uid) for uid in (ANNA, BEN)] == [0, PAUSE_LENGTH_S]


def test_con_15_who_ends_a_pause_for_everybody_ends_it_for_themselves(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    pauses = kept(path, machine)
    pauses.begin(EVERYBODY)
    assert [pauses.left_s(uid) for uid in (ANNA, BEN, EVERYBODY)] == [PAUSE_LENGTH_S] * 3
    assert pauses.end(BEN)
    for each in (pauses, kept(path, machine)):
        assert [each.left_s(uid) for uid in (ANNA, BEN, EVERYBODY)] == [PAUSE_LENGTH_S, 0, PAUSE_LENGTH_S]
    pauses.begin(EVERYBODY)
    assert pauses.left_s(BEN) == PAUSE_LENGTH_S, "a new one is for all"


def test_a_pause_that_an_older_version_kept_goes_on_for_everybody(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    path.write_bytes(msgspec.json.encode({"written": machine.now(), "left_s": 3000.0}))
    machine.passes(600)
    pauses = kept(path, machine)
    assert [pauses.left_s(uid) for uid in (ANNA, BEN, EVERYBODY)] == [2400.0] * 3
    assert pauses.end(ANNA), "and each person may end it, as before"
    assert [kept(path, machine).left_s(uid) for uid in (ANNA, BEN)] == [0, 2400.0]


def test_what_is_kept_of_pauses_is_bounded() -> None:
    pauses = Pauses(None, Machine().now)
    for uid in range(2000, 2000 + PAUSES_LIMIT + 5):
        pauses.begin(uid)
    assert len(pauses.live()) == PAUSES_LIMIT
