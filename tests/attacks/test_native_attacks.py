"""What a display can contain, and what an array can be, against the C part (THREATS.md MSG-11, RES-06)."""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

from agent.capabilities.screen.native import Native, load
from agent.capabilities.screen.pictures import PictureMaker
from agent.platform.interfaces import Area
from tests.support.viewer import Viewer

NATIVE = load()
FOLDER = Path(__file__).parents[2] / "agent" / "capabilities" / "screen" / "native"
NOISE = Path(__file__).parents[1] / "support" / "native_noise.py"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
EXAMPLES = 120
needs_gcc = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="needs gcc: apt-get install gcc python3-dev"
)
needs_c = pytest.mark.skipif(NATIVE is None, reason="needs a C compiler when the package is installed")


def built(folder: Path, sources: list[Path]) -> None:
    """The module with sanitizers."""
    name = folder / f"_picture{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = f"-I{sysconfig.get_paths()['include']}"
    argv = ["gcc", "-O1", "-g", "-shared", "-fPIC", *SANITIZERS, include, f"-I{FOLDER}", "-o", str(name)]
    subprocess.run([*argv, *map(str, sources)], check=True, capture_output=True)


def noise(folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the noise over the module in this folder."""
    asked = [["gcc", f"-print-file-name={name}.so"] for name in ("libasan", "libubsan")]
    libraries = [subprocess.run(argv, check=True, capture_output=True, text=True).stdout for argv in asked]
    environment = os.environ | {
        "LD_PRELOAD": ":".join(library.strip() for library in libraries),
        # the interpreter itself leaves memory behind when it ends
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "PYTHONMALLOC": "malloc",
    }
    argv = [sys.executable, str(NOISE), str(folder), str(EXAMPLES)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.real
@pytest.mark.beside
@needs_gcc
def test_msg11_no_array_makes_the_c_part_touch_memory_that_is_not_its_own(tmp_path: Path) -> None:
    built(tmp_path, sorted(FOLDER.glob("*.c")))
    ran = noise(tmp_path)
    assert ran.stdout == "survived\n", ran.stderr[-3000:]


@pytest.mark.real
@pytest.mark.beside
@needs_gcc
def test_the_test_above_notices_one_byte_too_far(tmp_path: Path) -> None:
    module = (FOLDER / "module.c").read_text()
    assert module.count("out.len > size") == 1
    worse = tmp_path / "module.c"
    worse.write_text(module.replace("out.len > size", "out.len >= size"))
    built(tmp_path, [worse, FOLDER / "tiles.c", FOLDER / "motion.c"])
    # noise finds it in nearly every run, not in every one
    assert any("ERROR: AddressSanitizer" in noise(tmp_path).stderr for _ in range(6))


PIECE, PIECE_STEP, FACTOR, PLACE_FACTOR = 32, 64, 0x9E3779B1, 0x85EBCA6B  # motion.c
WORD = (1 << 32) - 1


def piled_up(height: int, width: int, seed: int) -> np.ndarray:
    """A picture whose pieces all belong at the same place of the table of `motion.c`."""
    random = np.random.default_rng(seed)
    many = height * (width // PIECE_STEP)
    tail = random.integers(0, 1 << 24, PIECE - 2, dtype=np.uint64)
    powers = np.array([pow(FACTOR, place, 1 << 32) for place in range(PIECE)], np.uint64)
    rest = int((tail * powers[2:] & WORD).sum()) & WORD
    # the first pixel makes up for all others; one in 256 is no more than a pixel may be
    second = random.integers(0, 1 << 24, 300 * many, dtype=np.uint64)
    wanted = (random.integers(0, 1 << 16, second.size, dtype=np.uint64) + (777 << 16)) * np.uint64(
        pow(PLACE_FACTOR, -1, 1 << 32)
    )
    first = (wanted - second * powers[1] - np.uint64(rest)) & np.uint64(WORD)
    fits = np.flatnonzero(first < 1 << 24)[:many]
    assert fits.size == many
    words = random.integers(0, 1 << 24, (height, width), dtype=np.uint32)
    pieces = words.reshape(height, width // PIECE_STEP, PIECE_STEP)
    pieces[:, :, 0], pieces[:, :, 1] = (one[fits].reshape(height, -1) for one in (first, second))
    pieces[:, :, 2:PIECE] = tail
    return words


def seconds_of_search(native: Native, before: np.ndarray, now: np.ndarray) -> float:
    """Of the processor, the best of three."""
    taken = []
    for _ in range(3):
        motion, copied = native.motion(before.shape[1], before.shape[0]), before.copy()
        started = time.process_time()
        native.find_copies(motion, copied, now, 16, 8192)
        taken.append(time.process_time() - started)
    return min(taken)


@needs_c
def test_res06_a_page_that_knows_the_hash_cannot_hold_the_search_up() -> None:
    assert NATIVE is not None
    height, width = 1080, 1920
    random = np.random.default_rng(1)
    usual = [random.integers(0, 1 << 24, (height, width), dtype=np.uint32) for _ in range(2)]
    crafted = [piled_up(height, width, seed) for seed in (1, 2)]
    assert seconds_of_search(NATIVE, *crafted) < 10 * seconds_of_search(NATIVE, *usual)


def test_pixels_between_two_addresses_are_shown_all_the_same() -> None:
    """A source may hand out memory that begins anywhere."""
    memory = bytearray(np.random.default_rng(4).integers(0, 256, 70 * 50 * 4 + 1, np.uint8).tobytes())
    pixels: np.ndarray = np.ndarray((50, 70, 4), np.uint8, memory, 1)
    maker, viewer = PictureMaker(70, 50), Viewer()
    area = maker.wanted()
    assert area == Area(0, 0, 70, 50)
    for message in maker.make(pixels, area, 0):
        viewer.show(message)
    assert np.array_equal(viewer.bgr(), pixels[..., :3])
