"""Synthetic contents for tests of the video layer: a video that compresses badly, and text. All BGRX."""

from functools import lru_cache

import numpy as np


def video_frame(width: int, height: int, number: int) -> np.ndarray:
    """Waves that move, with the grain of a camera."""
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    bgrx = np.zeros((height, width, 4), np.uint8)
    waves = (
        x * 2 + number * 5,
        (x + y) / 2 + number * 3,
        np.hypot(x - width / 2, y - height / 2) * 2 - number * 7,
    )
    grain = np.random.default_rng(number).integers(0, 12, (height, width), np.uint8)
    for channel, wave in enumerate(waves):
        bgrx[..., channel] = (100 + 90 * np.sin(wave / 40)).astype(np.uint8) + grain
    return bgrx


def text_lines(width: int, height: int, first: int) -> np.ndarray:
    """Lines of about 6x13 pixel letters, dark on white; line `first` is the one at the top."""
    bgrx = np.full((height, width, 4), 255, np.uint8)
    for row in range(0, height - 12, 16):
        line = _line(width, first + row // 16)
        bgrx[row : row + 12, : line.shape[1], :3] = line[..., None]
    return bgrx


@lru_cache(maxsize=2048)
def _line(width: int, number: int) -> np.ndarray:
    letters = ALPHABET[np.random.default_rng(number).integers(0, len(ALPHABET), width // 8)]
    return np.where(np.concatenate(list(letters), axis=1), np.uint8(20), np.uint8(255))


def _letter(number: int) -> np.ndarray:
    drawn = np.zeros((12, 8), np.bool_)
    random = np.random.default_rng(1000 + number)
    for _ in range(3):
        column, row = int(random.integers(1, 6)), int(random.integers(1, 10))
        drawn[1:10, column] |= bool(random.integers(0, 2))
        drawn[row, 1:6] = True
    return drawn


ALPHABET = np.stack([_letter(number) for number in range(40)])
