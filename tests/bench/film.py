"""The film of the video workload: where it plays, the counter inside of it, and how well it was shown.

The counter is part of each picture, so that when it is seen the film is seen, and not something beside it
that another layer may show sooner.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.bench.figures import psnr_db
from tests.bench.pages import FILM_SIZE, Pages, Pixels
from tests.bench.stamp import HEIGHT_PX, WIDTH_PX, draw_stamp, read_stamp

FILM_AT = (320, 256)
STAMP_IN_FILM = (48, 36)
FILM_STAMP_AT = (FILM_AT[0] + STAMP_IN_FILM[0], FILM_AT[1] + STAMP_IN_FILM[1])
SAMPLE_EVERY = 15  # pictures; reading one costs the watcher some milliseconds
STAMP_ROWS = slice(STAMP_IN_FILM[1], STAMP_IN_FILM[1] + HEIGHT_PX)
STAMP_COLUMNS = slice(STAMP_IN_FILM[0], STAMP_IN_FILM[0] + WIDTH_PX)
IN_FILM = (slice(FILM_AT[1], FILM_AT[1] + FILM_SIZE[1]), slice(FILM_AT[0], FILM_AT[0] + FILM_SIZE[0]))


@dataclass(frozen=True, slots=True)
class Quality:
    """`psnr_db` is None for equality as well as for no sample: look at `samples`."""

    samples: int
    psnr_db: float | None
    worst_psnr_db: float | None


def picture_index(number: int, pictures: int) -> int:
    """Which picture of a film that plays there and back comes at this counter."""
    place = number % (2 * pictures - 2)
    return place if place < pictures else 2 * pictures - 2 - place


def stamped(film: Pixels, number: int) -> Pixels:
    """What the source shows at this counter."""
    picture = np.array(film[picture_index(number, len(film))])
    picture[STAMP_ROWS, STAMP_COLUMNS] = draw_stamp(number)
    return picture


def counter_of(shown: Pixels) -> int | None:
    """The counter in what a viewer shows of the film."""
    return read_stamp(shown[STAMP_ROWS, STAMP_COLUMNS])


def judge_samples(samples: Mapping[int, Pixels], film: Pixels) -> Quality:
    """How like the source these are, by their counters; the counter's own place does not count."""
    errors = [_squared_error(shown, stamped(film, number)) for number, shown in samples.items()]
    if not errors:
        return Quality(0, None, None)
    return Quality(len(errors), psnr_db(float(np.mean(errors))), psnr_db(max(errors)))


def judge_motion(pages: Pages, file: Path) -> Quality:
    """The same of what the watcher kept."""
    with np.load(file) as kept:
        return judge_samples({int(name): kept[name] for name in kept.files}, pages.film())


def without_film(screen: Pixels) -> Pixels:
    """A copy in which the film's place is black: what is left is to be exact."""
    rest = screen.copy()
    rest[IN_FILM] = 0
    return rest


def _squared_error(shown: Pixels, source: Pixels) -> float:
    difference = shown[:, :, :3].astype(np.int16) - source[:, :, :3]
    difference[STAMP_ROWS, STAMP_COLUMNS] = 0
    return float(np.square(difference, dtype=np.int32).mean())
