"""How long a technician waits who was told no again and again, and what a restart changes: nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ask_patience import (
    DEVICE_NOES_LIMIT,
    DEVICE_WINDOW_S,
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    NOES_FREE,
    TECHNICIANS_LIMIT,
    AskPatience,
)
from agent.kept_patience import load_patience
from agent.lasting_time import Moment
from protocol.errors import ErrorCode

TODAY = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


class Machine:
    """A computer with a clock that can be set, and that can be started again."""

    def __init__(self) -> None:
        self.boot, self.boottime_s, self.wall = 1, 100.0, TODAY

    def now(self) -> Moment:
        return Moment(str(self.boot), self.boottime_s, self.wall)

    def passes(self, seconds: float) -> None:
        self.boottime_s += seconds
        self.wall += timedelta(seconds=seconds)

    def restarts(self, off_s: float = 60.0) -> None:
        self.boot += 1
        self.boottime_s = 1.0
        self.wall += timedelta(seconds=off_s)


def _refused(times: int, at_s: float = 0.0) -> AskPatience:
    patience = AskPatience()
    for _ in range(times):
        patience.said_no("ada", at_s)
    return patience


def may_ask(patience: AskPatience, now_s: float, technician_id: str = "ada") -> bool:
    return patience.refusal(technician_id, now_s) is None


def test_the_first_noes_cost_nothing() -> None:
    assert may_ask(_refused(NOES_FREE - 1), 0.0)


def test_each_further_no_doubles_the_wait_up_to_an_hour() -> None:
    waits = []
    for times in range(NOES_FREE, NOES_FREE + 10):
        patience = _refused(times)
        waits.append(next(s for s in range(0, 4000, 60) if may_ask(patience, float(s))))
    assert waits[:3] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert waits[-1] == LONGEST_WAIT_S


def test_a_yes_or_a_long_pause_forgets_the_noes() -> None:
    patience = _refused(NOES_FREE)
    patience.said_yes("ada")
    assert may_ask(patience, 0.0)
    patience = _refused(NOES_FREE)
    patience.said_no("ada", LONGEST_WAIT_S)
    assert may_ask(patience, LONGEST_WAIT_S)


def test_one_technician_s_noes_are_not_another_s() -> None:
    assert may_ask(_refused(NOES_FREE + 1), 0.0, "bob")


def test_many_technicians_together_do_not_wear_the_person_down_either() -> None:
    patience = AskPatience()
    for number in range(DEVICE_NOES_LIMIT):
        patience.said_no(f"t{number}", 0.0)
    assert patience.refusal("another", DEVICE_WINDOW_S - 1) is ErrorCode.E_RATE
    assert may_ask(patience, DEVICE_WINDOW_S, "another")


@pytest.mark.parametrize("is_boot", [False, True])
def test_con_10_a_restart_begins_nothing_anew(tmp_path: Path, is_boot: bool) -> None:
    machine, path = Machine(), tmp_path / "patience.json"
    first = load_patience(path, 0.0, machine.now)
    for _ in range(NOES_FREE + 3):
        first.said_no("ada", 0.0)
    machine.passes(30.0)
    if is_boot:
        machine.restarts(0.0)
    second = load_patience(path, 5000.0, machine.now)
    assert second.refusal("ada", 5000.0 + 8 * FIRST_WAIT_S - 31) is ErrorCode.E_RATE
    assert may_ask(second, 5000.0 + 8 * FIRST_WAIT_S - 29)


def test_con_10_a_clock_that_is_set_shortens_no_wait(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "patience.json"
    first = load_patience(path, 0.0, machine.now)
    for _ in range(NOES_FREE):
        first.said_no("ada", 0.0)
    machine.wall += timedelta(days=1)
    assert load_patience(path, 0.0, machine.now).refusal("ada", FIRST_WAIT_S - 1)
    machine.restarts()
    machine.wall = TODAY - timedelta(days=1)
    assert load_patience(path, 0.0, machine.now).refusal("ada", FIRST_WAIT_S - 1)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1", b"\xff" * 9, b'{"written":1,"kept":2}'])
def test_a_damaged_file_is_no_fault_and_the_next_no_is_kept_again(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "patience.json"
    path.write_bytes(content)
    patience = load_patience(path, 0.0)
    for _ in range(NOES_FREE):
        patience.said_no("ada", 0.0)
    assert load_patience(path, 0.0).refusal("ada", 1.0) is ErrorCode.E_RATE
    assert path.stat().st_mode & 0o777 == 0o600


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["no", "yes"])), max_size=12))
def test_what_is_kept_and_restored_refuses_as_before(events: list[tuple[str, str]]) -> None:
    before, now_s = AskPatience(), 0.0
    for name, what in events:
        now_s += 7.0
        if what == "no":
            before.said_no(name, now_s)
        else:
            before.said_yes(name)
    after = AskPatience()
    after.restore(before.kept(now_s), now_s, away_s=0.0)
    for wait_s in (0.0, 59.0, 61.0, 500.0, 601.0, 3599.0, 3601.0):
        for name in "abc":
            assert before.refusal(name, now_s + wait_s) == after.refusal(name, now_s + wait_s)


def test_what_is_remembered_is_bounded() -> None:
    patience = _refused(NOES_FREE)
    for number in range(TECHNICIANS_LIMIT):
        patience.said_no(f"t{number}", 1.0)
    assert len(patience._noes) == TECHNICIANS_LIMIT
