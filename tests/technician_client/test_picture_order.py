"""Nothing of an agent's pictures reaches the page that is out of order, out of place or too much."""

from collections import deque

import msgspec
import pytest

from protocol.errors import ErrorCode, PeerViolation
from protocol.messages.screen import (
    BandProof,
    Copy,
    PicturePart,
    Rectangle,
    ScrollCopies,
    VideoEnded,
    VideoFrame,
)
from technician_client.capabilities.screen import PictureOrder

WIDTH, HEIGHT = 128, 64
WHOLE = [Rectangle(0, 0, WIDTH, HEIGHT)]
FIRST = PicturePart(1, 0, WIDTH, HEIGHT, True, True, WHOLE, b"x")
UP = Copy(0, 16, WIDTH, 48, 0, 0)


def part(**changes) -> PicturePart:
    return msgspec.structs.replace(FIRST, **{"picture_no": 2, "is_reset": False} | changes)


def started(*parts: PicturePart) -> PictureOrder:
    order = PictureOrder()
    for one in parts or [FIRST]:
        order.part(one)
    return order


def proof(picture_no: int = 1, y: int = 0, height: int = HEIGHT) -> BandProof:
    return BandProof(picture_no, y, height, bytes(32))


def test_copies_parts_and_proofs_in_their_order_pass():
    order = started()
    order.proof(proof())
    order.copies(ScrollCopies(2, [UP, Copy(0, 0, 64, 64, 64, 0)]))
    order.part(part(is_last=False))
    order.part(part())
    order.proof(proof(2, 32, 32))
    order.copies(ScrollCopies(7, [UP]))
    order.part(part(picture_no=7, rectangles=[], compressed=b""))
    order.part(part(picture_no=8, is_reset=True, width=16, height=16, rectangles=[Rectangle(0, 0, 16, 16)]))


BAD_FIRST = {
    "no rectangle": {"rectangles": []},
    "a rectangle that leaves the display at the right": {"rectangles": [Rectangle(1, 0, WIDTH, HEIGHT)]},
    "a rectangle that leaves the display at the bottom": {"rectangles": [Rectangle(0, 1, WIDTH, HEIGHT)]},
    "no reset at the start": {"is_reset": False},
    "more pixels than a part may have": {
        "width": 4096,
        "height": 4096,
        "rectangles": [Rectangle(0, 0, 4096, 4096)],
    },
    "a display that no memory holds": {"width": 16_384, "height": 16_384},
}


@pytest.mark.parametrize("what", BAD_FIRST)
def test_a_first_part_is_refused_with(what):
    with pytest.raises(PeerViolation):
        PictureOrder().part(msgspec.structs.replace(FIRST, **BAD_FIRST[what]))


def test_the_largest_display_of_8k_passes():
    PictureOrder().part(msgspec.structs.replace(FIRST, width=7680, height=4320))


BAD_SECOND = {
    "the number of a picture that is complete": {"picture_no": 1},
    "another size without a reset": {"height": 128},
    "no rectangle, and no copies either": {"rectangles": [], "compressed": b""},
}


@pytest.mark.parametrize("what", BAD_SECOND)
def test_a_second_picture_is_refused_with(what):
    with pytest.raises(PeerViolation):
        started().part(part(**BAD_SECOND[what]))


BAD_MIDDLE = {
    "another picture's number": {"picture_no": 3},
    "a reset": {"is_reset": True},
}


@pytest.mark.parametrize("what", BAD_MIDDLE)
def test_a_picture_is_not_continued_with(what):
    order = started(FIRST, part(is_last=False))
    with pytest.raises(PeerViolation):
        order.part(part(**BAD_MIDDLE[what]))


def test_parts_that_paint_the_same_place_for_ever_are_refused():
    order = started()
    same = [part(is_last=False)] * 100
    with pytest.raises(PeerViolation) as refusal:
        deque(map(order.part, same))
    assert refusal.value.code is ErrorCode.E_MESSAGE_SIZE


BAD_COPIES = {
    "before the first picture": ([], ScrollCopies(1, [UP])),
    "of the picture before": ([FIRST], ScrollCopies(1, [UP])),
    "in the middle of a picture": ([FIRST, part(is_last=False)], ScrollCopies(2, [UP])),
    "from outside at the right": ([FIRST], ScrollCopies(2, [Copy(1, 0, WIDTH, 1, 0, 0)])),
    "from outside at the bottom": ([FIRST], ScrollCopies(2, [Copy(0, 1, 1, HEIGHT, 0, 0)])),
    "to the outside at the right": ([FIRST], ScrollCopies(2, [Copy(0, 0, WIDTH, 1, 1, 0)])),
    "to the outside at the bottom": ([FIRST], ScrollCopies(2, [UP, Copy(0, 0, 1, HEIGHT, 0, 1)])),
}


@pytest.mark.parametrize("what", BAD_COPIES)
def test_copies_are_refused(what):
    before, copies = BAD_COPIES[what]
    order = PictureOrder()
    for one in before:
        order.part(one)
    with pytest.raises(PeerViolation):
        order.copies(copies)


