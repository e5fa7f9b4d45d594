"""What goes between page and process: parsing, packing, texts made fit to be shown."""

import struct
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, PeerViolation
from protocol.messages.input import InputEvents, Key, PointerMove, ReleaseAll
from protocol.messages.screen import (
    BandProof,
    Copy,
    CursorShape,
    PicturePart,
    Rectangle,
    ScrollCopies,
    VideoEnded,
    VideoFrame,
)
from technician_client.console import page_messages as say
from technician_client.console.input_feed import QUEUE_LIMIT_MESSAGES, InputQueue
from technician_client.console.picture_wire import (
    Shown,
    pack_copies,
    pack_cursor,
    pack_part,
    pack_proof,
    pack_video,
    pack_video_ended,
)
from technician_client.console.shown import OutputText, shown_tree
from technician_client.console.views import catalogue_view, device_view, devices_view
from tests.support.console_fakes import HOSTILE, HOSTILE_NAME, FakeConsoleApp, device_row


def test_input_of_the_page_becomes_events_of_the_protocol() -> None:
    text = '{"type":"input","display_index":1,"events":[{"type":"input.key","keysym":97,"is_pressed":true}]}'
    assert say.decode_from_page(text) == say.PageInput(1, [Key(97, True)])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"type":"unknown"}', '{"type":"end","extra":1}', '{"type":"seen","sequence":0}',
     '{"type":"seen","sequence":"1"}', '{"type":"input","display_index":0,"events":[]}',
     '{"type":"input","display_index":0,"events":[{"type":"input.key","keysym":0,"is_pressed":true}]}',
     '{"type":"ask","grantables":[],"reason":"","ticket_number":"","length_s":60}',
     '{"type":"ask","grantables":["a"],"reason":"' + "x" * 301 + '","ticket_number":"","length_s":60}',
     "[" * 5000],
)  # fmt: skip
def test_a_malformed_message_of_the_page_is_a_violation(text: str) -> None:
    with pytest.raises(PeerViolation) as refusal:
        say.decode_from_page(text)
    assert refusal.value.code is ErrorCode.E_MESSAGE_FORMAT


def test_an_oversized_message_of_the_page_is_not_parsed() -> None:
    with pytest.raises(PeerViolation) as refusal:
        say.decode_from_page(" " * (say.PAGE_MESSAGE_LIMIT_BYTES + 1))
    assert refusal.value.code is ErrorCode.E_MESSAGE_SIZE


@given(st.text(max_size=300))
def test_noise_of_the_page_raises_only_what_is_documented(noise: str) -> None:
    with pytest.raises(PeerViolation):
        say.decode_from_page(noise)


def test_a_picture_part_is_head_then_rectangles_then_what_the_agent_compressed() -> None:
    rectangles = [Rectangle(0, 0, 2, 1), Rectangle(62, 31, 1, 1)]
    part = PicturePart(99, 5, 64, 32, False, True, rectangles, b"squeezed")
    packed = pack_part(Shown(7, 1234.5), part)
    assert struct.unpack_from("<BBHIdII", packed) == (1, 1, 2, 7, 1234.5, 64, 32)
    assert struct.unpack_from("<4H4H", packed, 24) == (0, 0, 2, 1, 62, 31, 1, 1)
    assert packed[40:] == b"squeezed"


def test_copies_and_proofs_carry_our_number_of_the_picture() -> None:
    copies = pack_copies(7, ScrollCopies(99, [Copy(0, 16, 64, 48, 0, 0), Copy(1, 2, 3, 4, 5, 6)]))
    assert struct.unpack("<BBHI6H6H", copies) == (3, 0, 2, 7, 0, 16, 64, 48, 0, 0, 1, 2, 3, 4, 5, 6)
    proof = pack_proof(7, BandProof(99, 16, 64, bytes(range(32))))
    assert struct.unpack("<BBHIHH32s", proof) == (4, 0, 0, 7, 16, 64, bytes(range(32)))


def test_video_carries_our_number_its_region_place_and_codec() -> None:
    packed = pack_video(7, VideoFrame(3, 99, Rectangle(16, 32, 64, 48), "vp8", True, b"frame"))
    assert struct.unpack("<BBHIIHHHH3s5s", packed) == (5, 1, 3, 7, 3, 16, 32, 64, 48, b"vp8", b"frame")
    ended = pack_video_ended(7, VideoEnded(3, 99))
    assert struct.unpack("<BBHII", ended) == (6, 0, 0, 7, 3)


def test_a_cursor_whose_pixels_do_not_match_its_size_never_reaches_the_page() -> None:
    assert len(pack_cursor(CursorShape(1, 2, 0, 0, bytes(8)))) == 12 + 8
    with pytest.raises(PeerViolation):
        pack_cursor(CursorShape(1, 2, 0, 0, bytes(7)))


def test_moves_replace_moves_and_nothing_else() -> None:
    queue = InputQueue()
    queue.offer(0, [PointerMove(1, 1)], 10)
    queue.offer(0, [PointerMove(2, 2)], 11)
    queue.offer(0, [Key(97, True)], 12)
    queue.offer(0, [PointerMove(3, 3)], 13)
    taken = [queue.take() for _ in range(4)]
    assert taken == [
        InputEvents(11, 0, [PointerMove(2, 2)]),
        InputEvents(12, 0, [Key(97, True)]),
        InputEvents(13, 0, [PointerMove(3, 3)]),
        None,
    ]


def test_msg_16_input_that_nobody_takes_stays_bounded_and_leaves_no_key_down() -> None:
    queue = InputQueue()
    for number in range(QUEUE_LIMIT_MESSAGES + 1):
        queue.offer(0, [Key(97, number % 2 == 0)], number)
    assert isinstance(queue.take(), ReleaseAll)
    assert queue.take() == InputEvents(QUEUE_LIMIT_MESSAGES, 0, [Key(97, True)])
    assert queue.take() is None


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_command_output_does_not_depend_on_its_cuts_and_hides_control_characters(
    output: bytes, cuts: list[int]
) -> None:
    whole = OutputText().feed(output)
    text = OutputText()
    edges = [0, *sorted(min(cut, len(output)) for cut in cuts), len(output)]
    pieces = "".join(text.feed(output[start:end]) for start, end in pairwise(edges))
    assert pieces == whole
    assert "\x1b" not in whole
    assert "\u202e" not in whole


def test_hidden_characters_of_a_snapshot_are_replaced_everywhere() -> None:
    tree = {"a": ["x\u202ey", {"b": "n\x00l"}], "n": 1, "f": 0.5, "none": None}
    assert shown_tree(tree) == {"a": ["x\ufffdy", {"b": "n\ufffdl"}], "n": 1, "f": 0.5, "none": None}


def test_a_device_name_is_text_without_direction_tricks() -> None:
    view = device_view(device_row(HOSTILE, HOSTILE_NAME))
    assert view.name.startswith("<img src=x")
    assert "\u202e" not in view.name


def test_removed_devices_are_not_listed() -> None:
    rows = [device_row(HOSTILE, "b"), device_row(HOSTILE, "a"), device_row(HOSTILE, "c", status="removed")]
    assert [view.name for view in devices_view(rows).devices] == ["a", "b"]


def test_every_shipped_command_has_a_view_with_its_digest() -> None:
    catalogue = FakeConsoleApp().catalogue()
    views = catalogue_view(catalogue).entries
    assert [view.sha256 for view in views] == [entry.sha256 for entry in catalogue.entries]
    assert {parameter.type for view in views for parameter in view.parameters} >= {"hostname", "service"}
    assert msgspec.json.encode(views)
