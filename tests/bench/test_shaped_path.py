"""The arithmetic of a shaped link, and how its terms are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.link_terms import BadLink, LinkTerms, parse_link
from tests.bench.shaped_path import SEGMENT_BYTES, ShapedPath

TERMS = LinkTerms(round_trip_s=0.040, bits_per_s=8_000_000)  # a byte a microsecond


def test_a_small_piece_takes_half_the_round_trip():
    assert ShapedPath(TERMS).arrival_s(100, 5.0) == pytest.approx(5.020, abs=0.0002)


def test_a_burst_comes_at_the_bandwidth():
    path = ShapedPath(TERMS)
    arrivals = [path.arrival_s(10_000, 0.0) for _ in range(10)]
    assert arrivals[-1] == pytest.approx(0.100 + 0.020)
    assert arrivals[1] - arrivals[0] == pytest.approx(0.010)


def test_the_queue_empties_while_nobody_sends():
    path = ShapedPath(TERMS)
    path.arrival_s(100_000, 0.0)
    assert path.queued_bytes(0.0) == 100_000
    assert path.queued_bytes(0.05) == 50_000
    assert path.queued_bytes(1.0) == 0
    assert path.arrival_s(100, 1.0) == pytest.approx(1.0201)


def test_a_full_buffer_holds_the_sender_back_until_there_is_room():
    terms = LinkTerms(0.040, 8_000_000, buffer_bytes=50_000)
    path = ShapedPath(terms)
    assert path.wait_s(50_000, 0.0) == 0
    path.arrival_s(50_000, 0.0)
    assert path.wait_s(10_000, 0.0) == pytest.approx(0.010)
    assert path.wait_s(10_000, 0.020) == 0


@given(st.lists(st.tuples(st.integers(1, 100_000), st.floats(0, 0.2)), max_size=60), st.floats(0, 0.2))
def test_nothing_overtakes_and_nothing_is_early(pieces, loss):
    path = ShapedPath(LinkTerms(0.100, 1_000_000, loss))
    now_s, before_s = 0.0, 0.0
    for size, pause_s in pieces:
        now_s += pause_s
        at_s = path.arrival_s(size, now_s)
        assert at_s >= before_s
        assert at_s >= now_s + 0.050
        before_s = at_s


def test_loss_costs_a_round_trip_and_most_of_the_bandwidth():
    """1 % at 150 ms leaves Reno about 1 Mbit/s of 5 (Mathis: 1.2 * segment / (round trip * sqrt(loss)))."""
    path = ShapedPath(LinkTerms(0.150, 5_000_000, 0.01))
    sent, at_s = 0, 0.0
    while at_s < 60:
        at_s = path.arrival_s(SEGMENT_BYTES, at_s - 0.075 if at_s else 0.0)
        sent += SEGMENT_BYTES
    assert 0.3e6 < sent * 8 / at_s < 2.0e6


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("40ms/20mbit", LinkTerms(0.040, 20e6)),
        ("150ms/5mbit/1%", LinkTerms(0.150, 5e6, 0.01)),
        ("300ms/1mbit/64kb", LinkTerms(0.300, 1e6, 0.0, 65536)),
        ("0.5ms/500kbit/0.5%/8kb", LinkTerms(0.0005, 5e5, 0.005, 8192)),
    ],
)
def test_terms_are_read(text, terms):
    assert parse_link(text) == terms


@pytest.mark.parametrize("text", ["", "40ms", "20mbit/40ms", "40ms/20mbit/slow", "fast/20mbit", "40/20"])
def test_other_terms_are_refused_by_name(text):
    with pytest.raises(BadLink):
        parse_link(text)


def test_terms_are_shown_as_they_are_written():
    assert str(parse_link("150ms/5mbit/1%")) == "150ms/5mbit/1%"
