"""Pairing and forwarding, without a network."""

import pytest

from protocol.errors import ErrorCode
from protocol.ids import SessionId, new_session_id
from protocol.limits import LOGIN_TIMEOUT_S, SESSION_MESSAGE_LIMIT_BYTES, SESSION_PAIR_TIMEOUT_S
from protocol.messages.control import FROM_WORKER_CODEC, Paired, Refused
from relay.worker.forwarder import SESSION_IDLE_LIMIT_S, CloseCode, End, Forwarder
from relay.worker.tickets import Side, TicketGate, TicketMint
from tests.support.forwarding_socket import RecordingSocket

KEY = b"k" * 32
MINT = TicketMint(KEY)


class Bench:
    """A forwarder with recording sockets."""

    def __init__(self) -> None:
        self.unix_s = 0.0
        self.forwarder = Forwarder(TicketGate(KEY, 0), lambda: self.unix_s)

    def connect(self) -> tuple[RecordingSocket, End]:
        socket = RecordingSocket()
        return socket, self.forwarder.connected(socket, 0)

    def arrive(self, session_id: SessionId, side: Side) -> tuple[RecordingSocket, End]:
        socket, end = self.connect()
        self.forwarder.received(end, MINT.mint(session_id, side, 0, 0), 0)
        return socket, end

    def pair(self) -> tuple[tuple[RecordingSocket, End], tuple[RecordingSocket, End]]:
        session_id = new_session_id()
        device, technician = self.arrive(session_id, Side.DEVICE), self.arrive(session_id, Side.TECHNICIAN)
        paired = FROM_WORKER_CODEC.encode(Paired(session_id))
        assert device[0].sent == technician[0].sent == [paired]
        device[0].sent.clear()
        technician[0].sent.clear()
        return device, technician


def _said(socket: RecordingSocket) -> Paired | Refused:
    return FROM_WORKER_CODEC.decode(socket.sent[-1])


def test_paired_ends_get_each_others_messages_unchanged_and_in_order() -> None:
    bench = Bench()
    (device, device_end), (technician, technician_end) = bench.pair()
    for message in (b"", b"a", b"\x00\xff" * 30_000):
        bench.forwarder.received(device_end, message, 1)
        bench.forwarder.received(technician_end, message[::-1], 1)
    assert technician.sent == [b"", b"a", b"\x00\xff" * 30_000]
    assert device.sent == [b"", b"a", b"\xff\x00" * 30_000]


def test_res_02_sockets_without_a_ticket_cannot_lock_out_the_one_that_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    monkeypatch.setattr("relay.worker.forwarder.SOCKETS_LIMIT", 4)
    idle = [bench.connect()[0] for _ in range(4)]
    bench.pair()
    assert [socket.closed is not None for socket in idle] == [True, True, False, False]
    late, _ = bench.connect()
    assert idle[2].closed is CloseCode.POLICY
    assert late.closed is None
    bench.pair()  # the rest of those without a ticket goes
    refused, _ = bench.connect()  # and when all have one, the newest does
    assert refused.closed is CloseCode.POLICY
    assert bench.forwarder.sockets == 4


def test_messages_never_reach_another_session() -> None:
    bench = Bench()
    (_, device_end), _ = bench.pair()
    (other_device, _), (other_technician, _) = bench.pair()
    bench.forwarder.received(device_end, b"secret", 1)
    assert other_device.sent == other_technician.sent == []


def test_nothing_is_forwarded_before_both_are_there() -> None:
    bench = Bench()
    session_id = new_session_id()
    device, device_end = bench.arrive(session_id, Side.DEVICE)
    bench.forwarder.received(device_end, b"too early", 1)
    assert device.closed is CloseCode.POLICY
    technician, _ = bench.arrive(session_id, Side.TECHNICIAN)
    assert technician.sent == []


def test_two_sockets_of_the_same_side_are_not_paired() -> None:
    bench = Bench()
    session_id = new_session_id()
    first, _ = bench.arrive(session_id, Side.DEVICE)
    second, _ = bench.arrive(session_id, Side.DEVICE)
    assert first.sent == []
    assert _said(second) == Refused(0, ErrorCode.E_TICKET)
    assert second.closed is CloseCode.POLICY


