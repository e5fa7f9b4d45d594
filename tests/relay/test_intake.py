"""What a connection may cost before log-in."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import intake
from relay.intake import HEAD_LIMIT_BYTES, INTAKE_LIMIT_BYTES, INTAKE_SLICE_BYTES, Intake, IntakeCount

HEAD = b"GET / HTTP/1.1\r\n\r\n"
REST_BYTES = INTAKE_LIMIT_BYTES - len(HEAD)


class Cuttable(asyncio.Transport):
    """A transport that remembers that it was cut."""

    def __init__(self) -> None:
        super().__init__()
        self.is_cut = False
        self.is_over = False
        self.unsent_bytes = 0

    def abort(self) -> None:
        """See `asyncio.Transport`."""
        self.is_cut = True

    def is_closing(self) -> bool:
        """See `asyncio.Transport`."""
        return self.is_cut or self.is_over

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport`."""
        return self.unsent_bytes


class Counting(asyncio.Protocol):
    """Counts what reaches the HTTP parser."""

    def __init__(self) -> None:
        self.received = bytearray()

    @property
    def received_bytes(self) -> int:
        """How much it was."""
        return len(self.received)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.received += data


def _connect(count: IntakeCount) -> tuple[Intake, Counting, Cuttable]:
    inner, transport = Counting(), Cuttable()
    guard = Intake(inner, count)
    guard.connection_made(transport)
    guard.data_received(HEAD)
    del inner.received[:]
    return guard, inner, transport


async def _turns(count: int) -> None:
    """Let the event loop go round."""
    for _ in range(count + 1):
        await asyncio.sleep(0)


async def test_res_06_what_came_behind_a_refused_frame_is_not_parsed() -> None:
    guard, inner, transport = _connect(IntakeCount())
    guard.data_received(b"x" * REST_BYTES)
    at_once = inner.received_bytes
    transport.is_cut = True
    await _turns(20)
    assert at_once == inner.received_bytes == INTAKE_SLICE_BYTES
    guard.connection_lost(None)


async def test_res_06_while_a_log_in_is_judged_what_came_behind_it_waits_and_is_not_lost() -> None:
    guard, inner, transport = _connect(IntakeCount())
    guard.data_received(b"x" * 2 * INTAKE_SLICE_BYTES)
    guard.hold()
    guard.data_received(b"y" * INTAKE_SLICE_BYTES)
    await _turns(20)
    assert inner.received_bytes == INTAKE_SLICE_BYTES
    guard.lift()
    assert inner.received == b"x" * 2 * INTAKE_SLICE_BYTES + b"y" * INTAKE_SLICE_BYTES
    guard.data_received(b"y" * (REST_BYTES - 3 * INTAKE_SLICE_BYTES + 1))
    assert not transport.is_cut
    guard.connection_lost(None)


async def test_res_06_who_was_refused_is_heard_to_the_end_in_slices() -> None:
    guard, inner, _ = _connect(IntakeCount())
    guard.data_received(b"x" * 4 * INTAKE_SLICE_BYTES)
    guard.hold()
    guard.go_on()
    assert inner.received_bytes == 2 * INTAKE_SLICE_BYTES
    await _turns(0)
    assert inner.received_bytes == 3 * INTAKE_SLICE_BYTES
    await _turns(20)
    assert inner.received_bytes == 4 * INTAKE_SLICE_BYTES
    guard.connection_lost(None)


async def test_res_06_what_waits_behind_a_refused_log_in_is_forgotten_with_it() -> None:
    guard, inner, transport = _connect(IntakeCount())
    guard.data_received(b"x" * 4 * INTAKE_SLICE_BYTES)
    guard.hold()
    transport.is_over = True
    guard.go_on()
    await _turns(20)
    guard.lift()
    assert inner.received_bytes == INTAKE_SLICE_BYTES
    guard.connection_lost(None)


async def test_res_06_what_is_too_much_is_cut_while_a_log_in_is_judged() -> None:
    guard, _, transport = _connect(IntakeCount())
    guard.hold()
    guard.data_received(b"x" * (REST_BYTES + 1))
    assert transport.is_cut
    guard.connection_lost(None)


