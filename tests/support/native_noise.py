"""Calls the C part, built with sanitizers, with everything that an array can be; run as a program.

    python native_noise.py FOLDER EXAMPLES

FOLDER has the module. Arrays lie in blocks of exactly their size, so that one byte too far is noticed.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

REFUSALS = (ValueError, BufferError, TypeError, OverflowError, MemoryError)
SIDE_LIMIT = 16384
SIDES = st.one_of(st.integers(0, 4), st.integers(1, 200), st.sampled_from([63, 64, 65, 127, 128, 129]))
SIZES = st.tuples(SIDES, SIDES)
NUMBERS = st.one_of(
    st.integers(-3, 100), st.sampled_from([-1 << 31, (1 << 31) - 1, 1 << 25, 1 << 31, 1 << 63])
)
SEEDS = st.integers(0, 1 << 30)
PADDINGS = st.integers(0, 3)
TWISTS = {
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "rows from below": lambda a: a[::-1],
    "columns": lambda a: a.T,
    "every other column": lambda a: a[:, ::2],
    "bytes": lambda a: a.astype(np.uint8),
    "wide": lambda a: a.astype(np.uint64),
    "floats": lambda a: a.astype(np.float32),
    "one dimension": lambda a: a.reshape(-1),
    "three dimensions": lambda a: a[None],
    "one row for all": lambda a: np.broadcast_to(a[:1], a.shape) if len(a) else a,
    "between two addresses": lambda a: block(*a.shape, a.dtype, 1, offset=1),
    "none": lambda a: None,
    "no array": lambda a: a.tobytes(),
}
KINDS = st.one_of(st.just("as it is"), st.sampled_from(sorted(TWISTS)))


def block(height: int, width: int, kind: Any, seed: int, padding: int = 0, offset: int = 0) -> Any:
    """An array that ends where its memory ends; noise, or something with edges."""
    item_bytes = np.dtype(kind).itemsize
    row_bytes = (width + padding) * item_bytes
    size = offset + (max(0, (height - 1) * row_bytes + width * item_bytes) if height else 0)
    memory = (ctypes.c_char * max(size, 1))()
    made: Any = np.ndarray((height, width), kind, memory, offset, (row_bytes, item_bytes))
    random = np.random.default_rng(seed)
    if seed % 3:
        small = random.random((height // 5 + 1, width // 3 + 1)) > 0.5
        made[...] = np.repeat(np.repeat(small, 5, 0), 3, 1)[:height, :width] * 200
    else:
        made[...] = random.integers(0, 256, (height, width))
    return made


def twisted(array: Any, kind: str) -> Any:
    """The same in another shape of memory."""
    return TWISTS[kind](array) if kind in TWISTS else array


def tried(call: Any, *arguments: Any) -> Any:
    """What it gives; None if it is refused as Python refuses."""
    try:
        return call(*arguments)
    except REFUSALS:
        return None


def tiles_of(size: tuple[int, int]) -> tuple[int, int]:
    """The shape of its mask."""
    return -(-size[0] // 64), -(-size[1] // 64)


def compare(native: Any, sizes: tuple[Any, Any], seed: int, padding: int, kinds: Any, number: int) -> None:
    """Masks and rectangles, of equal and of different sizes."""
    before = block(*sizes[0], np.uint32, seed, padding)
    now = block(*sizes[seed % 4 == 0], np.uint32, seed + 1)
    mask, out = (block(*tiles_of(sizes[0]), np.uint8, seed, padding) for _ in range(2))
    wrong = [twisted(array, kind) for array, kind in zip((before, now, mask, out), kinds, strict=True)]
    tried(native.changed_tiles, before, now, mask, out)
    tried(native.changed_tiles, *wrong)
    tried(native.trimmed_rectangles, *wrong[:3], number)
    mask[...] = 1
    tried(native.trimmed_rectangles, before, now, mask, 85)


def write(native: Any, size: tuple[int, int], seed: int, padding: int, kinds: Any, number: int) -> None:
    """Residues, into too little room as well."""
    words = twisted(block(*size, np.uint32, seed, padding), kinds[0])
    room = max(0, 3 * size[0] * size[1] + 1 + number % 5 - 2)
    tried(native.write_residues, words, (ctypes.c_char * room)())
    tried(native.write_residues, words, bytes(room))
    tried(native.write_residues, words, np.zeros(2 * room, np.uint8)[::2])


def search(native: Any, size: tuple[int, int], seed: int, padding: int, kinds: Any, number: int) -> None:
    """What moved, and a motion that is too small."""
    fitting, small = (tried(native.motion, size[1] - less, size[0]) for less in (0, 1 + number % 2))
    tried(native.motion, number, size[0])
    for turn in range(3):
        before = block(*size, np.uint32, seed, padding)
        now = np.roll(before, (number % 40 - 20, seed % 40 - 20), (0, 1))
        now[: size[0] * turn // 4] = 7
        tried(native.find_copies, fitting, before, now, 16, 1 + turn * 100)
        tried(native.find_copies, small, before, now, 16, 1)
        tried(native.find_copies, fitting, before[: size[0] // 2], now[: size[0] // 2], 64, 50)
        tried(native.find_copies, fitting, twisted(before, kinds[0]), twisted(now, kinds[1]), number, turn)
        tried(native.find_copies, twisted(before, kinds[2]), before, now, 1, number)


def at_the_limits(native: Any) -> None:
    """The longest rows and columns that are taken, and one more."""
    for height, width in [(64, SIDE_LIMIT), (SIDE_LIMIT, 64), (SIDE_LIMIT + 1, 1), (1, SIDE_LIMIT + 1)]:
        before, now = block(height, width, np.uint32, 3), block(height, width, np.uint32, 4)
        mask, out = (block(*tiles_of((height, width)), np.uint8, 1) for _ in range(2))
        tried(native.changed_tiles, before, now, mask, out)
        tried(native.trimmed_rectangles, before, now, mask, SIDE_LIMIT)
        tried(native.write_residues, now, (ctypes.c_char * (3 * height * width + 1))())
        tried(native.find_copies, tried(native.motion, width, height), before, now, 16, 1)


def main(folder: str, examples: int) -> None:
    """Everything, so many times."""
    sys.path.insert(0, folder)
    native = importlib.import_module("_picture")
    at_the_limits(native)

    @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(SIZES, SIZES), SEEDS, PADDINGS, st.tuples(KINDS, KINDS, KINDS, KINDS), NUMBERS)
    def everything(sizes: Any, seed: int, padding: int, kinds: Any, number: int) -> None:
        compare(native, sizes, seed, padding, kinds, number)
        write(native, sizes[0], seed, padding, kinds, number)
        search(native, sizes[1], seed, padding, kinds, number)

    everything()
    sys.stdout.write("survived\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
