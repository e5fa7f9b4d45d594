"""What the person allowed beforehand: for whom, for how long, and that no clock makes it longer."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.lasting_time import Moment
from agent.standing import StandingConsent, StandingConsents, Whom
from protocol.errors import ErrorCode, Refused
from protocol.grantables import Grantable
from protocol.limits import STANDING_LENGTH_LIMIT_S, STANDING_LIMIT
from tests.agent.test_ask_patience import Machine

VIEW, CONTROL = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL
ADA, EVERYONE = Whom("ada", name="Ada"), Whom(group="default")


def kept(path: Path, machine: Machine) -> StandingConsents:
    """As the service has them after it started."""
    made = StandingConsents(path, machine.now)
    made.load()
    return made


def covers(
    standing: StandingConsents, technician_id: str, *wanted: Grantable, group: str = "default"
) -> bool:
    return set(standing.covering(technician_id, group, wanted)) == set(wanted)


def test_one_is_for_that_technician_and_that_permission_alone(tmp_path: Path) -> None:
    standing = kept(tmp_path / "s.json", Machine())
    standing.give(ADA, [VIEW], 3600)
    assert covers(standing, "ada", VIEW)
    assert not covers(standing, "ada", VIEW, CONTROL)
    assert not covers(standing, "bob", VIEW)


def test_one_for_a_group_is_for_devices_of_that_group(tmp_path: Path) -> None:
    standing = kept(tmp_path / "s.json", Machine())
    standing.give(EVERYONE, [VIEW], 3600)
    assert covers(standing, "bob", VIEW)
    assert not covers(standing, "bob", VIEW, group="kiosks")


def test_it_ends_by_itself_and_lasts_over_a_restart_of_the_service(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "s.json"
    kept(path, machine).give(ADA, [VIEW], 3600)
    machine.passes(3599)
    assert covers(kept(path, machine), "ada", VIEW)
    machine.passes(1)
    assert not covers(kept(path, machine), "ada", VIEW)


def test_nothing_is_longer_than_the_limit(tmp_path: Path) -> None:
    [given_one] = kept(tmp_path / "s.json", Machine()).give(ADA, [VIEW], 1e9)
    assert given_one.left_s == STANDING_LENGTH_LIMIT_S


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("passes"), st.floats(0, 7200)),
        st.tuples(st.just("set"), st.floats(-200_000, 200_000)),
        st.tuples(st.just("restarts"), st.floats(0, 7200)),
        st.tuples(st.just("service"), st.just(0.0)),
    ),
    max_size=12,
)


@given(STEPS)
@example([("set", -26700.0), ("restarts", 5704.0), ("set", 18516.0), ("passes", 5517.0)])
@example(
    [
        ("set", 18516.0),
        ("set", 68540.0),
        ("set", -100406.0),
        ("restarts", 5704.0),
        ("set", 5722.0),
        ("passes", 5517.0),
    ]
)
def test_con_19_no_setting_of_the_clock_prolongs_it(steps: list[tuple[str, float]]) -> None:
    """However clock and power are turned: it holds for no more running time than was given."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        machine, path = Machine(), Path(folder) / "s.json"
        standing = kept(path, machine)
        standing.give(ADA, [VIEW], 3600)
        ran_s = 0.0
        for what, seconds in steps:
            match what:
                case "passes":
                    ran_s += seconds
                    machine.passes(seconds)
                    standing.keep()  # as the service does every five minutes
                case "set":
                    machine.wall += timedelta(seconds=seconds)
                case "restarts":
                    machine.restarts(seconds)
                    standing = kept(path, machine)
                case _:
                    standing = kept(path, machine)
            if covers(standing, "ada", VIEW):
                assert ran_s < 3600


def test_a_clock_that_went_back_over_a_restart_ends_it(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "s.json"
    kept(path, machine).give(ADA, [VIEW], 3600)
    machine.restarts()
    machine.wall -= timedelta(days=1)
    assert not covers(kept(path, machine), "ada", VIEW)


def test_one_is_taken_back_by_its_id_and_who_rests_on_it_hears_of_it(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "s.json"
    standing = kept(path, machine)
    heard: list[StandingConsent] = []
    standing.listeners.add(heard.append)
    view, control = standing.give(ADA, [VIEW, CONTROL], 3600)[::-1]
    assert standing.end(view.standing_id) == heard
    assert [each.grantable for each in kept(path, machine).live()] == [control.grantable]
    with pytest.raises(Refused) as caught:
        standing.end(view.standing_id)
    assert caught.value.code is ErrorCode.E_CONSENT_UNKNOWN
    standing.end("all")
    assert kept(path, machine).live() == []
    assert standing.end("all") == []


def test_giving_again_replaces_and_there_are_so_many_at_most(tmp_path: Path) -> None:
    standing = kept(tmp_path / "s.json", Machine())
    for _ in range(3):
        standing.give(ADA, [VIEW], 3600)
    assert len(standing.live()) == 1
    for number in range(STANDING_LIMIT - 1):
        standing.give(Whom(f"t{number}"), [VIEW], 3600)
    with pytest.raises(Refused) as caught:
        standing.give(Whom("one more"), [VIEW], 3600)
    assert caught.value.code is ErrorCode.E_BUSY


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    kept(path, Machine()).give(ADA, [VIEW], 3600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_uid == os.geteuid()


FOREVER = '{"written":{"boot_id":"1","boottime_s":100.0,"at_utc":"2026-11-26T12:00:00Z"},"standing":[%s]}'
ROW = '{"standing_id":"c-1","technician_id":"%s","group":"%s","name":"","grantable":"%s","left_s":%s}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"\xff",
        (FOREVER % (ROW % ("ada", "default", "screen.view", 60))).encode(),  # for two at once
        (FOREVER % (ROW % ("", "", "screen.view", 60))).encode(),  # for nobody in particular
        (FOREVER % (ROW % ("ada", "", "shell", 60))).encode(),
        (FOREVER % (ROW % ("ada", "", "screen.view", '"60"'))).encode(),
        (FOREVER % (ROW % ("ada", "", "screen.view", -5))).encode(),
        b" " * (1 << 20),
    ],
)
def test_a_file_that_is_not_as_we_write_it_allows_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(content)
    assert kept(path, Machine()).live() == []


def test_what_is_kept_is_never_longer_than_the_limit_even_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(FOREVER % (ROW % ("ada", "", "screen.view", 1e300)))
    assert [each.left_s for each in kept(path, Machine()).live()] == [STANDING_LENGTH_LIMIT_S]


def test_a_moment_of_the_same_start_is_told_by_the_boot_time_alone() -> None:
    from agent.lasting_time import elapsed_s

    at = datetime(2026, 11, 26, tzinfo=UTC)
    assert elapsed_s(Moment("a", 10.0, at), Moment("a", 15.0, at - timedelta(days=9))) == 5.0
    assert elapsed_s(Moment("a", 10.0, at), Moment("b", 1.0, at + timedelta(seconds=9))) == 9.0
    assert elapsed_s(Moment("a", 10.0, at), Moment("b", 1.0, at - timedelta(seconds=1))) is None
