"""The line of `alongside-agent doctor` about updates."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.doctor_check import CheckState
from agent.doctor_updates import check_updates
from agent.update.places import UpdatePlaces
from agent.update.status import UpdateStatus, write_status
from tests.support.update_lists import installed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def places(tmp_path: Path) -> UpdatePlaces:
    return installed(tmp_path / "opt", "1.2.3", "a" * 64, b"{}")


def line(places: UpdatePlaces) -> tuple[CheckState, str]:
    [check] = check_updates(places, NOW)
    assert (check.remedy == "") is (check.state is CheckState.OK)
    return check.state, check.sentence


@pytest.mark.parametrize(
    ("frozen_for", "state"),
    [
        (timedelta(0), CheckState.OK),
        (DAY - timedelta(minutes=1), CheckState.OK),
        (DAY, CheckState.WARN),
        (7 * DAY - timedelta(minutes=1), CheckState.WARN),
        (7 * DAY, CheckState.FAIL),
    ],
)
def test_upd_04_a_frozen_list_is_a_warning_after_a_day_and_an_alarm_after_a_week(
    places: UpdatePlaces, frozen_for: timedelta, state: CheckState
) -> None:
    write_status(places.status, UpdateStatus(checked_at_utc=NOW, believed_until_utc=NOW - frozen_for))
    assert line(places)[0] is state


@pytest.mark.parametrize(
    ("late", "state"),
    [(timedelta(hours=4), CheckState.OK), (DAY, CheckState.WARN), (7 * DAY, CheckState.FAIL)],
)
def test_upd_04_a_device_that_does_not_look_says_so_too(
    places: UpdatePlaces, late: timedelta, state: CheckState
) -> None:
    write_status(places.status, UpdateStatus(checked_at_utc=NOW - late, believed_until_utc=NOW + 90 * DAY))
    assert line(places)[0] is state


def test_upd_15_a_version_that_failed_here_is_told(places: UpdatePlaces) -> None:
    until = NOW + DAY
    failed = UpdateStatus(
        outcome="returned",
        code="E_UPDATE_FAILED",
        detail="no answer",
        checked_at_utc=NOW,
        believed_until_utc=until,
    )
    write_status(places.status, failed)
    state, sentence = line(places)
    assert state is CheckState.WARN
    assert "no answer" in sentence


def test_where_no_updates_are_taken_there_is_no_line_and_without_a_look_a_warning(
    places: UpdatePlaces, tmp_path: Path
) -> None:
    assert line(places)[0] is CheckState.WARN
    assert list(check_updates(UpdatePlaces(tmp_path / "none"), NOW)) == []
