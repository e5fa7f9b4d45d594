"""What the viewer decodes is what was on the screen; and never more than two pictures are under way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capabilities.screen.pictures import UNLIMITED_BYTES, PictureMaker
from agent.platform.interfaces import Area
from protocol.errors import PeerViolation
from protocol.limits import (
    PICTURE_PART_RAW_LIMIT_BYTES,
    PICTURE_PART_TILES_LIMIT,
    PICTURES_IN_FLIGHT_LIMIT,
)
from protocol.messages.screen import FROM_AGENT_CODEC, PicturePart, ProofFailed, ScrollCopies
from tests.support.viewer import Viewer


class Screen:
    """Pixels, a maker and a viewer that paints what the maker sends."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels = np.zeros((height, width, 4), np.uint8)
        self.maker = PictureMaker(width, height)
        self.viewer = Viewer()
        self.now_ms = 0

    def draw(self, area: Area, seed: int) -> None:
        part = self.pixels[area.y : area.bottom, area.x : area.right]
        part[:] = np.random.default_rng(seed).integers(0, 4, part.shape, dtype=np.uint8) * 60
        self.maker.damage([area])

    def picture(self, budget_bytes: int = UNLIMITED_BYTES) -> list[ScrollCopies | PicturePart]:
        area = self.maker.wanted()
        if area is None:
            return []
        pixels = self.pixels[area.y : area.bottom, area.x : area.right]
        self.now_ms += 20
        return self.maker.make(pixels, area, self.now_ms, budget_bytes)

    def show(self, budget_bytes: int = UNLIMITED_BYTES) -> list[ScrollCopies | PicturePart]:
        messages = self.picture(budget_bytes)
        for message in messages:
            seen = self.viewer.show(FROM_AGENT_CODEC.decode(FROM_AGENT_CODEC.encode(message)))
            assert bool(seen) == (message is messages[-1])
            if seen:
                self.maker.seen(seen)
        return messages

    def is_shown(self) -> bool:
        return np.array_equal(self.viewer.bgr(), self.pixels[..., :3])


AREAS = st.tuples(st.integers(0, 220), st.integers(0, 180), st.integers(1, 230), st.integers(1, 190))
STEPS = st.lists(
    st.one_of(AREAS, st.just("refresh"), st.tuples(st.integers(1, 230), st.integers(1, 190))), max_size=8
)


@given(STEPS)
def test_the_viewer_has_every_pixel_after_each_picture(steps):
    screen = Screen(230, 190)
    screen.show()
    for seed, step in enumerate(steps):
        if step == "refresh":
            screen.maker.refresh()
        elif len(step) == 2:
            screen.pixels = np.full((step[1], step[0], 4), seed, np.uint8)
            screen.maker.resize(*step)
        else:
            height, width, _ = screen.pixels.shape
            area = Area(*step).common_with(Area(0, 0, width, height))
            if area is not None:
                screen.draw(area, seed)
        screen.show()
        assert screen.is_shown()


def test_the_first_picture_is_a_reset_of_the_whole_display():
    screen = Screen(200, 100)
    (part,) = screen.show()
    assert part.is_reset
    assert part.is_last
    assert sum(one.width * one.height for one in part.rectangles) == 200 * 100


def test_damage_without_a_change_sends_nothing():
    screen = Screen(200, 100)
    screen.show()
    screen.maker.damage([Area(0, 0, 200, 100)])
    assert screen.picture() == []
    assert not screen.maker.is_pending


def test_nothing_is_wanted_while_nothing_was_damaged():
    screen = Screen(200, 100)
    screen.show()
    assert screen.maker.wanted() is None


def test_a_glyph_sends_no_more_than_what_differs():
    screen = Screen(640, 480)
    screen.show()
    screen.draw(Area(130, 70, 8, 16), 3)
    screen.maker.damage([Area(0, 0, 640, 480)])
    (part,) = screen.picture()
    assert [(one.x, one.y, one.width, one.height) for one in part.rectangles] == [(130, 70, 8, 16)]
    assert len(part.compressed) < 300


def test_while_the_viewer_is_behind_damage_is_kept_and_only_the_newest_pixels_are_sent():
    screen = Screen(300, 300)
    screen.show()
    under_way = []
    for seed in range(PICTURES_IN_FLIGHT_LIMIT):
        screen.draw(Area(0, 0, 10, 10), seed)
        under_way += screen.picture()
    for seed in range(20):
        screen.draw(Area(seed * 10, 0, 10, 10), 100 + seed)
        assert screen.picture() == []
    assert screen.maker.is_pending
    for part in under_way:
        screen.viewer.paint(part)
    screen.maker.seen(under_way[0].picture_no)
    (newest,) = screen.picture()
    screen.viewer.paint(newest)
    assert screen.is_shown()


def test_a_refresh_starts_a_new_stream_even_when_the_viewer_never_acknowledged():
    screen = Screen(100, 100)
    screen.picture()
    for seed in range(PICTURES_IN_FLIGHT_LIMIT):
        screen.draw(Area(0, 0, 10, 10), seed)
        screen.picture()
    assert screen.maker.wanted() is None
    screen.maker.refresh()
    screen.viewer = Viewer()
    (part,) = screen.show()
    assert part.is_reset
    assert screen.is_shown()


def test_late_and_repeated_acknowledgements_are_harmless():
    screen = Screen(100, 100)
    screen.show()
    screen.maker.seen(1)
    screen.maker.refresh()
    screen.show()
    screen.maker.seen(1)
    assert screen.is_shown()


