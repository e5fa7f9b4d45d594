"""Every band that changed is proved once it rests; then nothing more is sent."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capabilities.screen.proof import (
    ACTIVE_INTERVAL_S,
    CALM_S,
    HEAL_INTERVAL_LIMIT_S,
    HEAL_INTERVAL_S,
    WHOLE_SCREEN_S,
    HealPace,
    ProofRound,
    prove,
)


def proved(rounds: ProofRound, until_s: float) -> list[tuple[float, int]]:
    """As the worker's loop does: at each moment that was asked for."""
    taken = []
    while (due_s := rounds.due_s) is not None and due_s <= until_s:
        band = rounds.take(due_s)
        assert band is not None
        taken.append((due_s, band))
    return taken


def bands(count: int, *marked: int) -> np.ndarray:
    mask = np.zeros(count, np.bool_)
    mask[list(marked)] = True
    return mask


@pytest.mark.parametrize("count", [1, 17, 34, 256])
def test_a_still_screen_is_proved_wholly_within_two_seconds_and_then_nothing_is_due(count):
    rounds = ProofRound(count)
    rounds.changed(bands(count, *range(count)), 100.0)
    taken = proved(rounds, 102.0)
    assert sorted(band for _, band in taken) == list(range(count))
    assert taken[-1][0] <= 100.0 + CALM_S + WHOLE_SCREEN_S
    assert rounds.due_s is None
    assert rounds.take(10_000.0) is None


def test_one_changed_band_is_proved_alone_and_not_before_it_rests():
    rounds = ProofRound(17)
    rounds.changed(bands(17, *range(17)), 100.0)
    proved(rounds, 110.0)
    rounds.changed(bands(17, 5), 200.0)
    assert proved(rounds, 300.0) == [(pytest.approx(200.0 + CALM_S), 5)]


def test_a_screen_that_never_rests_is_proved_a_band_a_second_in_turn():
    rounds = ProofRound(4)
    taken = []
    for step in range(600):
        now_s = 100.0 + step / 60
        rounds.changed(bands(4, 0, 1, 2, 3), now_s)
        taken += proved(rounds, now_s)
    assert 8 <= len(taken) <= 600 / 60 / ACTIVE_INTERVAL_S + 1
    order = [band for _, band in taken]
    assert order == [(order[0] + index) % 4 for index in range(len(order))]


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.integers(0, 6)), max_size=20))
def test_whatever_changed_last_is_proved_after_it_changed(changes):
    rounds, now_s, taken, changed_at_s = ProofRound(7), 0.0, [], {}
    for after_s, band in changes:
        taken += proved(rounds, now_s + after_s)
        now_s += after_s
        rounds.changed(bands(7, band), now_s)
        changed_at_s[band] = now_s
    taken += proved(rounds, now_s + 3.0)
    proved_at_s = {band: at_s for at_s, band in taken}
    assert all(proved_at_s[band] >= changed_at_s[band] for band in changed_at_s)
    assert rounds.due_s is None


def test_a_proof_is_the_hash_of_the_colours_and_not_of_the_fourth_byte():
    pixels = np.random.default_rng(1).integers(0, 256, (100, 70, 4), dtype=np.uint8)
    proof = prove(pixels.view(np.uint32)[..., 0], 1, 9)
    assert (proof.picture_no, proof.y, proof.height) == (9, 64, 36)
    assert proof.sha256 == hashlib.sha256(pixels[64:, :, :3].tobytes()).digest()


def test_a_failed_proof_is_healed_at_once_and_once():
    pace = HealPace()
    assert not pace.is_due(100.0)
    pace.failed()
    pace.failed()
    assert pace.failures == 2
    assert pace.is_due(100.0)
    assert not pace.is_due(1000.0)


def test_a_viewer_that_always_complains_is_healed_ever_less_often():
    pace, healed = HealPace(), []
    for step in range(3000):
        pace.failed()
        if pace.is_due(step / 10):
            healed.append(step / 10)
    gaps = np.diff(healed)
    assert gaps[0] >= HEAL_INTERVAL_S
    assert gaps.max() <= HEAL_INTERVAL_LIMIT_S + 0.1
    assert len(healed) < 15


def test_after_a_long_time_without_a_failure_healing_is_prompt_again():
    pace = HealPace()
    for step in range(100):
        pace.failed()
        pace.is_due(float(step))
    pace.is_due(200.0)
    pace.failed()
    assert pace.is_due(1000.0)
    pace.failed()
    assert pace.is_due(1000.0 + HEAL_INTERVAL_S)
