"""Which encoder is chosen, hardware that is not what it says, and JPEG (real encoders, no process)."""

import numpy as np
import pytest

from agent.capabilities.screen.video.av_encoder import AvEncoder
from agent.capabilities.screen.video.codecs import H264, JPEG, KNOWN_CODECS, VP8, VP9, CodecTerms
from agent.capabilities.screen.video.encoder import HARDWARE_MIN_PIXELS, EncoderChoice, EncoderTerms
from agent.capabilities.screen.video.jpeg import RUNGS, JpegEncoder
from agent.capabilities.screen.video.region import Region, RegionTerms
from agent.platform.interfaces import Area
from protocol.errors import BackendUnavailable
from tests.support.encoders import FakeHardware, open_encoder
from tests.support.moving_pictures import text_lines, video_frame
from tests.support.video_viewer import FrameDecoder

TERMS = EncoderTerms(640, 352, 500_000)
HARDWARE = [one for one in KNOWN_CODECS if one.is_hardware]
SOFTWARE = [one for one in KNOWN_CODECS if not one.is_hardware]


def words(number: int, width: int = 640, height: int = 352) -> np.ndarray:
    return video_frame(width, height, number).view(np.uint32)[..., 0]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


class Making:
    """Makes encoders as the agent does; hardware is faked as a test says, or is not there."""

    def __init__(self, **hardware: FakeHardware) -> None:
        self.hardware = hardware
        self.tried: list[str] = []

    def __call__(self, codec: CodecTerms, terms: EncoderTerms) -> object:
        self.tried.append(codec.library)
        if codec.library in self.hardware:
            return AvEncoder(codec, terms, lambda _: self.hardware[codec.library])
        if codec.is_hardware:
            raise BackendUnavailable("no such device")
        return AvEncoder(codec, terms)


@pytest.mark.parametrize("codec", HARDWARE, ids=lambda one: one.library)
def test_hardware_that_works_is_used_and_its_frames_are_the_pictures(codec):
    device = FakeHardware()
    encoder = EncoderChoice(make=Making(**{codec.library: device}))([H264, VP8], TERMS)
    decoder = FrameDecoder(H264)
    for number in range(8):
        made = encoder.encode(words(number), number * 33, is_key=number in (0, 5))
        assert made.is_key is (number in (0, 5))
        assert psnr(decoder.decode(made.encoded)[..., 2::-1], video_frame(640, 352, number)[..., :3]) > 27
    assert set(device.formats) == {"nv12"}
    assert device.options.items() >= codec.options.items()
    assert device.bit_rate == 4_000_000
    assert device.max_b_frames == 0


def test_hardware_comes_before_software_and_is_asked_for_once_only():
    making = Making()
    choice = EncoderChoice(make=making)
    for _ in range(2):
        assert choice([H264], TERMS).codec == H264
    assert making.tried == [*(one.library for one in HARDWARE), "libx264", "libx264"]
    assert set(choice.reasons) == {one.library for one in HARDWARE}


