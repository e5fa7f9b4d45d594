"""Frames, priorities and credit of `protocol.channels`."""

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.channels import (
    CHANNEL_TERMS,
    CONTROL_TERMS,
    Channels,
    ChannelTerms,
    Kind,
    Priority,
)
from protocol.errors import ErrorCode, PeerViolation, WrongState
from protocol.limits import FRAME_HEADER_BYTES, FRAME_PAYLOAD_LIMIT_BYTES

SMALL = ChannelTerms(Priority.BULK, window_bytes=4000, message_limit_bytes=2000)
RECORD = FRAME_HEADER_BYTES + FRAME_PAYLOAD_LIMIT_BYTES


def frame(kind: int, channel_no: int, payload: bytes) -> bytes:
    return struct.pack(">BHH", kind, channel_no, len(payload)) + payload


def pair(*opened: tuple[int, ChannelTerms]) -> tuple[Channels, Channels]:
    ends = Channels(), Channels()
    for end in ends:
        for number, terms in opened:
            end.open(number, terms)
    return ends


def everything(channels: Channels) -> bytes:
    taken = b""
    while frames := channels.next_frames(RECORD):
        taken += frames
    return taken


@given(
    messages=st.lists(st.binary(max_size=1900), max_size=6), cuts=st.lists(st.integers(1, 700), max_size=40)
)
def test_messages_do_not_depend_on_how_the_stream_was_cut(messages, cuts):
    sender, receiver = pair((7, SMALL))
    got = []
    for message in messages:
        sender.send(7, message)
        stream = everything(sender)
        while stream:
            size = cuts.pop() if cuts else len(stream)
            for arrived in receiver.receive(stream[:size]):
                got.append(arrived.content)
                receiver.consumed(arrived)
            stream = stream[size:]
        sender.receive(everything(receiver))
    assert got == messages


@given(st.binary(max_size=400))
def test_noise_raises_only_a_peer_violation(noise):
    channels = Channels()
    try:
        channels.receive(noise)
    except PeerViolation as exc:
        assert exc.code in {
            ErrorCode.E_MESSAGE_FORMAT,
            ErrorCode.E_MESSAGE_SIZE,
            ErrorCode.E_CHANNEL_UNKNOWN,
            ErrorCode.E_CHANNEL_CREDIT,
        }


def test_a_key_press_waits_for_at_most_one_record_of_a_picture():
    sender, receiver = pair((1, CHANNEL_TERMS["screen"]), (2, CHANNEL_TERMS["input"]))
    sender.send(1, b"p" * 1_000_000)
    first = sender.next_frames(RECORD)
    sender.send(2, b"key")
    second = sender.next_frames(RECORD)
    assert len(first) <= RECORD
    assert receiver.receive(first) == []
    assert [m.content for m in receiver.receive(second)] == [b"key"]


def test_channels_of_one_priority_take_turns():
    sender, receiver = pair((1, SMALL), (2, SMALL))
    for number in (1, 2):
        for _ in range(2):
            sender.send(number, bytes([number]) * 1500)
    order = [m.channel_no for m in receiver.receive(everything(sender))]
    assert order == [1, 2, 1, 2]


def test_a_sender_without_credit_waits_until_the_program_has_consumed():
    sender, receiver = pair((7, SMALL))
    for _ in range(4):
        sender.send(7, b"x" * 1900)
    arrived = receiver.receive(everything(sender))
    assert len(arrived) == 2
    assert sender.queued_bytes(7) > 0
    for message in arrived:
        receiver.consumed(message)
    sender.receive(everything(receiver))
    assert len(receiver.receive(everything(sender))) == 2


def test_a_peer_that_ignores_its_credit_is_cut_off():
    _, receiver = pair((7, SMALL))
    flood = frame(Kind.END, 7, b"x" * 1900) * 3
    with pytest.raises(PeerViolation) as caught:
        receiver.receive(flood)
    assert caught.value.code is ErrorCode.E_CHANNEL_CREDIT


def test_empty_messages_cost_credit_too():
    _, receiver = pair((7, SMALL))
    with pytest.raises(PeerViolation) as caught:
        receiver.receive(frame(Kind.END, 7, b"") * 1000)
    assert caught.value.code is ErrorCode.E_CHANNEL_CREDIT


def test_msg_14_tiny_messages_cannot_make_a_receiver_hold_many_times_its_window():
    _, receiver = pair((7, CHANNEL_TERMS["screen"]))
    window_bytes = CHANNEL_TERMS["screen"].window_bytes
    held = receiver.receive(frame(Kind.END, 7, b"") * (window_bytes // 64))
    with pytest.raises(PeerViolation):
        receiver.receive(frame(Kind.END, 7, b""))
    assert sum(map(sys.getsizeof, held)) + sum(sys.getsizeof(one.content) for one in held) < 2 * window_bytes


def test_tiny_messages_flow_on_for_as_long_as_they_are_consumed():
    sender, receiver = pair((7, SMALL))
    got = 0
    for _ in range(50):
        for _ in range(20):
            sender.send(7, b"k")
        for message in receiver.receive(everything(sender)):
            receiver.consumed(message)
            got += 1
        sender.receive(everything(receiver))
    assert got + sender.queued_bytes(7) == 1000
    assert sender.queued_bytes(7) < 200


def test_a_message_over_its_channels_limit_is_refused_before_it_is_whole():
    _, receiver = pair((7, SMALL))
    with pytest.raises(PeerViolation) as caught:
        receiver.receive(frame(Kind.PART, 7, b"x" * 2001))
    assert caught.value.code is ErrorCode.E_MESSAGE_SIZE


@pytest.mark.parametrize(
    ("received", "code"),
    [
        (frame(Kind.END, 9, b"x"), ErrorCode.E_CHANNEL_UNKNOWN),
        (frame(3, 7, b"x"), ErrorCode.E_MESSAGE_FORMAT),
        (frame(Kind.PART, 7, b""), ErrorCode.E_MESSAGE_FORMAT),
        (frame(Kind.CREDIT, 7, b"abc"), ErrorCode.E_MESSAGE_FORMAT),
        (frame(Kind.CREDIT, 7, b"\xff\xff\xff\xff"), ErrorCode.E_CHANNEL_CREDIT),
        (struct.pack(">BHH", 0, 7, 65535), ErrorCode.E_MESSAGE_SIZE),
    ],
    ids=["unknown-channel", "unknown-kind", "empty-part", "short-credit", "credit-bomb", "long-frame"],
)
def test_a_frame_outside_the_rules_ends_the_session_with_its_code(received, code):
    _, receiver = pair((7, SMALL))
    with pytest.raises(PeerViolation) as caught:
        receiver.receive(received)
    assert caught.value.code is code


def test_late_frames_of_a_closed_channel_are_ignored_and_its_number_is_spent():
    sender, receiver = pair((7, SMALL))
    sender.send(7, b"late")
    receiver.close(7)
    receiver.close(7)
    assert receiver.receive(everything(sender)) == []
    with pytest.raises(WrongState):
        receiver.open(7, SMALL)


def test_sending_on_a_closed_channel_or_too_much_is_our_own_mistake():
    sender, _ = pair((7, SMALL))
    with pytest.raises(WrongState):
        sender.send(7, b"x" * 2001)
    sender.close(7)
    with pytest.raises(WrongState):
        sender.send(7, b"x")


def test_every_channels_message_fits_into_half_its_window():
    """Otherwise a partial message and unreturned credit could block each other for ever."""
    for terms in (*CHANNEL_TERMS.values(), CONTROL_TERMS):
        assert terms.message_limit_bytes * 2 <= terms.window_bytes
