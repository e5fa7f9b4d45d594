"""What becomes video and what does not, and that everything is exact when it rests (no clock, no process)."""

import dataclasses

import numpy as np
import pytest

from agent.capabilities.screen.video.classify import BAD_SHARE, aligned, compressed_share
from agent.capabilities.screen.video.codecs import H264, JPEG, VP8, VP9
from agent.capabilities.screen.video.encoder import EncoderChoice
from agent.capabilities.screen.video.layer import VideoLayer
from agent.platform.interfaces import Area
from protocol.errors import BackendUnavailable
from tests.support.encoders import TimedChoice, open_encoder
from tests.support.moving_pictures import text_lines, video_frame
from tests.support.video_stage import Stage
from tests.support.video_viewer import ALL_CODECS, FrameDecoder

FRAME_S = 1 / 30


def play(stage: Stage, place: Area, seconds: float, first: int = 0) -> None:
    """A video in the place."""
    for number in range(int(seconds / FRAME_S)):
        stage.put(place.x, place.y, video_frame(place.width, place.height, first + number))
        stage.step(FRAME_S)


def rest(stage: Stage, seconds: float) -> None:
    """Nothing happens."""
    for _ in range(int(seconds / 0.01)):
        stage.step(0.01)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def test_text_compresses_well_and_video_badly():
    text, video = text_lines(256, 256, 0), video_frame(256, 256, 0)
    assert compressed_share(text.view(np.uint32)[..., 0]) < BAD_SHARE / 2
    assert compressed_share(video.view(np.uint32)[..., 0]) > 1.3 * BAD_SHARE


@pytest.mark.parametrize(
    "place",
    [Area(101, 67, 640, 360), Area(64, 128, 320, 240), Area(0, 0, 640, 360)],
    ids=["anywhere", "on tiles", "in the corner"],
)
def test_a_playing_video_becomes_one_region_that_fits_it(place):
    stage = Stage(960, 540, [VP8])
    play(stage, place, 1.5)
    (region,) = stage.viewer.regions.values()
    shown = region.rectangle
    assert shown.x <= place.x < shown.x + 16
    assert shown.y <= place.y < shown.y + 16
    assert place.right <= shown.x + shown.width < place.right + 16
    assert place.bottom <= shown.y + shown.height < place.bottom + 16


def test_a_region_starts_within_half_a_second_and_then_nothing_of_it_is_exact():
    stage = Stage(960, 540, [VP8])
    play(stage, Area(96, 64, 640, 352), 0.5)
    assert stage.viewer.regions
    before = stage.exact_bytes
    play(stage, Area(96, 64, 640, 352), 1.0, 50)
    assert stage.exact_bytes == before
    assert stage.video_bytes < 30 * 20_000


