"""A hostile agent's screen channel against the technician client (THREATS.md P16, MSG-02, MSG-03, MSG-14)."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capabilities.screen.pictures import PictureMaker
from agent.capabilities.screen.pixel_tools import NumpyPixels, PixelTools, pixel_tools
from agent.capabilities.screen.worker import newest
from agent.platform.interfaces import Area
from protocol.errors import ErrorCode, PeerViolation
from protocol.limits import (
    COPIES_PER_PICTURE_LIMIT,
    PICTURE_AREA_LIMIT_PIXELS,
    PICTURE_PART_RAW_LIMIT_BYTES,
    PICTURE_PART_TILES_LIMIT,
    SCREEN_MESSAGE_LIMIT_BYTES,
    VIDEO_REGIONS_LIMIT,
)
from protocol.messages import screen
from protocol.messages.screen import FROM_AGENT_CODEC, BandProof, Copy, PicturePart, Rectangle, ScrollCopies
from technician_client.capabilities.screen import PictureOrder
from technician_client.console.page import PageGone
from technician_client.console.page_messages import SayDisplays, ToPage
from technician_client.console.picture_feed import PictureFeed
from tests.support.fake_screen import FakeChannel

ONE = screen.DisplayMode.ONE
WIDTH, HEIGHT = 1920, 1080
TILES = 30 * 17
DOT = Rectangle(7, 7, 1, 1)
CODEC = "vp8"
ENDLESS = 100_000


def begun(width: int = WIDTH, height: int = HEIGHT) -> PictureOrder:
    """After a first picture."""
    order = PictureOrder()
    order.decodes([CODEC])
    order.part(PicturePart(1, 0, width, height, True, True, [Rectangle(0, 0, 1, 1)], b"x"))
    return order


def refused_after(act: Callable[[int], None]) -> tuple[int, ErrorCode]:
    """How often it went well."""
    for count in range(ENDLESS):
        try:
            act(count)
        except PeerViolation as exc:
            return count, exc.code
    raise AssertionError("nothing stops it")


def test_msg14_a_picture_of_dots_without_end_is_cut_off_while_the_page_can_still_hold_them() -> None:
    """Every rectangle is an object in the page until its picture is complete, which this one never is."""
    order = begun()
    dots = [DOT] * PICTURE_PART_TILES_LIMIT
    parts, code = refused_after(
        lambda _: order.part(PicturePart(2, 0, WIDTH, HEIGHT, False, False, dots, b"x"))
    )
    assert parts * len(dots) <= 3 * TILES
    assert code is ErrorCode.E_MESSAGE_SIZE


def test_msg03_a_part_of_one_pixel_is_not_two_megabytes_of_empty_blocks() -> None:
    order = begun()
    blocks = bytes(SCREEN_MESSAGE_LIMIT_BYTES - 1000)  # raw blocks of no byte: they inflate to nothing
    with pytest.raises(PeerViolation) as refused:
        order.part(PicturePart(2, 0, WIDTH, HEIGHT, False, False, [DOT], blocks))
    assert refused.value.code is ErrorCode.E_MESSAGE_SIZE


def test_msg14_regions_that_begin_and_end_without_end_in_one_picture_are_cut_off() -> None:
    """Each one is a decoder in the page, and nothing has to be acknowledged between them."""
    order = begun()

    def begin_and_end(count: int) -> None:
        order.video(screen.VideoFrame(count + 1, 2, Rectangle(0, 0, 64, 64), CODEC, True, b"k"))
        order.video_ended(screen.VideoEnded(count + 1, 2))

    assert refused_after(begin_and_end)[0] <= 2 * VIDEO_REGIONS_LIMIT


@pytest.mark.parametrize(
    "message",
    [
        screen.Displays([screen.DisplayFacts(1 << 60, 0, 0, 1, 1, 1.0)], 0, ONE, "x"),
        screen.Displays([screen.DisplayFacts(-1, 0, 0, 1, 1, 1.0)], 0, ONE, "x"),
        screen.Displays([screen.DisplayFacts(0, 0, 0, 1, 1, float("nan"))], 0, ONE, "x"),
        screen.Displays([screen.DisplayFacts(0, 0, 0, 1, 1, float("inf"))], 0, ONE, "x"),
        screen.Displays([screen.DisplayFacts(0, 0, 0, 1, 1, -1.0)], 0, ONE, "x"),
        PicturePart(1, 1 << 63, 1, 1, True, True, [DOT], b"x"),
        PicturePart(1, -1, 1, 1, True, True, [DOT], b"x"),
    ],
)
def test_msg05_numbers_that_no_display_and_no_clock_have_are_refused(message: screen.FromAgent) -> None:
    with pytest.raises(PeerViolation):
        FROM_AGENT_CODEC.decode(FROM_AGENT_CODEC.encode(message))


class Listener:
    """A page that keeps what it is told, and then leaves."""

    def __init__(self) -> None:
        self.told: list[ToPage] = []

    async def say(self, message: ToPage) -> None:
        """See `Page`."""
        self.told.append(message)
        raise PageGone

    async def show(self, picture: bytes) -> None:
        """See `Page`."""

    async def hear(self) -> str:
        """See `Page`."""
        raise PageGone


async def test_msg08_what_a_source_calls_itself_cannot_steer_a_terminal_or_turn_a_line_around() -> None:
    channel, page = FakeChannel(), Listener()
    facts = [screen.DisplayFacts(0, 0, 0, 1, 1, 1.0)]
    channel.to_page(FROM_AGENT_CODEC.encode(screen.Displays(facts, 0, ONE, "\x1b[2Jxcffib\u202e\0")))
    with pytest.raises(PageGone):
        await PictureFeed(channel, page, lambda: 0.0).serve()
    [told] = page.told
    assert isinstance(told, SayDisplays)
    assert told.source.isprintable()


SIDES = st.sampled_from([1, 2, 63, 64, 65, 200, 5000, 16_384])
PLACES = st.tuples(SIDES | st.just(0), SIDES | st.just(0), SIDES, SIDES)
NUMBERS = st.integers(1, 6)
PARTS = st.builds(
    PicturePart,
    picture_no=NUMBERS,
    captured_at_ms=st.just(0),
    width=st.sampled_from([1, 200, 5000, 16_384]),
    height=st.sampled_from([1, 200, 5000, 16_384]),
    is_reset=st.booleans(),
    is_last=st.booleans(),
    rectangles=st.lists(PLACES.map(lambda place: Rectangle(*place)), max_size=4),
    compressed=st.sampled_from([b"", b"x", bytes(5000)]),
)
COPIES = st.builds(
    ScrollCopies,
    picture_no=NUMBERS,
    copies=st.lists(
        st.tuples(PLACES, SIDES, SIDES).map(lambda one: Copy(*one[0], one[1], one[2])), min_size=1, max_size=3
    ),
)
PROOFS = st.builds(
    BandProof, picture_no=NUMBERS, y=SIDES | st.just(0), height=SIDES, sha256=st.just(bytes(32))
)
FRAMES = st.builds(
    screen.VideoFrame,
    region_no=NUMBERS,
    picture_no=NUMBERS,
    rectangle=PLACES.map(lambda place: Rectangle(*place)),
    codec=st.sampled_from([CODEC, "av1"]),
    is_key=st.booleans(),
    encoded=st.just(b"x"),
)
ENDS = st.builds(screen.VideoEnded, region_no=NUMBERS, picture_no=NUMBERS)
MESSAGES = st.lists(st.one_of(PARTS, PARTS, COPIES, PROOFS, FRAMES, ENDS), max_size=30)


class PageModel:
    """What the page does with memory; like the page, it checks nothing itself."""

    def __init__(self) -> None:
        self.size = (0, 0)
        self.regions: set[int] = set()

    def take(self, message: Any) -> None:
        """Asserts that nothing leaves the picture."""
        match message:
            case PicturePart():
                self.part(message)
            case ScrollCopies(copies=copies):
                assert len(copies) <= COPIES_PER_PICTURE_LIMIT
                for one in copies:
                    self.is_inside(one.x, one.y, one.width, one.height)
                    self.is_inside(one.to_x, one.to_y, one.width, one.height)
            case BandProof(y=y, height=height):
                self.is_inside(0, y, 1, height)
            case screen.VideoFrame(rectangle=one):
                self.is_inside(one.x, one.y, one.width, one.height)
                assert message.is_key or message.region_no in self.regions
                self.regions.add(message.region_no)
                assert len(self.regions) <= VIDEO_REGIONS_LIMIT
            case screen.VideoEnded():
                self.regions.remove(message.region_no)

    def part(self, part: PicturePart) -> None:
        """Its size is the picture's, and what is inflated is bounded."""
        if part.is_reset:
            self.size = (part.width, part.height)
            self.regions.clear()
        assert (part.width, part.height) == self.size
        assert part.width * part.height <= PICTURE_AREA_LIMIT_PIXELS
        for one in part.rectangles:
            self.is_inside(one.x, one.y, one.width, one.height)
        size_bytes = sum(one.width * one.height * 3 for one in part.rectangles)
        assert size_bytes <= PICTURE_PART_RAW_LIMIT_BYTES
        assert len(part.compressed) <= 1.01 * size_bytes + 512

    def is_inside(self, x: int, y: int, width: int, height: int) -> None:
        """Of the picture that there is."""
        assert x + width <= self.size[0]
        assert y + height <= self.size[1]


