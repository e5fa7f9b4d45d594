"""When a screen worker that is gone is started again: once, and never against an order."""

import itertools

import pytest

from agent.capabilities.screen.lifetime import TRANSITIONS, Input, Order, State, WorkerLife, what_ended
from protocol.errors import ErrorCode, WrongState
from protocol.limits import SCREEN_RESTARTS_LIMIT

SEQUENCES = [given for length in range(1, 6) for given in itertools.product(Input, repeat=length)]


def orders_of(given: tuple[Input, ...]) -> list[Order]:
    """What a life orders, up to the first input that cannot happen."""
    life = WorkerLife()
    orders = []
    for one in given:
        try:
            orders.append(life.step(one))
        except WrongState:
            break
    return orders


def test_no_sequence_of_facts_starts_a_worker_again_more_often_than_the_viewer_takes():
    assert max(orders_of(given).count(Order.START_AGAIN) for given in SEQUENCES) == SCREEN_RESTARTS_LIMIT


def test_only_a_worker_that_showed_and_died_is_started_again():
    for given in SEQUENCES:
        orders = orders_of(given)
        if Order.START_AGAIN in orders:
            assert given[: orders.index(Order.START_AGAIN) + 1] == (Input.CAME, Input.DIED)


def test_the_viewer_is_told_of_every_new_worker_and_of_no_other():
    for given in SEQUENCES:
        orders = orders_of(given)
        came_after_death = given[:3] == (Input.CAME, Input.DIED, Input.CAME)
        assert orders.count(Order.TELL_AND_SHOW) == int(came_after_death)


def test_nothing_is_ordered_after_the_channel_was_closed_or_has_failed():
    for given in SEQUENCES:
        orders = orders_of(given)
        ends = [index for index, order in enumerate(orders) if order in (Order.FAIL, Order.NOTHING)]
        assert ends in ([], [len(orders) - 1])


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("given", Input)
def test_what_is_not_in_the_table_is_refused_and_changes_nothing(state, given):
    life = WorkerLife()
    life.state = state
    if (state, given) in TRANSITIONS:
        life.step(given)
        assert life.state is TRANSITIONS[state, given][0]
        return
    with pytest.raises(WrongState):
        life.step(given)
    assert life.state is state


@pytest.mark.parametrize(
    ("said", "told", "expected"),
    [
        (None, ErrorCode.E_SCREEN_FAILED, Input.DIED),  # SIGKILL by somebody, SIGSEGV
        (ErrorCode.E_SCREEN_FAILED, ErrorCode.E_SCREEN_FAILED, Input.DIED),  # status 7
        (ErrorCode.E_SCREEN_NONE, ErrorCode.E_SCREEN_NONE, Input.FAILED),  # status 6
        (None, ErrorCode.E_SCREEN_NONE, Input.FAILED),
        (None, ErrorCode.E_SESSION_STOPPED, Input.FAILED),
        (ErrorCode.E_MESSAGE_FORMAT, ErrorCode.E_SCREEN_FAILED, Input.FAILED),  # the viewer's doing
        (None, None, Input.FAILED),  # killed by order: nobody tells
        (ErrorCode.E_SCREEN_FAILED, None, Input.FAILED),
    ],
)
def test_only_a_death_that_the_desktop_process_tells_is_one(said, told, expected):
    assert what_ended(said, told) is expected