def test_small_regions_do_not_bother_hardware():
    making = Making(h264_nvenc=FakeHardware())
    small = EncoderTerms(128, HARDWARE_MIN_PIXELS // 128 - 2, 100_000)
    EncoderChoice(make=making)([H264], small)
    assert making.tried == ["libx264"]


@pytest.mark.parametrize(
    "device",
    [FakeHardware(delay=1), FakeHardware(ignores_keys=True), FakeHardware(has_sets=False)],
    ids=["keeps frames back", "makes no keyframe when asked", "leaves out parameter sets"],
)
def test_hardware_that_would_not_do_is_passed_over_when_it_opens(device):
    making = Making(h264_qsv=device)
    choice = EncoderChoice(make=making)
    made = choice([H264], TERMS).encode(words(0), 0, is_key=True)
    assert making.tried[-1] == "libx264"
    assert "h264_qsv" in choice.reasons
    assert FrameDecoder(H264).decode(made.encoded).shape == (352, 640, 4)


def test_hardware_that_fails_later_is_passed_over_from_then_on():
    device = FakeHardware()
    making = Making(h264_nvenc=device)
    choice = EncoderChoice(make=making)
    encoder = choice([H264], TERMS)
    encoder.encode(words(0), 0, is_key=True)
    device.delay = 1
    with pytest.raises(BackendUnavailable):
        encoder.encode(words(1), 33, is_key=False)
    encoder.close()
    making.tried.clear()
    choice([H264], TERMS)
    assert "h264_nvenc" not in making.tried
    assert making.tried[-1] == "libx264"


def test_what_this_machine_has_no_hardware_for_says_why():
    choice = EncoderChoice()
    assert choice([H264], TERMS).codec == H264
    for library, reason in choice.reasons.items():
        assert library.startswith("h264_")
        assert reason


@pytest.mark.parametrize(
    ("codecs", "chosen"), [([VP9, VP8], VP8), ([VP9], VP9), ([JPEG, VP9], VP9), ([JPEG], JPEG)]
)
def test_only_what_the_viewer_decodes_is_chosen_the_best_first(codecs, chosen):
    assert EncoderChoice(SOFTWARE)(codecs, TERMS).codec == chosen


@pytest.mark.parametrize(("codec", "size"), [(VP8, (1920, 1080)), (VP9, (1280, 720))])
def test_a_region_that_would_take_libvpx_too_much_memory_comes_as_jpeg(codec, size):
    choice = EncoderChoice(SOFTWARE)
    assert choice([codec, JPEG], EncoderTerms(*size, 300_000)).codec == JPEG
    assert choice([codec, JPEG], EncoderTerms(640, 352, 300_000)).codec == codec
    with pytest.raises(BackendUnavailable):
        choice([codec], EncoderTerms(*size, 300_000))


def test_several_regions_take_libvpx_no_more_memory_than_one_may():
    choice = EncoderChoice(SOFTWARE)
    half = EncoderTerms(1280, 384, 300_000)
    first, second = (choice([VP8, VP9, JPEG], half) for _ in range(2))
    assert [first.codec, second.codec] == [VP8, VP8]
    small = EncoderTerms(320, 240, 300_000)
    assert choice([VP8, VP9, JPEG], small).codec == JPEG
    first.close()
    first.close()
    assert choice([VP8, VP9, JPEG], half).codec == VP8
    assert choice([VP8, VP9, JPEG], small).codec == JPEG


def test_a_viewer_that_decodes_nothing_of_ours_is_told_so():
    with pytest.raises(BackendUnavailable, match="decodes no codec of ours"):
        EncoderChoice(SOFTWARE)(["av01.0.08M.08"], TERMS)


def test_an_encoder_that_is_not_in_this_build_is_a_reason_and_no_crash():
    missing = CodecTerms(VP8, "libnothing", {})
    choice = EncoderChoice([missing, *SOFTWARE])
    assert choice([VP8], TERMS).codec == VP8
    assert "libnothing" in choice.reasons


@pytest.mark.parametrize("codec", [one for one in SOFTWARE if len(one.levels) > 1], ids=lambda one: one.codec)
def test_every_level_of_an_encoder_opens_and_keeps_its_promises(codec):
    for level in range(len(codec.levels)):
        encoder = open_encoder(codec.codec, 320, 176, 300_000, level)
        decoder = FrameDecoder(codec.codec)
        for number in range(4):
            made = encoder.encode(words(number, 320, 176), number * 33, is_key=number in (0, 2))
            assert made.is_key is (number in (0, 2))
            assert decoder.decode(made.encoded).shape == (176, 320, 4)


def test_a_jpeg_comes_back_as_it_was_but_for_little():
    made = JpegEncoder(TERMS, rung=0).encode(words(3), 0, is_key=False)
    assert made.is_key
    shown = FrameDecoder(JPEG).decode(made.encoded)
    assert shown.shape == (352, 640, 4)
    assert psnr(shown[..., 2::-1], video_frame(640, 352, 3)[..., :3]) > 30


def test_the_colours_of_a_jpeg_are_those_of_the_screen():
    for colour in (0xFFFFFF, 0x000000, 0xE03020, 0x20C040, 0x3050E0):
        made = JpegEncoder(TERMS, rung=0).encode(np.full((352, 640), colour, np.uint32), 0, is_key=True)
        red, green, blue = FrameDecoder(JPEG).decode(made.encoded)[100, 100, :3].astype(int)
        assert abs(red - (colour >> 16)) < 6
        assert abs(green - (colour >> 8 & 255)) < 6
        assert abs(blue - (colour & 255)) < 6


@pytest.mark.parametrize("bytes_per_s", [1_500_000, 300_000, 60_000])
def test_jpegs_follow_the_rate(bytes_per_s):
    encoder = JpegEncoder(EncoderTerms(640, 352, bytes_per_s))
    sizes = [
        len(encoder.encode(words(number), number * 33, is_key=not number).encoded) for number in range(60)
    ]
    assert sizes[0] <= bytes_per_s / 30
    assert sum(sizes[15:]) / 45 <= bytes_per_s / 30 * 1.3
    assert sum(sizes[15:]) / 45 >= bytes_per_s / 30 * 0.25


def test_the_smallest_jpeg_is_a_small_part_of_a_whole_screen():
    page = np.ascontiguousarray(text_lines(1920, 1080, 0)).view(np.uint32)[..., 0]
    encoder = JpegEncoder(EncoderTerms(1920, 1080, 30 * 8_000))
    assert len(encoder.encode(page, 0, is_key=True).encoded) < 16_000
    assert RUNGS[-1].divisor == 8


def test_a_jpeg_of_what_did_not_change_is_not_made_again():
    encoder = JpegEncoder(TERMS)
    assert encoder.encode(words(0), 0, is_key=True)
    assert encoder.encode(words(0), 33, is_key=False) is None
    assert encoder.encode(words(0), 66, is_key=True)
    encoder.close()
    encoder.close()


@pytest.mark.parametrize("codec", [H264, VP8, VP9])
@pytest.mark.parametrize(
    ("size", "half"), [((640, 352), (320, 176)), ((326, 182), (162, 90)), ((2, 16), (2, 8))]
)
def test_frames_of_half_the_size_are_stretched_to_what_they_show(codec, size, half):
    encoder = open_encoder(codec, *size, 500_000, is_halved=True)
    decoder = FrameDecoder(codec)
    width, height = size
    for number in range(12):
        pixels = video_frame(width, height, number)
        made = encoder.encode(pixels.view(np.uint32)[..., 0], number * 33, is_key=not number)
        shown = decoder.decode(made.encoded, None if number % 2 else size)
        if number % 2:
            assert shown.shape == (half[1], half[0], 4)
        else:
            assert psnr(shown[..., 2::-1], pixels[..., :3]) > 27


@pytest.mark.parametrize(("bytes_per_s", "is_half"), [(120_000, False), (25_000, True)])
def test_a_region_has_half_the_size_where_the_link_leaves_too_few_bits_for_each_pixel(bytes_per_s, is_half):
    opened = []

    def opens(codecs, terms):
        opened.append(terms)
        return open_encoder(
            H264, terms.width, terms.height, terms.rate_bytes_per_s, is_halved=terms.is_halved
        )

    terms = RegionTerms(opens, (H264,), bytes_per_s)
    region = Region(1, Area(0, 0, 1280, 720), terms, 0.0)
    words = video_frame(1280, 720, 1).view(np.uint32)[..., 0]
    made = region.frame(words, terms, 0.0)
    region.close()
    assert [one.is_halved for one in opened] == [is_half]
    coded = FrameDecoder(H264).decode(made.encoded).shape[:2]
    assert coded == ((360, 640) if is_half else (720, 1280))