def take(order: PictureOrder, message: Any) -> None:
    """As the console does."""
    checks: dict[type, Callable[[Any], None]] = {
        PicturePart: order.part,
        ScrollCopies: order.copies,
        BandProof: order.proof,
        screen.VideoFrame: order.video,
        screen.VideoEnded: order.video_ended,
    }
    checks[type(message)](message)


def passed(order: PictureOrder, messages: list[Any]) -> Iterator[Any]:
    """Those that a page gets to see."""
    with contextlib.suppress(PeerViolation):
        for message in messages:
            take(order, message)
            yield message


@settings(max_examples=400)
@given(MESSAGES, st.booleans())
def test_p16_whatever_an_agent_sends_nothing_leaves_the_picture_in_the_page(
    messages: list[Any], has_begun: bool
) -> None:
    order, page = PictureOrder(), PageModel()
    order.decodes([CODEC])
    first = [PicturePart(1, 0, 200, 5000, True, True, [DOT], b"x")] if has_begun else []
    for message in passed(order, [*first, *messages]):
        page.take(message)


@pytest.mark.parametrize("tools", [pixel_tools, NumpyPixels], ids=["best", "numpy"])
@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 300)),
    seed=st.integers(0, 1 << 30),
    budgets=st.lists(st.sampled_from([1, 3000, 1 << 40]), min_size=1, max_size=8),
)
def test_what_an_honest_agent_sends_is_never_refused(
    tools: Callable[[int, int], PixelTools], size: tuple[int, int], seed: int, budgets: list[int]
) -> None:
    """Noise, which no compressor makes smaller, and contents that move, with any budget."""
    width, height = size
    random = np.random.default_rng(seed)
    maker, order = PictureMaker(width, height, tools), PictureOrder()
    desktop = random.integers(0, 256, (height, width, 4), np.uint8)
    for number, budget_bytes in enumerate(budgets):
        left, top = int(random.integers(0, width)), int(random.integers(0, height))
        if number % 2:
            desktop = np.roll(desktop, (top % 40, left % 40), (0, 1))
        desktop[top : top + 90, left : left + 90] ^= np.uint8(random.integers(1, 256))
        maker.damage([Area(0, 0, width, height)])
        area = maker.wanted()
        if area is not None:
            pixels = desktop[area.y : area.bottom, area.x : area.right]
            for message in maker.make(pixels, area, number, budget_bytes):
                take(order, message)
            maker.seen(maker.last_no)


@pytest.mark.parametrize("last", [screen.ShowDisplay(1), screen.ShowAll(), screen.Follow()])
def test_msg14_a_viewer_that_asks_for_displays_without_end_gets_the_last_one_and_all_else(
    last: screen.FromTechnician,
) -> None:
    """Each wish that is followed costs the memory of a whole picture."""
    seen = screen.PictureSeen(3)
    flood = [screen.ShowDisplay(0), screen.ShowAll(), screen.Follow()] * 1000
    assert newest([*flood, seen, last, screen.Refresh()]) == [seen, last, screen.Refresh()]
    assert newest([]) == []
