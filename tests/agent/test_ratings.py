"""What the person thought of sessions: kept for the right technician, for a while, and given out once."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ratings import Rating, RatingBook
from protocol.errors import ErrorCode, Refused, SupportError
from protocol.limits import RATING_LIFETIME_DAYS, RATINGS_LIMIT

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def rating(session_id: str, technician_id: str = "dana", comment: str = "thanks") -> Rating:
    return Rating(session_id, technician_id, NOON, True, comment)


def kept(path: Path, now: datetime = NOON) -> RatingBook:
    """As the service has it after it started."""
    book = RatingBook(path, lambda: now)
    book.load()
    return book


def test_it_waits_for_its_own_technician_over_a_restart_and_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "ratings.json"
    kept(path).keep(rating("s1"))
    assert kept(path).waiting_for("bob") == []
    assert not kept(path).delivered("s1", "bob")
    [waiting] = kept(path).waiting_for("dana")
    assert waiting == rating("s1")
    assert kept(path).delivered("s1", "dana")
    assert kept(path).waiting_for("dana") == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_session_is_rated_once(tmp_path: Path) -> None:
    book = kept(tmp_path / "ratings.json")
    book.keep(rating("s1"))
    with pytest.raises(Refused, match=ErrorCode.E_STATE):
        book.keep(rating("s1"))


def test_an_old_one_is_forgotten_on_the_disk_too(tmp_path: Path) -> None:
    path = tmp_path / "ratings.json"
    kept(path).keep(rating("s1", comment="a secret of long ago"))
    later = NOON + timedelta(days=RATING_LIFETIME_DAYS, seconds=1)
    assert kept(path, later).waiting_for("dana") == []
    assert b"secret" not in path.read_bytes()


def test_what_cannot_be_kept_is_not_taken(tmp_path: Path) -> None:
    book = RatingBook(tmp_path / "not-there" / "ratings.json", lambda: NOON)
    with pytest.raises(SupportError, match=ErrorCode.E_DATA_DISK):
        book.keep(rating("s1"))
    assert book.waiting_for("dana") == []


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]", b"[" * 10_000])
def test_a_damaged_file_is_no_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ratings.json"
    path.write_bytes(content)
    assert kept(path).waiting_for("dana") == []


@given(st.lists(st.tuples(st.integers(0, 3 * RATINGS_LIMIT), st.sampled_from(["dana", "bob"])), max_size=30))
def test_nobody_gets_another_s_and_there_are_never_too_many(given_ones: list[tuple[int, str]]) -> None:
    book = RatingBook(None, lambda: NOON)
    for number in range(RATINGS_LIMIT):
        book.keep(rating(f"old-{number}", "eve"))
    for number, technician_id in given_ones:
        try:
            book.keep(rating(f"s{number}", technician_id))
        except Refused:
            continue
    everyone = {name: book.waiting_for(name) for name in ("dana", "bob", "eve")}
    assert sum(map(len, everyone.values())) == RATINGS_LIMIT
    assert all(each.technician_id == name for name, found in everyone.items() for each in found)
