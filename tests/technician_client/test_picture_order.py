"""Nothing of an agent's pictures reaches the page that is out of order, out of place or too much."""

from collections import deque

import msgspec
import pytest

from protocol.errors import ErrorCode, PeerViolation
from protocol.messages.screen import BandProof, Copy, PicturePart, Rectangle, ScrollCopies
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
