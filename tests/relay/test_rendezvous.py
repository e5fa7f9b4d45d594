"""Bringing two ends together."""

import pytest

from protocol.certificates import Role
from protocol.errors import ErrorCode, Refused
from protocol.messages.control import SessionDeclined, SessionOffered, SessionOpened, SessionRoute
from relay import rendezvous
from relay.rendezvous import DECLINE_WINDOW_S, Rendezvous
from relay.worker.tickets import Side, TicketGate, TicketMint
from tests.support.control_link import RecordingLink

KEY = b"k" * 32
ROUTES = [SessionRoute(5001, "/v1/session"), SessionRoute(5002, "/v1/session")]


def _new() -> tuple[Rendezvous, RecordingLink, RecordingLink]:
    return (
        Rendezvous(TicketMint(KEY), ROUTES),
        RecordingLink(Role.TECHNICIAN, "ada"),
        RecordingLink(Role.DEVICE, "d-1"),
    )


def test_both_ends_get_tickets_for_the_same_session_and_worker() -> None:
    meeting, technician, device = _new()
    session_id = meeting.open(technician, device, 7, 0)
    [opened], [offered] = technician.posted, device.posted
    assert isinstance(opened, SessionOpened)
    assert isinstance(offered, SessionOffered)
    assert (opened.request_no, opened.session_id, offered.session_id) == (7, session_id, session_id)
    assert opened.route == offered.route == ROUTES[0]
    gate = TicketGate(KEY, 0)
    assert gate.redeem(opened.ticket, 0).side is Side.TECHNICIAN
    assert gate.redeem(offered.ticket, 0).side is Side.DEVICE


def test_sessions_go_round_the_workers() -> None:
    meeting, technician, device = _new()
    for number in range(4):
        meeting.open(technician, device, number + 1, 0)
    ports = [message.route.port for message in technician.posted if isinstance(message, SessionOpened)]
    assert ports == [5001, 5002, 5001, 5002]


def test_a_refusal_reaches_the_technician_who_asked_once() -> None:
    meeting, technician, device = _new()
    bystander = RecordingLink(Role.TECHNICIAN, "eve")
    session_id = meeting.open(technician, device, 1, 0)
    meeting.open(bystander, device, 1, 0)
    declined = SessionDeclined(session_id, ErrorCode.E_BUSY)
    meeting.declined(device, declined, 1)
    meeting.declined(device, declined, 1)
    assert technician.posted[1:] == [declined]
    assert len(bystander.posted) == 1


def test_a_device_cannot_decline_the_session_of_another_one() -> None:
    meeting, technician, device = _new()
    session_id = meeting.open(technician, device, 1, 0)
    meeting.declined(RecordingLink(Role.DEVICE, "d-2"), SessionDeclined(session_id, "E_BUSY"), 1)
    assert len(technician.posted) == 1


@pytest.mark.parametrize("session_id", ["", "s-x", "s-" + "a" * 26, "\0" * 28])
def test_declining_what_was_never_offered_does_nothing(session_id: str) -> None:
    meeting, technician, device = _new()
    meeting.open(technician, device, 1, 0)
    meeting.declined(device, SessionDeclined(session_id, "E_BUSY"), 1)
    assert len(technician.posted) == 1


def test_an_opening_is_forgotten_when_nobody_can_come_any_more() -> None:
    meeting, technician, device = _new()
    session_id = meeting.open(technician, device, 1, 0)
    meeting.declined(device, SessionDeclined(session_id, "E_BUSY"), DECLINE_WINDOW_S + 1)
    assert len(technician.posted) == 1
    assert meeting.openings == 0


def test_the_number_of_openings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "OPENING_LIMIT", 2)
    meeting, technician, device = _new()
    meeting.open(technician, device, 1, 0)
    meeting.open(technician, device, 2, 0)
    with pytest.raises(Refused) as caught:
        meeting.open(technician, device, 3, 0)
    assert caught.value.code == ErrorCode.E_BUSY
