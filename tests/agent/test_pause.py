"""*Pause for an hour*: how long it lasts, whatever the clock does, the service, or the file."""

import json
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pause import Pause
from protocol.limits import PAUSE_LENGTH_S
from protocol.messages.session import EndSession
from technician_client.refusals import goodbye_detail
from tests.agent.test_ask_patience import Machine


def kept(path: Path, machine: Machine) -> Pause:
    """As the service has it after it started."""
    made = Pause(path, machine.now)
    made.load()
    return made


def test_it_lasts_over_a_restart_of_service_and_machine_and_ends_by_itself(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    assert kept(path, machine).left_s == 0
    kept(path, machine).begin()
    machine.passes(1000)
    assert kept(path, machine).left_s == PAUSE_LENGTH_S - 1000
    machine.restarts(600)
    pause = kept(path, machine)
    assert pause.left_s == pytest.approx(PAUSE_LENGTH_S - 1600)
    machine.passes(PAUSE_LENGTH_S - 1600)
    assert pause.left_s == 0
    assert kept(path, machine).left_s == 0


def test_the_person_ends_it_at_any_time(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    pause = kept(path, machine)
    pause.begin()
    pause.end()
    assert pause.left_s == kept(path, machine).left_s == 0
    assert not path.exists()


def test_setting_the_clock_changes_nothing_while_the_machine_runs(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    pause = kept(path, machine)
    pause.begin()
    for hours in (-30, 48):
        machine.wall += timedelta(hours=hours)
        assert pause.left_s == kept(path, machine).left_s == PAUSE_LENGTH_S


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"written":1}', b"x" * 10_000])
def test_a_damaged_file_is_a_whole_pause_and_not_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pause.json"
    path.write_bytes(content)
    machine = Machine()
    assert kept(path, machine).left_s == PAUSE_LENGTH_S
    machine.passes(10)
    assert kept(path, machine).left_s == PAUSE_LENGTH_S - 10, "and it begins once"


def test_no_file_makes_it_longer_than_an_hour(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "pause.json"
    kept(path, machine).begin()
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(document | {"left_s": 1e12}))
    assert kept(path, machine).left_s == PAUSE_LENGTH_S


def test_a_disk_that_is_full_does_not_take_it_away(tmp_path: Path) -> None:
    pause = Pause(tmp_path / "not-there" / "pause.json", Machine().now)
    pause.begin()
    assert pause.left_s == PAUSE_LENGTH_S


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("passes"), st.floats(0, 3000)),
        st.tuples(st.just("set_back"), st.floats(0, 200_000)),
        st.tuples(st.just("restarts"), st.floats(0, 3000)),
        st.tuples(st.just("service"), st.just(0.0)),
    ),
    max_size=12,
)


@given(STEPS)
def test_con_19_a_pause_neither_ends_early_nor_grows(steps: list[tuple[str, float]]) -> None:
    """A clock that is set back, restarts of service and machine: time off may count, running time does."""
    with tempfile.TemporaryDirectory() as folder:
        machine, path = Machine(), Path(folder) / "pause.json"
        pause = kept(path, machine)
        before_s = pause.begin()
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
            assert pause.left_s <= before_s
            assert pause.left_s >= PAUSE_LENGTH_S - ran_s - off_s - 1e-3
            before_s = pause.left_s


def test_the_technician_hears_until_when_and_of_nothing_else() -> None:
    assert goodbye_detail(EndSession("E_CONSENT_PAUSED", 60.0)).startswith("paused by the person until ")
    assert goodbye_detail(EndSession("E_CONSENT_PAUSED")) == ""
    assert goodbye_detail(EndSession("E_CERT_SCOPE", 60.0)) == ""
    assert goodbye_detail(EndSession("E_CONSENT_PAUSED", 1e15)), "an absurd wait is no crash"
