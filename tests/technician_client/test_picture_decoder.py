"""The reference decoder of the tests shows what was sent, and inflates not one byte more."""

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import PeerViolation
from protocol.limits import ZSTD_WINDOW_LOG
from protocol.messages.screen import PicturePart, Rectangle
from tests.support.picture_decoder import PictureDecoder, bgr_to_rgba, residues_of

WIDTH, HEIGHT = 128, 64
WHOLE = [Rectangle(0, 0, WIDTH, HEIGHT)]
RAW = bytes(range(256)) * (WIDTH * HEIGHT * 3 // 256)


def stream(window_log: int = 20):
    parameters = zstandard.ZstdCompressionParameters.from_level(
        1, window_log=window_log, write_content_size=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compressobj()


def flushed(compressor, raw: bytes) -> bytes:
    return compressor.compress(raw) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


def part(compressed: bytes, **changes) -> PicturePart:
    made = PicturePart(
        picture_no=1,
        captured_at_ms=0,
        width=WIDTH,
        height=HEIGHT,
        is_reset=True,
        is_last=True,
        rectangles=WHOLE,
        compressed=compressed,
    )
    return msgspec.structs.replace(made, **changes)


def first_picture() -> PicturePart:
    return part(flushed(stream(), RAW))


def test_pixels_come_out_as_opaque_rgba():
    bgr = np.frombuffer(RAW, np.uint8).reshape(HEIGHT, WIDTH, 3)
    (shown,) = PictureDecoder().feed(part(flushed(stream(), residues_of(bgr))))
    rgba = np.frombuffer(shown.rgba, np.uint8).reshape(HEIGHT, WIDTH, 4)
    assert np.array_equal(rgba[..., :3], bgr[..., ::-1])
    assert (rgba[..., 3] == 255).all()


@given(st.integers(1, 200))
def test_colours_are_swapped_for_any_number_of_pixels(count):
    bgr = np.random.default_rng(count).integers(0, 256, count * 3, dtype=np.uint8)
    rgba = np.frombuffer(bgr_to_rgba(bgr), np.uint8).reshape(-1, 4)
    assert np.array_equal(rgba[:, :3], bgr.reshape(-1, 3)[:, ::-1])


def test_a_stream_goes_on_over_many_pictures():
    compressor, decoder = stream(), PictureDecoder()
    for number in range(1, 30):
        raw = residues_of(np.full((HEIGHT, WIDTH, 3), number, np.uint8))
        (shown,) = decoder.feed(part(flushed(compressor, raw), picture_no=number, is_reset=number == 1))
        assert shown.rgba[:4] == bytes([number, number, number, 255])


@pytest.mark.parametrize("factor", [2, 1000])
def test_msg_07_a_part_that_inflates_beyond_its_rectangles_is_refused(factor):
    """A bomb: 24 MB of zeros in a few kilobytes."""
    with pytest.raises(PeerViolation):
        PictureDecoder().feed(part(flushed(stream(), bytes(len(RAW) * factor))))


def test_one_byte_too_many_is_refused():
    with pytest.raises(PeerViolation):
        PictureDecoder().feed(part(flushed(stream(), RAW + b"\0")))


def test_one_byte_too_few_is_refused():
    with pytest.raises(PeerViolation):
        PictureDecoder().feed(part(flushed(stream(), RAW[:-1])))


def test_a_stream_that_ends_is_refused():
    compressor = stream()
    ended = compressor.compress(RAW) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
    with pytest.raises(PeerViolation):
        PictureDecoder().feed(part(ended + b"more"))


def test_msg_07_a_window_that_is_larger_than_ours_is_refused():
    compressor = stream(window_log=ZSTD_WINDOW_LOG + 1)
    with pytest.raises(PeerViolation):
        PictureDecoder().feed(part(flushed(compressor, RAW)))


@pytest.mark.parametrize("compressed", [b"", b"\0", b"not zstd at all", b"\x28\xb5\x2f\xfd" + b"\xff" * 40])
def test_damage_is_refused(compressed):
    with pytest.raises(PeerViolation):
        PictureDecoder().feed(part(compressed))


@given(st.binary(max_size=300), st.integers(0, 200))
def test_noise_raises_only_what_is_documented(noise, kept):
    decoder = PictureDecoder()
    try:
        decoder.feed(part(first_picture().compressed[:kept] + noise))
    except PeerViolation:
        return


def test_a_reset_may_change_the_size():
    decoder = PictureDecoder()
    decoder.feed(first_picture())
    half = part(
        flushed(stream(), RAW[: len(RAW) // 2]),
        picture_no=2,
        height=32,
        rectangles=[Rectangle(0, 0, 128, 32)],
    )
    (shown,) = decoder.feed(half)
    assert (shown.width, shown.height) == (128, 32)
