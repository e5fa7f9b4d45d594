"""Tickets: single use, of one worker, unforgeable, bounded."""

import pytest

from protocol.errors import ErrorCode, Refused
from protocol.ids import new_session_id
from protocol.limits import TICKET_LIFETIME_S, TICKET_LIMIT_BYTES
from relay.worker.tickets import Admission, Side, TicketGate, TicketMint, new_key

KEY = b"k" * 32
NOW_S = 1_000_000.0


def _code(gate: TicketGate, ticket: bytes, now_s: float = NOW_S) -> ErrorCode:
    with pytest.raises(Refused) as caught:
        gate.redeem(ticket, now_s)
    return caught.value.code


def test_a_ticket_admits_its_side_of_its_session() -> None:
    session_id = new_session_id()
    for side in Side:
        ticket = TicketMint(KEY).mint(session_id, side, 3, NOW_S)
        assert len(ticket) <= TICKET_LIMIT_BYTES
        assert TicketGate(KEY, 3).redeem(ticket, NOW_S) == Admission(session_id, side)


def test_a_ticket_is_redeemed_once() -> None:
    gate = TicketGate(KEY, 0)
    ticket = TicketMint(KEY).mint(new_session_id(), Side.DEVICE, 0, NOW_S)
    gate.redeem(ticket, NOW_S)
    assert _code(gate, ticket) == ErrorCode.E_TICKET
    assert _code(gate, ticket, NOW_S + TICKET_LIFETIME_S + 1) == ErrorCode.E_TICKET


def test_a_ticket_is_of_one_worker_so_that_another_one_cannot_redeem_it_again() -> None:
    ticket = TicketMint(KEY).mint(new_session_id(), Side.DEVICE, 0, NOW_S)
    assert _code(TicketGate(KEY, 1), ticket) == ErrorCode.E_TICKET


def test_a_ticket_ends_with_its_lifetime() -> None:
    mint = TicketMint(KEY)
    ticket = mint.mint(new_session_id(), Side.DEVICE, 0, NOW_S)
    assert _code(TicketGate(KEY, 0), ticket, NOW_S + TICKET_LIFETIME_S) == ErrorCode.E_TICKET
    TicketGate(KEY, 0).redeem(ticket, NOW_S + TICKET_LIFETIME_S - 0.001)


def test_no_changed_bit_of_a_ticket_is_accepted() -> None:
    ticket = TicketMint(KEY).mint(new_session_id(), Side.TECHNICIAN, 0, NOW_S)
    gate = TicketGate(KEY, 0)
    for bit in range(len(ticket) * 8):
        changed = bytearray(ticket)
        changed[bit // 8] ^= 1 << bit % 8
        assert _code(gate, bytes(changed)) == ErrorCode.E_TICKET
    gate.redeem(ticket, NOW_S)


@pytest.mark.parametrize("ticket", [b"", b"x", b"\0" * 32, b"\0" * 33, b"\0" * 512, b"\0" * 60_000])
def test_what_is_no_ticket_is_refused(ticket: bytes) -> None:
    assert _code(TicketGate(KEY, 0), ticket) == ErrorCode.E_TICKET


def test_a_ticket_of_an_earlier_start_of_the_relay_is_refused() -> None:
    ticket = TicketMint(new_key()).mint(new_session_id(), Side.DEVICE, 0, NOW_S)
    assert _code(TicketGate(new_key(), 0), ticket) == ErrorCode.E_TICKET


def test_redeemed_tickets_are_forgotten_when_they_could_not_be_used_any_more() -> None:
    gate, mint = TicketGate(KEY, 0), TicketMint(KEY)
    for second in range(300):
        now_s = NOW_S + second
        gate.redeem(mint.mint(new_session_id(), Side.DEVICE, 0, now_s), now_s)
    assert gate.remembered <= TICKET_LIFETIME_S + 1
