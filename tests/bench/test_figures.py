"""Statistics of the benchmark."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import judge, middle_of, percentile, psnr_db, spread

MS = 1_000_000


def test_the_median_of_an_even_count_is_between_the_middle_two():
    assert spread([4.0, 1.0, 3.0, 2.0]).median == 2.5


def test_nothing_has_no_figures():
    assert (spread([]).count, spread([]).median, middle_of([None, None])) == (0, None, None)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_tails_are_measured_values_in_order(values):
    ordered = sorted(values)
    found = [percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0)]
    assert found == sorted(found)
    assert set(found) <= set(values)
    assert found[-1] == ordered[-1]


def test_latency_is_from_drawn_to_first_seen():
    drawn = [(1, 0), (2, 100 * MS), (3, 200 * MS)]
    seen = [(1, 10 * MS), (2, 130 * MS), (3, 220 * MS)]
    found = judge(drawn, seen, from_ns=0)
    assert (found.latency_ms.median, found.latency_ms.worst) == (20.0, 30.0)


def test_a_picture_that_was_never_shown_lowers_the_rate_and_not_the_latency():
    drawn = [(number, number * 100 * MS) for number in range(1, 11)]
    seen = [(number, number * 100 * MS + 5 * MS) for number in range(1, 11, 2)]
    found = judge(drawn, seen, from_ns=0)
    assert (found.drawn, found.distinct, found.pictures_per_s) == (10, 5, 5.0)
    assert found.latency_ms.worst == 5.0


def test_pictures_of_the_warming_up_do_not_count():
    drawn = [(1, 0), (2, 1000 * MS), (3, 1100 * MS)]
    seen = [(1, 900 * MS), (2, 1010 * MS), (3, 1110 * MS)]
    found = judge(drawn, seen, from_ns=500 * MS)
    assert (found.drawn, found.latency_ms.worst) == (2, 10.0)


def test_a_frozen_viewer_is_stale_for_as_long_as_it_is_frozen():
    drawn = [(number, number * 100 * MS) for number in range(1, 12)]
    found = judge(drawn, [(1, 101 * MS)], from_ns=0)
    assert found.stale_ms.worst == pytest.approx(890, abs=20)
    assert found.distinct == 1


def test_a_viewer_that_keeps_up_is_hardly_ever_stale():
    drawn = [(number, number * 100 * MS) for number in range(1, 50)]
    found = judge(drawn, [(number, at_ns + MS) for number, at_ns in drawn], from_ns=0)
    assert found.stale_ms.p95 == 0.0


def test_counters_that_were_not_drawn_are_ignored():
    assert judge([(1, 0), (2, 10)], [(9, 5)], from_ns=0).distinct == 0


@pytest.mark.parametrize(("error", "expected"), [(0, None), (255**2, 0.0), (65.025, 30.0)])
def test_the_signal_to_noise_ratio_is_the_usual_one(error, expected):
    assert psnr_db(error) == expected


def test_a_viewer_that_shows_nothing_new_at_all_is_stale_from_the_first_picture_on():
    drawn = [(number, number * 100 * MS) for number in range(1, 12)]
    assert judge(drawn, [(0, 1 * MS)], from_ns=0).stale_ms.worst == pytest.approx(990, abs=20)
