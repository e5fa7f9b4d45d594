"""What workloads show: antialiased text by Tk, a page of an article, and a film made of drifting clouds.

`python -m tests.bench.pages --display :N --folder DIR` renders them and prints "ready".
"""

import argparse
import importlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.bench.x_board import looking_at

Pixels = npt.NDArray[np.uint8]
PAGE_WIDTH_PX, PAGE_HEIGHT_PX = 1600, 5400
SLICE_PX = 900
LINE_PX = 18
FILM_SIZE = (1280, 720)
FILM_PICTURES = 45
SEED = 20261122
SHIFT_LIMIT_PX = 300
DETAIL_PX = (256, 96, 32, 12, 5)
COLOUR_DETAIL_PX = 32
PAGES_FILE, FILM_FILE = "pages.npz", "film.npy"
TEXT = (
    "the session relay answers with a signed ticket and then forwards bytes it cannot read while the "
    "person sees who is connected what they may do and for how long kernel: eth0 link up GET /v1/status "
    "200 12ms src/main.c warning unused variable drwxr-xr-x 4096 systemd[1]: Started Daily apt upgrade "
    "and clean activities error 0x7f "
)
WORDS = TEXT.split()
INKS = ("#d8dee9", "#d8dee9", "#d8dee9", "#a3be8c", "#81a1c1", "#ebcb8b", "#bf616a", "#b48ead")


@dataclass(frozen=True, slots=True)
class Pages:
    """Rendered once for each run, BGRX. `film` is read only when it is wanted."""

    folder: Path
    terminal: Pixels
    article: Pixels

    def film(self) -> Pixels:
        """Pictures of a camera that pans, with two things that move on their own."""
        pictures: Pixels = np.load(self.folder / FILM_FILE, mmap_mode="r")
        return pictures


def load_pages(folder: Path) -> Pages:
    """What `make_pages` left there."""
    with np.load(folder / PAGES_FILE) as stored:
        return Pages(folder, stored["terminal"], stored["article"])


def make_pages(folder: Path, display: str, *, with_film: bool) -> None:
    """Render them; the display is painted over while it lasts. The film takes seconds."""
    terminal, article = _render(display, _terminal, "#1d2129"), _render(display, _article, "#ffffff")
    for top in range(700, PAGE_HEIGHT_PX - 400, 1300):
        article[top : top + 360, 120:760] = clouds((360, 640), top)
    np.savez(folder / PAGES_FILE, terminal=terminal, article=article)
    if with_film:
        np.save(folder / FILM_FILE, _film())


def clouds(
    shape: tuple[int, int], seed: int, *, shift: tuple[int, int] = (0, 0), grain: float = 2.0
) -> Pixels:
    """A soft picture with details of every size, a little colour and a little grain, as a photograph has."""
    dice = np.random.default_rng(seed)
    total = np.full((*shape, 3), 120, np.float32)
    for octave, size in enumerate(DETAIL_PX):
        spare = SHIFT_LIMIT_PX // size + 3
        rows, columns = shape[0] // size + spare, shape[1] // size + spare
        strength = 60 / (octave + 1) ** 1.2
        total += (
            _enlarged(dice.standard_normal((rows, columns, 1), np.float32), size, shape, shift) * strength
        )
        if size >= COLOUR_DETAIL_PX:
            field = dice.standard_normal((rows, columns, 3), np.float32)
            total += _enlarged(field, size, shape, shift) * (strength / 3)
    noise = np.random.default_rng(seed + 7919 * (shift[0] + 1) + shift[1])
    total += noise.standard_normal((*shape, 1), np.float32) * grain
    made = np.zeros((*shape, 4), np.uint8)
    made[:, :, :3] = np.clip(total, 0, 255).astype(np.uint8)
    return made


def _film() -> Pixels:
    width, height = FILM_SIZE
    made = np.zeros((FILM_PICTURES, height, width, 4), np.uint8)
    for number in range(FILM_PICTURES):
        made[number] = clouds((height, width), SEED, shift=(number * 3, number * 5))
        for speed, top, ink in ((17, 180, (40, 60, 220)), (-11, 420, (210, 190, 60))):
            left = (number * speed) % (width - 200)
            made[number, top : top + 120, left : left + 200, :3] = ink
    return made


def _enlarged(
    field: npt.NDArray[np.float32], size: int, shape: tuple[int, int], shift: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Bilinear, moved by `shift` pixels."""
    rows = (np.arange(shape[0], dtype=np.float32) + shift[0]) / size
    columns = (np.arange(shape[1], dtype=np.float32) + shift[1]) / size
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
    upper = field[top] * (1 - down) + field[top + 1] * down
    blended: npt.NDArray[np.float32] = upper[:, left] * (1 - right) + upper[:, left + 1] * right
    return blended


def _render(display: str, fill: Any, background: str) -> Pixels:
    tk: Any = importlib.import_module("tkinter")
    root = tk.Tk(screenName=display)
    root.overrideredirect(boolean=True)
    root.geometry(f"{PAGE_WIDTH_PX}x{SLICE_PX}+0+0")
    region = (0, 0, PAGE_WIDTH_PX, PAGE_HEIGHT_PX)
    canvas = tk.Canvas(
        root, width=PAGE_WIDTH_PX, height=SLICE_PX, bg=background, highlightthickness=0, scrollregion=region,
        yscrollincrement=1,
    )  # fmt: skip
    canvas.pack()
    fill(canvas, random.Random(SEED))
    slices = []
    with looking_at(display) as look:
        for _ in range(0, PAGE_HEIGHT_PX, SLICE_PX):
            root.update()
            root.update_idletasks()
            root.lift()
            root.update()
            slices.append(look.read((0, 0), (PAGE_WIDTH_PX, SLICE_PX)).copy())
            canvas.yview_scroll(SLICE_PX, "units")
    root.destroy()
    return np.concatenate(slices)


def _terminal(canvas: Any, dice: random.Random) -> None:
    font = ("DejaVu Sans Mono", -14)
    for top in range(0, PAGE_HEIGHT_PX, LINE_PX):
        left = 4
        for _ in range(dice.randint(1, 4)):
            text = " ".join(dice.choices(WORDS, k=dice.randint(2, 6))) + " "
            canvas.create_text(left, top, text=text, font=font, fill=dice.choice(INKS), anchor="nw")
            left += 9 * len(text)


def _article(canvas: Any, dice: random.Random) -> None:
    top = 20
    while top < PAGE_HEIGHT_PX - 100:
        title = " ".join(dice.choices(WORDS, k=6)).title()
        canvas.create_text(
            120, top, text=title, font=("DejaVu Sans", -30, "bold"), fill="#1a2b4c", anchor="nw"
        )
        top += 60
        for _ in range(4):
            text = " ".join(dice.choices(WORDS, k=90))
            made = canvas.create_text(
                120, top, text=text, font=("DejaVu Serif", -17), fill="#202020", anchor="nw", width=1300
            )
            top = canvas.bbox(made)[3] + 22
        canvas.create_rectangle(120, top, 1420, top + 90, fill="#eef3fa", outline="#b8c8e0")
        link = " · ".join(dice.choices(WORDS, k=14))
        canvas.create_text(140, top + 34, text=link, font=("DejaVu Sans", -15), fill="#0b57d0", anchor="nw")
        top += 130


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--display", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--film", action="store_true")
    given = parser.parse_args()
    make_pages(given.folder, given.display, with_film=given.film)
    print("ready", flush=True)


if __name__ == "__main__":
    main()