def test_text_beside_a_video_is_exact_while_it_plays():
    stage = Stage(960, 540, [VP8])
    for number in range(60):
        stage.put(64, 64, video_frame(640, 352, number))
        stage.put(720, 64, text_lines(200, 400, number))
        stage.put(64, 440, text_lines(400, 64, number // 5))
        stage.step(FRAME_S)
    (region,) = stage.viewer.regions.values()
    assert region.rectangle.x + region.rectangle.width <= 720
    assert np.array_equal(stage.viewer.canvas[:, 720:, 2::-1], stage.pixels[:, 720:, :3])
    assert np.array_equal(stage.viewer.canvas[440:, :, 2::-1], stage.pixels[440:, :, :3])


def test_after_300_ms_of_stillness_everything_is_exact_and_the_region_is_over():
    stage = Stage(960, 540, [VP8])
    play(stage, Area(101, 67, 640, 360), 1.0)
    rest(stage, 0.29 - FRAME_S)
    assert stage.viewer.regions
    assert not stage.is_exact()
    rest(stage, 0.1)
    assert not stage.viewer.regions
    assert len(stage.viewer.video.ended) == 1
    assert stage.is_exact()


def test_a_film_that_stops_before_its_first_frame_was_sent_is_no_region_and_exact():
    for stops_at in range(4, 9):
        stage = Stage(960, 540, [VP8])
        for number in range(stops_at):
            stage.put(96, 64, video_frame(640, 352, number))
            stage.step(FRAME_S)
        rest(stage, 0.6)
        assert not stage.viewer.regions
        assert stage.is_exact()


def test_the_bands_that_a_region_crosses_are_proved_only_after_it():
    stage = Stage(960, 540, [VP8])
    rest(stage, 0.4)
    for _ in range(20):
        stage.prove()
        stage.step(0.2)
    stage.viewer.proofs.clear()
    for number in range(90):
        stage.put(64, 128, video_frame(640, 256, number))
        stage.step(FRAME_S)
        if stage.viewer.regions:
            stage.prove()
    assert all(not 128 <= proof.y < 384 for proof in stage.viewer.proofs)
    for _ in range(30):
        stage.step(0.2)
        stage.prove()
    assert {128, 192, 256, 320} <= {proof.y for proof in stage.viewer.proofs}
    assert not stage.viewer.failed_proofs
    assert stage.is_exact()


def test_new_damage_stops_the_refinement_and_the_stream_goes_on():
    stage = Stage(960, 540, [VP8])
    place = Area(96, 64, 640, 352)
    play(stage, place, 1.0)
    stage.now_s += 0.35
    stage.maker.settle(stage.now_s)
    assert stage.maker.wanted() is not None
    before = len(stage.viewer.video.frames)
    play(stage, place, 0.2, 70)
    assert stage.viewer.video.ended == []
    added = stage.viewer.video.frames[before:]
    assert len(added) == 6
    assert not any(frame.is_key for frame in added)
    rest(stage, 0.5)
    assert stage.is_exact()


def test_a_program_that_paints_the_same_again_and_again_rests():
    stage = Stage(960, 540, [VP8])
    place = Area(96, 64, 640, 352)
    play(stage, place, 1.0)
    for _ in range(30):
        stage.put(place.x, place.y, video_frame(place.width, place.height, 29))
        stage.step(FRAME_S)
    assert not stage.viewer.regions
    assert stage.is_exact()


def scrolling_text(stage: Stage, step: int) -> None:
    stage.scroll_up(Area(32, 32, 800, 480), 16)
    stage.put(32, 496, text_lines(800, 16, step))


def replaced_text(stage: Stage, step: int) -> None:
    stage.put(32, 32, text_lines(800, 480, step * 40))


def typing(stage: Stage, step: int) -> None:
    if step % 12 == 0:
        stage.put(32 + step // 12 * 8, 64, text_lines(8, 16, step))


def blinking_cursor(stage: Stage, step: int) -> None:
    if step % 30 == 0:
        stage.put(300, 200, np.full((16, 2, 4), 255 * (step // 30 % 2), np.uint8))


def clock(stage: Stage, step: int) -> None:
    if step % 6 == 0:
        stage.put(800, 500, text_lines(80, 16, step))


def spinner(stage: Stage, step: int) -> None:
    stage.put(400, 300, video_frame(32, 32, step))


def dragged_window(stage: Stage, step: int) -> None:
    stage.put(0, 0, text_lines(960, 540, 0))
    stage.put(20 + step * 4, 40 + step, text_lines(400, 300, 7))


def panned_slides(stage: Stage, step: int) -> None:
    """A photograph that moves sideways, and every 24 steps another one."""
    slide, moved = divmod(step, 24)
    stage.put(0, 0, SLIDES[slide % 2][:, moved * 16 : moved * 16 + 960])


SLIDES = [video_frame(960 + 24 * 16, 540, number) for number in range(2)]


@pytest.mark.parametrize(
    "act",
    [
        scrolling_text,
        replaced_text,
        typing,
        blinking_cursor,
        clock,
        spinner,
        dragged_window,
        panned_slides,
    ],
    ids=lambda act: act.__name__,
)
def test_what_is_not_video_stays_exact(act):
    stage = Stage(960, 540, ALL_CODECS)
    for step in range(120):
        act(stage, step)
        stage.step(1 / 60)
    assert stage.viewer.video.frames == []
    assert stage.is_exact()


def test_a_region_in_which_text_is_shown_now_becomes_exact():
    stage = Stage(960, 540, [VP8])
    place = Area(64, 64, 640, 384)
    play(stage, place, 1.0)
    for step in range(150):
        stage.put(place.x, place.y, text_lines(place.width, place.height, step))
        stage.step(1 / 60)
    assert not stage.viewer.regions
    assert stage.is_exact()


def test_a_video_that_moves_away_leaves_its_old_place_exact():
    stage = Stage(1280, 720, [VP8])
    play(stage, Area(64, 64, 448, 256), 1.0)
    stage.put(64, 64, np.full((256, 448, 4), 77, np.uint8))
    play(stage, Area(700, 400, 448, 256), 1.5)
    (region,) = stage.viewer.regions.values()
    assert region.rectangle.x >= 640
    assert (stage.viewer.canvas[64:320, 64:512, :3] == 77).all()
    rest(stage, 0.5)
    assert stage.is_exact()


def test_two_videos_are_two_regions():
    stage = Stage(1280, 720, [VP8])
    for number in range(45):
        stage.put(64, 64, video_frame(320, 240, number))
        stage.put(800, 400, video_frame(320, 240, number + 7))
        stage.step(FRAME_S)
    assert len(stage.viewer.regions) == 2
    rest(stage, 0.5)
    assert stage.is_exact()


@pytest.mark.parametrize("codecs", [[], ["av01.0.08M.08"]])
def test_a_viewer_that_decodes_none_of_ours_gets_everything_exactly(codecs):
    stage = Stage(640, 400, codecs)
    play(stage, Area(64, 64, 320, 240), 1.0)
    assert stage.viewer.video.frames == []
    assert stage.is_exact()


def test_a_refresh_ends_every_region_with_an_exact_picture():
    stage = Stage(960, 540, [VP8])
    play(stage, Area(64, 64, 640, 352), 1.0)
    stage.maker.refresh()
    stage.step(0.02)
    assert stage.viewer.regions == {}
    assert stage.is_exact()
    play(stage, Area(64, 64, 640, 352), 1.0)
    assert list(stage.viewer.regions) == [2]


def test_a_film_moving_text_and_a_still_rest_are_all_shown_well_at_the_same_time():
    stage = Stage(1280, 720, [H264])
    page = text_lines(1280, 720, 500)
    stage.put(0, 0, page)
    rest(stage, 0.1)
    in_motion, still_bytes = [], 0
    for number in range(75):
        stage.put(64, 64, video_frame(640, 352, number))
        stage.scroll_up(Area(768, 64, 448, 512), 16)
        stage.put(768, 560, text_lines(448, 16, number))
        before, frames = stage.exact_bytes, len(stage.viewer.video.frames)
        stage.step(FRAME_S)
        if number < 30:
            continue
        assert len(stage.viewer.video.frames) == frames + 1, "every frame of the film is shown"
        still_bytes += stage.exact_bytes - before
        canvas, pixels = stage.viewer.canvas[..., 2::-1], stage.pixels[..., :3]
        assert np.array_equal(canvas[:, 720:], pixels[:, 720:]), "the moving text is exact"
        assert np.array_equal(canvas[432:], pixels[432:]), "and so is what stands still"
        in_motion.append(psnr(canvas[64:416, 64:704], pixels[64:416, 64:704]))
    assert min(in_motion) > 27
    assert still_bytes / 45 < 4_000, "text that scrolls is copied"
    rest(stage, 0.5)
    assert stage.is_exact()


def test_a_viewer_that_decodes_only_jpeg_sees_a_film_as_jpegs_and_then_exactly():
    stage = Stage(960, 540, [JPEG])
    place = Area(96, 64, 640, 352)
    play(stage, place, 1.5)
    (region,) = stage.viewer.regions.values()
    assert {frame.codec for frame in stage.viewer.video.frames} == {JPEG}
    shown = stage.viewer.canvas[64:416, 96:736, 2::-1]
    assert psnr(shown, stage.pixels[64:416, 96:736, :3]) > 24
    assert region.rectangle.width == 640
    rest(stage, 0.5)
    assert stage.is_exact()


def test_frames_that_the_encoder_cannot_sustain_are_left_out_and_the_newest_is_shown():
    choice = TimedChoice(lambda _level: 0.060)
    stage = Stage(960, 540, [VP8], choice)
    place = Area(96, 64, 640, 352)
    play(stage, place, 3.0)
    before = len(stage.viewer.video.frames)
    play(stage, place, 2.0, 90)
    made = len(stage.viewer.video.frames) - before
    assert 12 <= made <= 22, "60 frames are drawn"
    assert stage.viewer.video.ended == []
    # the last one that was drawn is shown when it is time for it, without new damage
    stage.put(place.x, place.y, np.full((352, 640, 4), 33, np.uint8))
    stage.step(0.001)
    assert not (stage.viewer.canvas[100:400, 200:700, :3] == 33).all()
    for _ in range(13):
        stage.step(0.01)
    assert abs(int(stage.viewer.canvas[300, 400, 0]) - 33) < 9
    rest(stage, 0.5)
    assert stage.is_exact()


def test_a_slow_encoder_gives_up_quality_first():
    choice = TimedChoice(lambda level: (0.025, 0.005)[min(level, 1)])
    stage = Stage(960, 540, [VP8], choice)
    place = Area(96, 64, 640, 352)
    play(stage, place, 1.5)
    before = len(stage.viewer.video.frames)
    play(stage, place, 1.0, 45)
    assert len(stage.viewer.video.frames) - before == 30
    assert [terms.level for terms in choice.opened] == [0, 1]


def test_text_beside_a_film_that_is_left_out_goes_at_once():
    stage = Stage(960, 540, [VP8], TimedChoice(lambda _level: 0.1))
    place = Area(96, 64, 640, 352)
    play(stage, place, 3.0)
    for number in range(30):
        stage.put(place.x, place.y, video_frame(place.width, place.height, number))
        stage.put(768, 64, text_lines(160, 400, number))
        stage.step(FRAME_S)
        canvas, pixels = stage.viewer.canvas[:, 752:, 2::-1], stage.pixels[:, 752:, :3]
        assert np.array_equal(canvas, pixels)
    assert len(stage.viewer.regions) == 1


class FailsOnce(TimedChoice):
    """Its first encoder fails at a frame, as hardware that is lost does."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._left = at

    def __call__(self, codecs, terms):
        real = super().__call__(codecs, terms)
        encode = real.encode

        def until_it_fails(words, at_ms, *, is_key):
            self._left -= 1
            if self._left == 0:
                raise BackendUnavailable("lost")
            return encode(words, at_ms, is_key=is_key)

        real.encode = until_it_fails
        return real


def test_an_encoder_that_fails_is_replaced_and_the_film_goes_on():
    stage = Stage(960, 540, [VP8], FailsOnce(at=20))
    place = Area(96, 64, 640, 352)
    play(stage, place, 2.0)
    keys = [frame.is_key for frame in stage.viewer.video.frames]
    assert sum(keys) == 2
    assert keys[19], "what failed is made anew at once"
    assert stage.viewer.video.ended == []
    rest(stage, 0.5)
    assert stage.is_exact()


def test_a_keyframe_comes_when_it_is_asked_for_also_while_the_video_rests():
    stage = Stage(960, 540, [VP8])
    play(stage, Area(64, 64, 640, 352), 1.0)
    before = len(stage.viewer.video.frames)
    stage.maker.keyframe(1)
    stage.step(0.01)
    (frame,) = stage.viewer.video.frames[before:]
    assert frame.is_key
    stage.maker.keyframe(99)
    rest(stage, 0.5)
    assert stage.is_exact()


def test_without_an_encoder_everything_stays_exact():
    def refuse(*_: object) -> object:
        raise BackendUnavailable("no encoder")

    stage = Stage(640, 400, [VP8])
    stage.maker.video = VideoLayer(refuse)
    stage.maker.video.resize(640, 400)
    stage.maker.video.decodes([VP8])
    play(stage, Area(64, 64, 320, 240), 1.0)
    assert stage.viewer.video.frames == []
    assert stage.is_exact()


@pytest.mark.parametrize(("link_bytes_per_s", "most_bytes_per_s"), [(1e6, 400_000), (1e5, 80_000)])
def test_a_region_is_encoded_for_what_the_link_gives(link_bytes_per_s, most_bytes_per_s):
    rates = []
    choice = EncoderChoice()

    def opened(codecs, terms):
        rates.append(terms.rate_bytes_per_s)
        return choice(codecs, terms)

    class OnALink(VideoLayer):
        def frames(self, begun, previous, current, area):
            begun = dataclasses.replace(begun, rate_bytes_per_s=link_bytes_per_s)
            return super().frames(begun, previous, current, area)

    stage = Stage(640, 400, [H264])
    stage.maker.video = OnALink(opened)
    stage.maker.video.resize(640, 400)
    stage.maker.video.decodes([H264])
    play(stage, Area(64, 64, 512, 288), 1.5)
    assert most_bytes_per_s / 2 <= rates[-1] <= most_bytes_per_s + 1


@pytest.mark.parametrize("codec", [H264, VP8, VP9])
@pytest.mark.parametrize("size", [(640, 352), (326, 182), (16, 16)])
def test_a_frame_comes_back_as_it_was_but_for_little(codec, size):
    encoder = open_encoder(codec, *size, 500_000)
    decoder = FrameDecoder(codec)
    width, height = size
    for number in range(12):
        pixels = video_frame(width, height, number)
        made = encoder.encode(pixels.view(np.uint32)[..., 0], number * 33, is_key=number in (0, 6))
        assert made.is_key is (number in (0, 6))
        shown = decoder.decode(made.encoded)
        assert shown.shape == (height, width, 4)
        assert psnr(shown[..., 2::-1], pixels[..., :3]) > 27
    again = encoder.encode(pixels.view(np.uint32)[..., 0], 999, is_key=False)
    assert again is None
    encoder.close()
    encoder.close()


def test_an_encoder_reads_a_region_of_a_larger_picture_in_its_place():
    whole = np.zeros((400, 700, 4), np.uint8)
    whole[48:400, 16:656] = video_frame(640, 352, 3)
    words = whole.view(np.uint32)[..., 0][48:400, 16:656]
    encoder = open_encoder(H264, 640, 352, 500_000)
    made = encoder.encode(words, 0, is_key=True)
    assert psnr(FrameDecoder(H264).decode(made.encoded)[..., 2::-1], whole[48:400, 16:656, :3]) > 27


def test_a_slow_link_gets_smaller_frames():
    sizes = []
    for rate in (600_000, 60_000):
        encoder = open_encoder(H264, 640, 352, rate)
        made = [
            encoder.encode(
                video_frame(640, 352, number).view(np.uint32)[..., 0], number * 33, is_key=not number
            )
            for number in range(45)
        ]
        sizes.append(sum(len(frame.encoded) for frame in made))
    assert sizes[1] < 60_000 * 1.5 * 1.5
    assert sizes[1] < sizes[0] / 2


def test_the_area_of_a_region_is_even_and_inside_of_the_display():
    assert aligned(Area(1, 1, 100, 100), 1001, 801) == Area(0, 0, 112, 112)
    assert aligned(Area(900, 700, 101, 101), 1001, 801) == Area(896, 688, 104, 112)
