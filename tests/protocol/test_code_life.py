"""One code: one guess, ten minutes; whatever comes in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.code_life import TRANSITIONS, CodeInput, CodeLife, CodeState
from protocol.errors import ErrorCode, Refused
from protocol.limits import CODE_LIFETIME_S
from protocol.support_code import draw_code


def new_life() -> CodeLife:
    return CodeLife(draw_code(), now_s=100.0)


@given(st.lists(st.sampled_from(["take", "right", "wrong", "cancel", "late"]), max_size=12))
def test_a_secret_is_handed_out_at_most_once(steps):
    life, now_s, handed_out = new_life(), 100.0, 0
    for step in steps:
        if step == "take":
            try:
                life.take(now_s)
            except Refused:
                continue
            handed_out += 1
        elif step == "late":
            now_s += CODE_LIFETIME_S
        elif step == "cancel":
            life.cancel()
        else:
            life.judged(is_right=step == "right")
    assert handed_out <= 1


def test_no_state_but_the_first_can_be_tried():
    assert [state for state, given_ in TRANSITIONS if given_ is CodeInput.TAKEN] == [CodeState.SHOWN]


@pytest.mark.parametrize(("after_s", "is_good"), [(CODE_LIFETIME_S - 1, True), (CODE_LIFETIME_S, False)])
def test_the_time_counts_from_when_it_was_shown(after_s, is_good):
    life = new_life()
    if is_good:
        assert life.take(100.0 + after_s) == life.code.secret
        return
    with pytest.raises(Refused) as refused:
        life.take(100.0 + after_s)
    assert refused.value.code is ErrorCode.E_CODE_EXPIRED


def test_a_code_that_was_taken_back_while_it_was_judged_does_not_match():
    life = new_life()
    life.take(100.0)
    assert life.cancel()
    assert not life.judged(is_right=True)
    assert life.state is CodeState.CANCELLED