AFTER_COPIES = {
    "more copies": lambda order: order.copies(ScrollCopies(3, [UP])),
    "a reset": lambda order: order.part(part(is_reset=True)),
    "another picture": lambda order: order.part(part(picture_no=3)),
    "a proof": lambda order: order.proof(proof(2)),
    "an empty part that is not the last": lambda order: order.part(
        part(rectangles=[], compressed=b"", is_last=False)
    ),
    "an empty part with bytes": lambda order: order.part(part(rectangles=[])),
}


@pytest.mark.parametrize("what", AFTER_COPIES)
def test_copies_are_not_followed_by(what):
    order = started()
    order.copies(ScrollCopies(2, [UP]))
    with pytest.raises(PeerViolation):
        AFTER_COPIES[what](order)


BAD_PROOFS = {
    "of a picture that did not come": proof(2),
    "of rows that are not there": proof(1, 1, HEIGHT),
}


@pytest.mark.parametrize("what", BAD_PROOFS)
def test_a_proof_is_refused(what):
    with pytest.raises(PeerViolation):
        started().proof(BAD_PROOFS[what])


def test_proofs_without_end_of_one_picture_are_refused():
    order = started()
    with pytest.raises(PeerViolation):
        deque(map(order.proof, [proof()] * 10))


PLACE = Rectangle(16, 0, 64, 32)
KEY = VideoFrame(1, 2, PLACE, "vp8", True, b"x")


def frame(**changes) -> VideoFrame:
    return msgspec.structs.replace(KEY, **changes)


def with_video(codecs=("vp8", "vp09")) -> PictureOrder:
    """A region is there, and its picture is complete."""
    order = started()
    order.decodes(codecs)
    order.video(KEY)
    order.part(part(rectangles=[], compressed=b""))
    return order


def test_frames_growth_and_the_end_of_a_region_pass():
    order = with_video()
    order.copies(ScrollCopies(3, [UP]))
    order.video(frame(picture_no=3, is_key=False))
    order.video(frame(picture_no=3, region_no=2, rectangle=Rectangle(80, 32, 32, 32)))
    order.part(part(picture_no=3))
    order.video(frame(picture_no=4, rectangle=Rectangle(0, 0, 96, 32), codec="vp09"))
    order.video_ended(VideoEnded(2, 4))
    order.part(part(picture_no=4, rectangles=[], compressed=b""))
    order.proof(proof(4))
    order.part(part(picture_no=5, is_reset=True))
    order.video(frame(picture_no=6, region_no=3))


BAD_FRAMES = {
    "a codec that we did not name": frame(picture_no=3, region_no=2, codec="av01"),
    "a place outside": frame(picture_no=3, region_no=2, rectangle=Rectangle(100, 0, 64, 32)),
    "no keyframe first": frame(picture_no=3, region_no=2, is_key=False),
    "the number of an old picture": frame(is_key=False),
    "another rectangle without a keyframe": frame(
        picture_no=3, is_key=False, rectangle=Rectangle(0, 0, 96, 32)
    ),
    "another codec without a keyframe": frame(picture_no=3, is_key=False, codec="vp09"),
    "a rectangle that does not hold the one before": frame(picture_no=3, rectangle=Rectangle(16, 0, 64, 16)),
}


@pytest.mark.parametrize("what", BAD_FRAMES)
def test_video_is_refused_with(what):
    with pytest.raises(PeerViolation):
        with_video().video(BAD_FRAMES[what])


def test_video_is_refused_before_a_picture_and_before_we_named_a_codec():
    with pytest.raises(PeerViolation):
        PictureOrder().video(frame(picture_no=1))
    with pytest.raises(PeerViolation):
        started().video(KEY)


def test_a_second_frame_of_a_region_in_a_picture_is_refused():
    order = with_video()
    order.video(frame(picture_no=3, is_key=False))
    with pytest.raises(PeerViolation):
        order.video(frame(picture_no=3, is_key=False))


def test_a_region_too_many_and_a_number_used_before_are_refused():
    order = with_video()
    for region_no in (2, 3):
        order.video(frame(picture_no=3, region_no=region_no))
    with pytest.raises(PeerViolation):
        order.video(frame(picture_no=3, region_no=4))
    order = with_video()
    order.video_ended(VideoEnded(1, 3))
    with pytest.raises(PeerViolation):
        order.video(frame(picture_no=3))


def test_the_end_of_a_region_that_there_is_not_is_refused():
    with pytest.raises(PeerViolation):
        with_video().video_ended(VideoEnded(2, 3))


def test_after_a_restart_numbers_and_regions_start_anew_and_codecs_stay():
    order = with_video()
    order.part(part(picture_no=3, is_last=False))  # the worker died in the middle of it
    order.restarted()
    order.part(FIRST)
    order.video(KEY)
    order.part(part(rectangles=[], compressed=b""))


def test_after_a_restart_the_first_part_is_a_reset():
    order = started()
    order.restarted()
    with pytest.raises(PeerViolation):
        order.part(part())


def test_a_channel_has_one_restart():
    order = started()
    order.restarted()
    with pytest.raises(PeerViolation):
        order.restarted()
