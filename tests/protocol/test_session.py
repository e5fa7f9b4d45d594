"""The session machine and the peer's clock."""

from itertools import pairwise, product

import pytest

from protocol.errors import ErrorCode, WrongState
from protocol.limits import HANDSHAKE_LIMIT_S, SESSION_HEARTBEAT_S, SESSION_SILENCE_LIMIT_S
from protocol.session import (
    BUSY_HEARTBEAT_S,
    BUSY_S,
    FIRST_BEATS_S,
    TRANSITIONS,
    Ended,
    Input,
    SendHeartbeat,
    SessionMachine,
    State,
)

ILLEGAL = [pair for pair in product(State, Input) if pair not in TRANSITIONS]


def ready(now_s: float = 0.0) -> SessionMachine:
    machine = SessionMachine(now_s=now_s)
    machine.paired(now_s)
    machine.handshake_done()
    machine.accepted(now_s)
    return machine


def test_the_whole_handshake_has_one_deadline():
    machine = SessionMachine(now_s=0.0)
    machine.paired(1.0)
    machine.handshake_done()
    assert machine.tick(1.0 + HANDSHAKE_LIMIT_S - 0.1) == []
    assert machine.tick(1.0 + HANDSHAKE_LIMIT_S) == [Ended(ErrorCode.E_HANDSHAKE)]


def test_nothing_may_flow_before_the_peer_was_accepted():
    machine = SessionMachine(now_s=0.0)
    machine.paired(0.0)
    machine.handshake_done()
    assert not machine.is_ready
    machine.accepted(0.0)
    assert machine.is_ready


def test_a_silent_peer_ends_the_session_and_a_talking_one_does_not():
    machine = ready()
    machine.heard(10.0)
    assert Ended(ErrorCode.E_PEER_SILENT) not in machine.tick(SESSION_SILENCE_LIMIT_S)
    assert machine.tick(10.0 + SESSION_SILENCE_LIMIT_S) == [Ended(ErrorCode.E_PEER_SILENT)]


def beats(machine: SessionMachine, from_s: float, until_s: float) -> list[float]:
    """When the machine's heartbeats went, if it is asked at its deadlines and the peer talks."""
    sent, now_s = [], from_s
    while (deadline_s := machine.deadline_s) is not None and deadline_s <= until_s:
        now_s = max(now_s, deadline_s)
        machine.heard(now_s)
        for effect in machine.tick(now_s):
            if isinstance(effect, SendHeartbeat):
                sent.append(now_s)
                machine.answered(effect.beat_no)
    return sent


def test_a_peer_whose_bytes_come_but_who_answers_no_heartbeat_is_silent():
    """What a relay held back and lets out bit by bit is no sign of life."""
    machine, now_s = ready(), 0.0
    while (deadline_s := machine.deadline_s) is not None:
        now_s = max(now_s, deadline_s)
        machine.heard(now_s)
        machine.tick(now_s)
    assert machine.cause == ErrorCode.E_PEER_SILENT
    assert now_s == SESSION_SILENCE_LIMIT_S


def test_an_answer_that_nobody_waits_for_is_no_sign_of_life():
    machine = ready()
    assert machine.tick(0.0) == [SendHeartbeat(1)]
    for beat_no in (0, 2, 1 << 63, -1):
        machine.answered(beat_no)
    machine.heard(SESSION_SILENCE_LIMIT_S)
    assert machine.tick(SESSION_SILENCE_LIMIT_S) == [Ended(ErrorCode.E_PEER_SILENT)]


def test_heartbeats_are_numbered():
    machine = ready()
    assert machine.tick(0.0) == [SendHeartbeat(1)]
    assert machine.tick(FIRST_BEATS_S[0]) == [SendHeartbeat(2)]


def test_heartbeats_come_quickly_at_first_and_then_rarely():
    sent = beats(ready(), 0.0, 60.0)
    assert len([at_s for at_s in sent if at_s <= 2.0]) == len(FIRST_BEATS_S)
    assert len([at_s for at_s in sent if 10.0 < at_s <= 60.0]) == 50.0 / SESSION_HEARTBEAT_S


def test_while_something_goes_on_heartbeats_come_every_second_and_then_rarely_again():
    machine = ready()
    before = beats(machine, 0.0, 28.5)
    assert machine.stirred(28.5)
    assert not machine.stirred(28.6)
    sent = beats(machine, 28.6, 28.6 + BUSY_S)
    assert sent[0] - max(before[-1], 28.5) <= BUSY_HEARTBEAT_S
    pauses = [later - sooner for sooner, later in pairwise(sent)]
    assert all(pause_s <= BUSY_HEARTBEAT_S + 1e-6 for pause_s in pauses)
    assert len(beats(machine, 40.0, 90.0)) <= 50.0 / SESSION_HEARTBEAT_S + 1


def test_a_session_that_is_not_ready_has_no_heartbeats_to_hurry():
    machine = SessionMachine(now_s=0.0)
    assert not machine.stirred(1.0)
    assert beats(machine, 0.0, 5.0) == []


def test_ending_twice_says_so_once_and_leaves_no_deadline():
    machine = ready()
    assert machine.end("technician_left") == [Ended("technician_left")]
    assert machine.end("finished") == []
    assert machine.cause == "technician_left"
    assert machine.deadline_s is None


@pytest.mark.parametrize(("state", "given"), ILLEGAL, ids=lambda value: value.name)
def test_a_pair_outside_the_table_is_refused_and_changes_nothing(state, given):
    machine = SessionMachine(now_s=0.0)
    machine.state = state
    with pytest.raises(WrongState):
        machine._step(given)
    assert machine.state is state
