"""When a command is ended: facts and times in, orders out."""

import pytest

from agent.exec.lifetime import (
    CANCEL_GRACE_S,
    DRAIN_LIMIT_S,
    KILLS_LIMIT,
    TIMEOUT_GRACE_S,
    Cause,
    CommandLifetime,
    Order,
    State,
)

START_S = 100.0


@pytest.fixture
def life() -> CommandLifetime:
    return CommandLifetime(START_S, 10.0)


def test_nothing_happens_before_the_deadline(life: CommandLifetime) -> None:
    assert life.tick(START_S + 9.9) == []
    assert life.state is State.RUNNING


def test_at_the_deadline_it_is_asked_and_after_the_grace_it_is_killed(life: CommandLifetime) -> None:
    assert life.tick(START_S + 10) == [Order.TERMINATE]
    assert life.tick(START_S + 10 + TIMEOUT_GRACE_S - 0.1) == []
    assert life.tick(START_S + 10 + TIMEOUT_GRACE_S) == [Order.KILL]
    assert life.cause is Cause.TIMED_OUT


def test_a_kill_is_repeated_until_it_has_worked(life: CommandLifetime) -> None:
    life.tick(START_S + 10)
    assert life.tick(life.deadline_s) == [Order.KILL]
    assert life.tick(life.deadline_s) == [Order.KILL]
    life.exited(life.deadline_s)
    life.pipes_closed()
    assert life.is_over
    assert life.cause is Cause.TIMED_OUT


def test_a_kill_that_never_works_is_given_up_and_then_nobody_claims_an_end(life: CommandLifetime) -> None:
    life.tick(START_S + 10)
    for _ in range(KILLS_LIMIT):
        assert life.tick(life.deadline_s) == [Order.KILL]
        assert not life.is_over
    assert life.tick(life.deadline_s) == []
    assert life.is_over
    assert life.cause is Cause.LOST


def test_who_takes_too_much_is_killed_at_once_and_only_once(life: CommandLifetime) -> None:
    assert life.exceeded(START_S + 1) == [Order.KILL]
    assert life.exceeded(START_S + 1.2) == []
    assert life.cause is Cause.EXCEEDED


def test_who_takes_too_much_in_its_time_to_end_gets_no_more_of_it(life: CommandLifetime) -> None:
    life.tick(START_S + 10)
    assert life.exceeded(START_S + 10.2) == [Order.KILL]
    assert life.cause is Cause.TIMED_OUT


def test_what_is_left_over_makes_the_end_unknown_however_the_program_ended(life: CommandLifetime) -> None:
    life.exited(START_S + 1)
    life.pipes_closed()
    life.left_over()
    assert life.cause is Cause.LOST


def test_cancelling_twice_orders_once(life: CommandLifetime) -> None:
    assert life.cancelled(START_S + 1) == [Order.TERMINATE]
    assert life.cancelled(START_S + 1) == []
    assert life.deadline_s == START_S + 1 + CANCEL_GRACE_S
    assert life.cause is Cause.CANCELLED


def test_a_command_that_has_exited_cannot_time_out_or_be_cancelled(life: CommandLifetime) -> None:
    life.exited(START_S + 10)
    assert life.cancelled(START_S + 10) == []
    assert life.tick(START_S + 10) == []
    assert life.cause is Cause.EXITED


def test_closed_pipes_do_not_end_a_program_that_still_runs(life: CommandLifetime) -> None:
    life.pipes_closed()
    assert life.state is State.RUNNING


def test_a_pipe_held_open_by_a_grandchild_is_waited_for_only_a_moment(life: CommandLifetime) -> None:
    life.exited(START_S + 1)
    life.exited(START_S + 1.4)
    assert life.tick(START_S + 1 + DRAIN_LIMIT_S) == []
    assert life.is_over
