"""At 200 and 300 % everything of ours is as much larger as the desktop says, letters and buttons alike."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.desktop.font_scale import dots
from agent.desktop.ipc_messages import IndicatorShown
from tests.support.desktop_person import seen
from tests.support.desktop_service import DesktopProcess, a_prompt, an_indicator
from tests.support.x_display import set_resolution, x_display
from tests.support.x_person import Seen, XPerson

SIZE = "1920x1080"


@pytest.mark.parametrize("setting", ["", "many", "0", "-96", "nan", "inf", "1e9"])
def test_a_resolution_that_makes_no_sense_is_none(setting: str) -> None:
    assert dots(setting) is None


def test_a_resolution_may_have_a_point() -> None:
    assert (dots("96"), dots("163.5")) == (96.0, 163.5)


@contextmanager
def shown_at(per_inch: int, folder: Path) -> Iterator[tuple[XPerson, dict[str, Seen]]]:
    """The bar and a prompt on a desktop of this resolution, and how large they are."""
    folder.mkdir()
    with x_display(SIZE) as display:
        set_resolution(display, per_inch)
        desktop, person = DesktopProcess(folder, display), XPerson(display)
        try:
            desktop.order(an_indicator())
            desktop.expect(IndicatorShown)
            desktop.order(a_prompt())
            yield person, {part: seen(person, part) for part in ("refuse", "more_time", "block", "stop")}
        finally:
            person.close()
            assert desktop.close() == 0


@pytest.mark.real
def test_con_21_letters_grow_as_the_desktop_says_and_not_twice(tmp_path: Path) -> None:
    with shown_at(96, tmp_path / "96") as (_, usual):
        pass
    for per_inch in (192, 288):
        with shown_at(per_inch, tmp_path / str(per_inch)) as (_, large):
            for part, before in usual.items():
                for one, other in ((before.width, large[part].width), (before.height, large[part].height)):
                    assert abs(other / one - per_inch / 96) < 0.12 * per_inch / 96, (part, per_inch)
                at = large[part]
                assert at.x >= 0 and at.x + at.width <= 1920, (part, per_inch)  # noqa: PT018  as one box
                assert at.y >= 0 and at.y + at.height <= 1080, (part, per_inch)  # noqa: PT018  as above


def cut_in_two(display: str) -> None:
    """A monitor of 1280 x 1024, and right of it one of 1024 x 768."""
    for name, place, output in (
        ("left", "1280/340x1024/270+0+0", "screen"),
        ("right", "1024/270x768/200+1280+100", "none"),
    ):
        subprocess.run(["xrandr", "-d", display, "--setmonitor", name, place, output], check=True)


@pytest.mark.real
@pytest.mark.parametrize("is_new", [False, True])
def test_a_prompt_is_no_larger_than_the_smaller_of_two_displays(tmp_path: Path, is_new: bool) -> None:
    with x_display("2304x1024") as display:
        set_resolution(display, 288)
        if not is_new:
            cut_in_two(display)
        desktop, person = DesktopProcess(tmp_path, display), XPerson(display)
        try:
            if is_new:  # plugged in while the desktop process runs
                cut_in_two(display)
            person.click(1800, 400)
            desktop.order(a_prompt(("input.control",)))
            for part in ("refuse", "allow", "more_time", "block"):
                at = seen(person, part)
                assert 1280 <= at.x <= at.x + at.width <= 2304, part
                assert 100 <= at.y <= at.y + at.height <= 868, part
        finally:
            person.close()
            assert desktop.close() == 0
