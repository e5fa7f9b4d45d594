"""The workloads: each draws its next picture on the board, which then stamps it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, sin

import numpy as np
import xcffib.xproto as x

from tests.bench.film import FILM_AT, FILM_STAMP_AT, STAMP_IN_FILM, picture_index
from tests.bench.pages import FILM_SIZE, LINE_PX, PAGE_HEIGHT_PX, PAGE_WIDTH_PX, Pages, clouds
from tests.bench.stamp import draw_stamp
from tests.bench.x_board import STAMP_AT, XBoard

PANE_AT = (160, 192)
PANE_SIZE = (PAGE_WIDTH_PX, 46 * LINE_PX)
GLYPH_SIZE = (9, LINE_PX)
GLYPHS_PER_LINE = 150
WEB_STEP_PX = 24
WEB_HEAD_PX = 72
PAN_STEP_PX = (16, 9)
PICTURES_PER_SCENE = 30
DRAGGED_SIZE = (720, 486)

Step = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Workload:
    """`jitter` is the part of a period by which each picture is early or late, against a beat with 60 Hz.

    `has_film`: each step draws the counter itself, as a part of the film.
    """

    name: str
    rate_hz: float
    prepare: Callable[[XBoard, Pages], Step]
    jitter: float = 0.0
    is_by_key: bool = False
    has_film: bool = False

    @property
    def stamp_at(self) -> tuple[int, int]:
        """Where the counter is on the display."""
        return FILM_STAMP_AT if self.has_film else STAMP_AT


def _desktop(board: XBoard, pages: Pages) -> None:
    """A terminal full of text, at rest."""
    text = board.pixmap(pages.terminal[: PANE_SIZE[1]])
    board.copy(text, (0, 0), PANE_AT, PANE_SIZE)
    board.sync()


def _idle(board: XBoard, pages: Pages) -> Step:
    _desktop(board, pages)
    return lambda _number: None


def _typing(board: XBoard, pages: Pages) -> Step:
    _desktop(board, pages)
    glyphs = board.pixmap(pages.terminal)

    def step(number: int) -> None:
        line, column = divmod(number, GLYPHS_PER_LINE)
        from_at = (GLYPH_SIZE[0] * column + 4, LINE_PX * (50 + line))
        to = (PANE_AT[0] + from_at[0], PANE_AT[1] + LINE_PX * (20 + line % 20))
        board.copy(glyphs, from_at, to, GLYPH_SIZE)

    return step


def _terminal_scroll(board: XBoard, pages: Pages) -> Step:
    _desktop(board, pages)
    text = board.pixmap(pages.terminal)
    (left, top), (width, height) = PANE_AT, PANE_SIZE
    lines = PAGE_HEIGHT_PX // LINE_PX

    def step(number: int) -> None:
        board.copy(board.window, (left, top + LINE_PX), (left, top), (width, height - LINE_PX))
        line = (number + PANE_SIZE[1] // LINE_PX - 1) % lines
        board.copy(text, (0, line * LINE_PX), (left, top + height - LINE_PX), (width, LINE_PX))

    return step


def _web_scroll(board: XBoard, pages: Pages) -> Step:
    page = board.pixmap(pages.article)
    (left, top), (width, height) = PANE_AT, PANE_SIZE
    board.copy(page, (0, 0), PANE_AT, PANE_SIZE)
    way = PAGE_HEIGHT_PX - height - WEB_HEAD_PX

    def step(number: int) -> None:
        there = (number * WEB_STEP_PX) % (2 * way)
        offset = there if there < way else 2 * way - there
        size = (width, height - WEB_HEAD_PX)
        board.copy(page, (0, WEB_HEAD_PX + offset), (left, top + WEB_HEAD_PX), size)

    return step


def _drag(board: XBoard, pages: Pages) -> Step:
    wallpaper = clouds((board.height, board.width), 3, grain=0.0)
    wallpaper[PANE_AT[1] :, : PAGE_WIDTH_PX // 2] = pages.article[
        : board.height - PANE_AT[1], : PAGE_WIDTH_PX // 2
    ]
    board.set_background(board.pixmap(wallpaper))
    width, height = DRAGGED_SIZE
    dragged = board.child(DRAGGED_SIZE, board.pixmap(pages.terminal[:height, :width]))

    def step(number: int) -> None:
        angle = number / 30
        place = [round(700 + 440 * cos(angle)), round(380 + 180 * sin(angle))]
        board.core.ConfigureWindow(dragged, x.ConfigWindow.X | x.ConfigWindow.Y, place)

    step(0)
    return step


def _video(board: XBoard, pages: Pages) -> Step:
    _desktop(board, pages)
    pictures = [board.pixmap(picture) for picture in pages.film()]
    behind = board.pixmap(pages.film()[0])

    # put together where nobody sees it: a picture is never on the display without its counter
    def step(number: int) -> None:
        board.copy(pictures[picture_index(number, len(pictures))], (0, 0), (0, 0), FILM_SIZE, behind)
        board.put(draw_stamp(number), STAMP_IN_FILM, behind)
        board.copy(behind, (0, 0), FILM_AT, FILM_SIZE)

    step(0)
    return step


def _full_screen(board: XBoard, pages: Pages) -> Step:
    first = np.zeros((1700, 2600, 4), np.uint8)
    first[:, :PAGE_WIDTH_PX] = pages.article[:1700]
    first[:, PAGE_WIDTH_PX:] = pages.terminal[:1700, :1000]
    second = clouds((1700, 2600), 5, grain=0.0)
    second[100:1400, 200:1500] = pages.terminal[2000:3300, :1300]
    second[300:1500, 1300:2500] = pages.article[3000:4200, :1200]
    scenes = [board.pixmap(first), board.pixmap(second)]

    def step(number: int) -> None:
        scene, place = divmod(number, PICTURES_PER_SCENE)
        at = (place * PAN_STEP_PX[0], place * PAN_STEP_PX[1])
        board.copy(scenes[scene % 2], at, (0, 0), (board.width, board.height))

    return step


_ALL = (
    Workload("idle", 0, _idle),
    Workload("typing", 5, _typing, jitter=0.25),
    Workload("terminal-scroll", 60, _terminal_scroll),
    Workload("web-scroll", 60, _web_scroll),
    Workload("drag", 60, _drag),
    Workload("video", 30, _video, has_film=True),
    Workload("full-screen", 30, _full_screen),
    Workload("key-echo", 4, _typing, jitter=0.25, is_by_key=True),
)
WORKLOADS: Mapping[str, Workload] = {one.name: one for one in _ALL}
