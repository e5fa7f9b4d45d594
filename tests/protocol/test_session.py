"""The session machine and the peer's clock."""

from itertools import product

import pytest

from protocol.errors import ErrorCode, WrongState
from protocol.limits import HANDSHAKE_LIMIT_S, SESSION_HEARTBEAT_S, SESSION_SILENCE_LIMIT_S
from protocol.session import TRANSITIONS, Ended, Input, PeerClock, SendHeartbeat, SessionMachine, State

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


def test_heartbeats_are_numbered_and_spaced():
    machine = ready()
    assert machine.tick(0.0) == [SendHeartbeat(1)]
    assert machine.tick(SESSION_HEARTBEAT_S - 0.1) == []
    assert machine.tick(SESSION_HEARTBEAT_S) == [SendHeartbeat(2)]


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


def test_the_offset_comes_from_the_sample_with_the_least_delay():
    clock = PeerClock()
    clock.note_answer(sent_at_ms=1000, answered_at_ms=6000, now_ms=1400)  # held for 400 ms on one way
    clock.note_answer(sent_at_ms=2000, answered_at_ms=7005, now_ms=2010)
    assert clock.offset_ms == 5000
    assert clock.round_trip_ms == 10


def test_an_answer_from_before_its_question_is_ignored():
    clock = PeerClock()
    clock.note_answer(sent_at_ms=1000, answered_at_ms=1, now_ms=900)
    assert clock.offset_ms is None