@given(
    sizes=st.lists(st.integers(1, 3 * INTAKE_SLICE_BYTES), min_size=1, max_size=5), turns=st.integers(0, 4)
)
async def test_what_came_in_slices_arrives_whole_and_in_order(sizes: list[int], turns: int) -> None:
    guard, inner, _ = _connect(IntakeCount())
    sent = b"".join(bytes([number]) * size for number, size in enumerate(sizes))
    for number, size in enumerate(sizes):
        guard.data_received(bytes([number]) * size)
    await _turns(turns)
    guard.lift()
    guard.data_received(b"more")
    await _turns(10)
    assert bytes(inner.received) == sent + b"more"
    guard.connection_lost(None)


async def test_a_connection_is_cut_at_its_byte_limit_and_the_rest_is_not_parsed() -> None:
    guard, inner, transport = _connect(IntakeCount())
    guard.data_received(b"x" * REST_BYTES)
    await _turns(INTAKE_LIMIT_BYTES // INTAKE_SLICE_BYTES)
    was_cut_at_the_limit = transport.is_cut
    guard.data_received(b"x")
    assert (was_cut_at_the_limit, transport.is_cut) == (False, True)
    assert inner.received_bytes == REST_BYTES
    guard.connection_lost(None)


async def test_a_lifted_connection_is_not_bounded_here() -> None:
    count = IntakeCount()
    guard, inner, transport = _connect(count)
    guard.lift()
    guard.data_received(b"x" * (2 * INTAKE_LIMIT_BYTES))
    assert inner.received_bytes == 2 * INTAKE_LIMIT_BYTES
    assert not transport.is_cut
    assert count.waiting == 0
    guard.connection_lost(None)
    assert count.waiting == 0


async def test_res_01_a_connection_that_does_not_log_in_is_cut_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "INTAKE_TIMEOUT_S", 0.0)
    guard, _, transport = _connect(IntakeCount())
    lifted, _, lifted_transport = _connect(IntakeCount())
    lifted.lift()
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    assert transport.is_cut
    assert not lifted_transport.is_cut
    guard.connection_lost(None)


async def test_res_02_idle_connections_cannot_lock_out_the_one_that_comes_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "INTAKE_CONNECTIONS_LIMIT", 2)
    count = IntakeCount()
    guards = [_connect(count) for _ in range(3)]
    assert [transport.is_cut for _, _, transport in guards] == [True, False, False]
    for guard, _, _ in guards:
        guard.connection_lost(None)
    assert count.waiting == 0


@pytest.mark.parametrize("pieces", [1, 3, 1000])
async def test_res_06_a_head_is_cut_at_its_limit_and_what_follows_it_is_not_counted(pieces: int) -> None:
    filler = b"X: " + b"y" * (HEAD_LIMIT_BYTES - len(b"GET / HTTP/1.1\r\nX: "))
    for more, is_cut in ((b"", False), (b"z", True)):
        transport = Cuttable()
        guard = Intake(Counting(), IntakeCount())
        guard.connection_made(transport)
        whole = b"GET / HTTP/1.1\r\n" + filler + more + b"\r\n\r\n" + b"behind it" * 100
        size = len(whole) // pieces
        for start in range(0, len(whole), size):
            guard.data_received(whole[start : start + size])
        assert transport.is_cut == is_cut
        guard.connection_lost(None)


async def test_res_06_a_refused_connection_that_lets_its_end_wait_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "INTAKE_LOOK_S", 0.0)
    guard, _, transport = _connect(IntakeCount())
    lifted, _, lifted_transport = _connect(IntakeCount())
    lifted.lift()
    await asyncio.sleep(0.01)
    assert not transport.is_cut, "the control: it is not closing"
    transport.is_over = lifted_transport.is_over = True
    transport.unsent_bytes = 1
    await asyncio.sleep(0.01)
    assert not transport.is_cut, "what was said to it is not out yet"
    transport.unsent_bytes = 0
    await asyncio.sleep(0.01)
    assert transport.is_cut
    assert not lifted_transport.is_cut
    guard.connection_lost(None)