def test_a_picture_that_was_never_sent_cannot_have_been_seen():
    screen = Screen(100, 100)
    screen.show()
    with pytest.raises(PeerViolation):
        screen.maker.seen(2)


@given(STEPS, st.integers(1, 60_000))
def test_a_budget_cuts_pictures_and_the_rest_follows_until_all_is_exact(steps, budget_bytes):
    screen = Screen(230, 190)
    for seed, step in enumerate(["refresh", *steps]):
        if step == "refresh":
            screen.maker.refresh()
        elif len(step) == 4 and (area := Area(*step).common_with(Area(0, 0, 230, 190))) is not None:
            screen.draw(area, seed)
        screen.show(budget_bytes)
    for _ in range(40):
        screen.show(budget_bytes)
    assert not screen.maker.is_pending
    assert screen.is_shown()
    while (proofs := screen.maker.prove(100.0)) != []:
        screen.viewer.show(proofs[0])
    assert screen.viewer.failed_proofs == []


def test_no_picture_is_much_larger_than_its_budget_though_photographs_replace_text():
    screen = Screen(1280, 640)
    screen.show()
    screen.pixels[:] = np.random.default_rng(0).integers(0, 256, screen.pixels.shape, dtype=np.uint8)
    screen.maker.damage([Area(0, 0, 1280, 640)])
    sizes = []
    while screen.maker.is_pending:
        sizes.append(sum(len(part.compressed) for part in screen.show(50_000)))
    assert max(sizes) <= 150_000
    assert screen.is_shown()


def test_a_letter_is_not_behind_a_photograph_that_does_not_fit():
    screen = Screen(1280, 640)
    screen.show()
    for seed in range(6):
        screen.pixels[64:] = np.random.default_rng(seed).integers(0, 256, (576, 1280, 4), dtype=np.uint8)
        screen.pixels[4:20, 4:12] = seed * 9
        screen.maker.damage([Area(0, 64, 1280, 576), Area(4, 4, 8, 16)])
        parts = screen.show(30_000)
        if seed > 1:
            first = parts[0].rectangles[0]
            assert (first.x, first.y) == (4, 4)
            assert screen.maker.is_pending


def test_parts_of_noise_stay_within_the_limits_of_a_message():
    screen = Screen(6000, 400)
    screen.pixels[:] = np.random.default_rng(0).integers(0, 256, screen.pixels.shape, dtype=np.uint8)
    parts = screen.show()
    assert len(parts) > 1
    assert screen.is_shown()
    assert [part.is_reset for part in parts] == [True] + [False] * (len(parts) - 1)
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
    for part in parts:
        assert len(part.rectangles) <= PICTURE_PART_TILES_LIMIT
        assert sum(one.width * one.height * 3 for one in part.rectangles) <= PICTURE_PART_RAW_LIMIT_BYTES


def test_many_scattered_tiles_are_cut_by_the_limit_of_rectangles():
    screen = Screen(64 * 20, 64 * 20)
    screen.show()
    for row in range(20):
        for column in range(0, 20, 2):
            screen.pixels[row * 64, column * 64] = 255
    screen.maker.damage([Area(0, 0, 64 * 20, 64 * 20)])
    parts = screen.show()
    assert [len(part.rectangles) for part in parts] == [85, 85, 30]
    assert screen.is_shown()


def test_a_flipped_pixel_in_the_viewer_is_found_by_a_proof_and_healed():
    screen = Screen(200, 190)
    screen.draw(Area(0, 0, 200, 190), 1)
    screen.show()
    screen.viewer.frame[150, 100, 1] ^= 1
    now_s = 100.0
    while (due_s := screen.maker.due_s) is not None:
        now_s = max(now_s, due_s)
        for proof in screen.maker.prove(now_s):
            screen.viewer.show(proof)
    assert [one.y for one in screen.viewer.failed_proofs] == [128]
    assert len(screen.viewer.proofs) == 3
    screen.maker.proof_failed(screen.viewer.failed_proofs[0])
    assert screen.maker.heal(now_s)
    parts = screen.show()
    assert parts[0].is_reset
    assert screen.is_shown()
    assert screen.maker.proof_failures == 1


def test_many_failures_of_one_fault_send_everything_once():
    screen = Screen(100, 100)
    screen.show()
    for y in (0, 64, 0, 64):
        screen.maker.proof_failed(ProofFailed(1, y))
    assert screen.maker.heal(50.0)
    screen.maker.proof_failed(ProofFailed(1, 0))
    screen.show()
    screen.maker.proof_failed(ProofFailed(1, 64))
    assert not screen.maker.heal(1000.0)


def test_a_proof_of_a_picture_that_was_never_made_cannot_have_failed():
    screen = Screen(100, 100)
    screen.show()
    with pytest.raises(PeerViolation):
        screen.maker.proof_failed(ProofFailed(2, 0))


def test_nothing_is_proved_while_the_viewer_is_behind():
    screen = Screen(100, 100)
    for seed in range(PICTURES_IN_FLIGHT_LIMIT):
        screen.draw(Area(0, 0, 10, 10), seed)
        screen.picture()
    assert screen.maker.due_s is None
    assert screen.maker.prove(100.0) == []
    screen.maker.seen(PICTURES_IN_FLIGHT_LIMIT)
    assert len(screen.maker.prove(100.0)) == 1
