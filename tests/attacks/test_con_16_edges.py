"""The coloured edge: thin, on every display, never in the way of a click, and back when it is taken away."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations

import pytest
import xcffib
import xcffib.xproto
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.desktop.edges import WINDOW_CLASS, Edges, Strip, strips
from agent.desktop.ipc_messages import HideIndicator, IndicatorShown
from agent.desktop.palette import LIGHT
from protocol.messages.diagnostics import Display
from tests.support.desktop_service import DesktopProcess, an_indicator, wait_for
from tests.support.x_display import x_display
from tests.support.x_person import Seen, XPerson
from tests.support.xvfb import start_xvfb

LIMIT_S = 20.0
COLOUR = "#0a675f"


def edges_seen(person: XPerson) -> list[Seen]:
    """The edge's windows that can be seen, the lowest first."""
    core = person.connection.core
    atom = core.InternAtom(False, 8, "WM_CLASS").reply().atom
    found = []
    for window in core.QueryTree(person.root).reply().children:
        with suppress(xcffib.xproto.WindowError, xcffib.xproto.DrawableError):  # it went away meanwhile
            name = bytes(core.GetProperty(False, window, atom, 0, 0, 64).reply().value.buf())
            if WINDOW_CLASS.encode() in name and core.GetWindowAttributes(window).reply().map_state == 2:
                at = core.GetGeometry(window).reply()
                found.append(Seen(window, at.x, at.y, at.width, at.height))
    return found


def ground_of(person: XPerson, part: str) -> str:
    """The colour right beside this control; "" while it is not there."""
    at = person.find(part)
    if at is None:
        return ""
    shot = person.connection.core.GetImage(2, person.root, at.x - 2, at.y + at.height // 2, 1, 1, 0xFFFFFFFF)
    blue, green, red = bytes(shot.reply().data.raw)[:3]
    return f"#{red:02x}{green:02x}{blue:02x}"


def places(person: XPerson) -> set[Strip]:
    return {Strip(one.x, one.y, one.width, one.height) for one in edges_seen(person)}


@given(st.integers(0, 4000), st.integers(64, 4000), st.integers(64, 4000), st.integers(1, 16))
def test_the_strips_lie_inside_their_display_and_do_not_overlap(
    x: int, width: int, height: int, thickness: int
) -> None:
    sides = strips([Display(name="A", x=x, y=7, width=width, height=height)], thickness)
    for side in sides:
        assert side.width > 0
        assert side.height > 0
        assert x <= side.x
        assert side.x + side.width <= x + width
        assert side.y >= 7
        assert side.y + side.height <= 7 + height
    for one, other in combinations(sides, 2):
        is_beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert is_beside or one.y + one.height <= other.y or other.y + other.height <= one.y


RIGHT = ("right", "640/160x800/200+640+0", "none")


def set_monitor(display: str, *words: str) -> None:
    subprocess.run(["xrandr", "-d", display, "--setmonitor", *words], check=True)


@pytest.fixture
def two_displays(display: str) -> Iterator[str]:
    """The display cut into two monitors, side by side."""
    set_monitor(display, "left", "640/160x800/200+0+0", "screen")
    set_monitor(display, *RIGHT)
    yield display
    for name in ("right", "left"):
        subprocess.run(["xrandr", "-d", display, "--delmonitor", name], check=True)


@pytest.mark.real
def test_con_16_every_display_has_an_edge_and_it_goes_with_the_session(
    two_displays: str, desktop: DesktopProcess, person: XPerson
) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    both = [Display(name=name, x=x, y=0, width=640, height=800) for name, x in (("L", 0), ("R", 640))]
    wait_for(lambda: places(person) == set(strips(both, 4)), LIMIT_S)
    subprocess.run(["xrandr", "-d", two_displays, "--delmonitor", "right"], check=True)
    wait_for(lambda: places(person) == set(strips(both[:1], 4)), LIMIT_S)
    set_monitor(two_displays, *RIGHT)
    wait_for(lambda: places(person) == set(strips(both, 4)), LIMIT_S)
    desktop.order(HideIndicator(session_id="s1"))
    wait_for(lambda: not edges_seen(person), LIMIT_S)


@pytest.mark.real
def test_con_16_an_edge_that_is_destroyed_covered_or_moved_comes_back(
    desktop: DesktopProcess, person: XPerson
) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    wait_for(lambda: len(edges_seen(person)) == 4, LIMIT_S)
    whole = places(person)
    core = person.connection.core
    first, second, third, _ = edges_seen(person)
    core.DestroyWindow(first.window)
    core.UnmapWindow(second.window)
    core.ConfigureWindow(third.window, 1, [3000])
    wait_for(lambda: places(person) == whole, LIMIT_S)
    cover = person.cover(Seen(0, 0, 0, 1280, 800))

    def is_above() -> bool:
        order = [*core.QueryTree(person.root).reply().children]
        edges = edges_seen(person)
        return len(edges) == 4 and all(order.index(edge.window) > order.index(cover) for edge in edges)

    wait_for(is_above, LIMIT_S)
    core.DestroyWindow(cover)


@pytest.mark.real
def test_a_click_on_the_edge_reaches_what_lies_under_it() -> None:
    with x_display() as display:
        person = XPerson(display)
        edges = Edges(display, 4)
        core = person.connection.core
        under = person.cover(Seen(0, 0, 0, 1280, 800))
        core.ChangeWindowAttributes(under, 1 << 11, [1 << 2])  # button presses
        edges.show(COLOUR, 0)
        wait_for(lambda: len(edges_seen(person)) == 4, LIMIT_S)
        person.click(1, 400)
        event = person.connection.wait_for_event()
        assert event.event == under
        edges.close()
        edges.close()
        wait_for(lambda: not edges_seen(person), LIMIT_S)
        person.close()


@pytest.mark.real
def test_an_edge_that_stands_right_is_left_alone() -> None:
    """Each change of the screen is one that a viewer gets: showing again what is shown makes none."""
    with x_display() as display:
        person = XPerson(display)
        edges = Edges(display, 4)
        edges.show(COLOUR, 0)
        wait_for(lambda: len(edges_seen(person)) == 4, LIMIT_S)
        core = person.connection.core
        core.ChangeWindowAttributes(person.root, 1 << 11, [1 << 19])  # what becomes of its children
        core.GetInputFocus().reply()
        bar = person.cover(Seen(0, 500, 0, 200, 40))
        edges.show(COLOUR, bar)
        core.GetInputFocus().reply()
        while person.connection.poll_for_event() is not None:
            pass
        for _ in range(5):
            edges.show(COLOUR, bar)
        core.GetInputFocus().reply()
        assert person.connection.poll_for_event() is None
        edges.close()
        person.close()


@pytest.mark.real
def test_con_16_without_its_server_the_edge_gives_up_at_once() -> None:
    with start_xvfb() as server:
        edges = Edges(server.display, 4)
        edges.show(COLOUR, 0)
        os.kill(server.pid, signal.SIGKILL)
        for _ in range(3):
            edges.show(COLOUR, 0)
        edges.hide()
        edges.close()


@pytest.mark.real
@pytest.mark.parametrize(("organisation", "ground"), [("Acme Ltd", LIGHT.bar), ("", LIGHT.bar_alarm)])
def test_con_12_the_bar_of_somebody_whom_nobody_knows_is_red(
    desktop: DesktopProcess, person: XPerson, organisation: str, ground: str
) -> None:
    desktop.order(replace(an_indicator(), organisation_name=organisation))
    desktop.expect(IndicatorShown)
    wait_for(lambda: ground_of(person, "stop") == ground, LIMIT_S)