def test_a_wrong_ticket_is_refused_and_the_socket_closed() -> None:
    bench = Bench()
    socket, end = bench.connect()
    bench.forwarder.received(end, b"no ticket", 0)
    assert _said(socket) == Refused(0, ErrorCode.E_TICKET)
    assert socket.closed is CloseCode.POLICY
    assert bench.forwarder.sockets == 0


def test_the_end_of_one_closes_the_other_and_no_third() -> None:
    bench = Bench()
    (device, device_end), (technician, _) = bench.pair()
    (other, _), _ = bench.pair()
    bench.forwarder.disconnected(device_end)
    assert device.closed is technician.closed is CloseCode.NORMAL
    assert other.closed is None
    assert bench.forwarder.sockets == 2


def test_a_message_over_the_limit_ends_the_session() -> None:
    bench = Bench()
    (device, device_end), (technician, _) = bench.pair()
    bench.forwarder.received(device_end, b"\0" * (SESSION_MESSAGE_LIMIT_BYTES + 1), 1)
    assert device.closed is CloseCode.TOO_BIG
    assert technician.closed is CloseCode.GOING_AWAY
    assert technician.sent == []


def test_a_full_socket_stops_the_other_ends_reading_until_it_drained() -> None:
    bench = Bench()
    (device, device_end), (technician, technician_end) = bench.pair()
    bench.forwarder.writable(technician_end, False)
    assert (device.is_reading, technician.is_reading) == (False, True)
    bench.forwarder.writable(device_end, False)
    assert (device.is_reading, technician.is_reading) == (False, False)
    bench.forwarder.writable(technician_end, True)
    assert (device.is_reading, technician.is_reading) == (True, False)


def test_a_socket_without_a_ticket_is_closed_in_time() -> None:
    bench = Bench()
    socket, _ = bench.connect()
    bench.forwarder.tick(LOGIN_TIMEOUT_S - 0.1)
    assert socket.closed is None
    bench.forwarder.tick(LOGIN_TIMEOUT_S)
    assert socket.closed is CloseCode.POLICY


def test_an_end_whose_other_end_does_not_come_is_told_so() -> None:
    bench = Bench()
    session_id = new_session_id()
    socket, _ = bench.arrive(session_id, Side.TECHNICIAN)
    bench.forwarder.tick(SESSION_PAIR_TIMEOUT_S)
    assert _said(socket) == Refused(0, ErrorCode.E_PEER_SILENT)
    late, _ = bench.arrive(session_id, Side.DEVICE)
    assert late.sent == []


def test_rel_07_a_session_lives_while_one_end_speaks_and_ends_when_both_are_silent() -> None:
    bench = Bench()
    (device, device_end), (technician, _) = bench.pair()
    bench.forwarder.received(device_end, b"x", SESSION_IDLE_LIMIT_S - 1)
    bench.forwarder.tick(SESSION_IDLE_LIMIT_S + 1)
    assert device.closed is None
    bench.forwarder.tick(2 * SESSION_IDLE_LIMIT_S)
    assert device.closed is technician.closed is CloseCode.GOING_AWAY


def test_what_comes_after_the_end_does_nothing() -> None:
    bench = Bench()
    (_, device_end), (technician, technician_end) = bench.pair()
    bench.forwarder.disconnected(device_end)
    bench.forwarder.received(device_end, b"x", 1)
    bench.forwarder.writable(technician_end, False)
    bench.forwarder.violated(technician_end, CloseCode.POLICY)
    bench.forwarder.disconnected(technician_end)
    bench.forwarder.tick(1e9)
    assert technician.sent == []
    assert technician.closed is CloseCode.NORMAL


def test_a_stopping_worker_closes_every_socket() -> None:
    bench = Bench()
    (device, _), (technician, _) = bench.pair()
    waiting, _ = bench.arrive(new_session_id(), Side.DEVICE)
    bench.forwarder.close_all()
    assert {device.closed, technician.closed, waiting.closed} == {CloseCode.GOING_AWAY}
    assert bench.forwarder.sockets == 0
