"""No picture of a real X server ever has one pixel of a private window, whatever it does meanwhile."""

import random
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import numpy as np
import pytest

from agent.capabilities.screen.worker import open_masked
from agent.platform.interfaces import Area, ScreenSource
from agent.platform.x11.window_words import WINDOWS_LIMIT
from protocol.private_windows import PrivateWindow
from tests.support.secret_window import (
    PLAIN_WORD,
    SECRET_WORD,
    SecretProgram,
    secret_pixels,
    secret_program,
)
from tests.support.xvfb import Xvfb, start_xvfb

pytestmark = pytest.mark.real

SIZE = (640, 480)
WHOLE = Area(0, 0, *SIZE)
BY_CLASS = PrivateWindow(window_class="Vault")
BY_TITLE = PrivateWindow(title="*secret*")
STEPS = 300
PICTURES = 60


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with start_xvfb(SIZE) as server:
        yield pointed_at(server, monkeypatch)


@pytest.fixture
def managed(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """With a window manager, which puts every window into a frame of its own."""
    with start_xvfb(SIZE, has_openbox=True) as server:
        yield pointed_at(server, monkeypatch)


def pointed_at(server: Xvfb, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DISPLAY", server.display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return server.display


@contextmanager
def masked(*entries: PrivateWindow, source: str = "xcffib") -> Iterator[ScreenSource]:
    opened = open_masked(source, entries)
    try:
        yield opened
    finally:
        opened.close()


class Meanwhile:
    """`act` goes on, step by step, in a thread of its own until the body has ended."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self.steps = 0
        self._act = act
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            self._act(self.steps)
            self.steps += 1


def leaks_while(act: Callable[[int], None], source: ScreenSource) -> int:
    """How many pixels leaked in many pictures, taken one after the other as the share does."""
    leaked = pictures = 0
    with Meanwhile(act) as acting:
        while pictures < PICTURES or acting.steps < STEPS:
            source.look()
            leaked += secret_pixels(source.grab(WHOLE))
            pictures += 1
    return leaked


def raw_shows_secret(display: str) -> bool:
    """Without this, a window that is never seen would make every test pass."""
    with masked() as bare:
        return secret_pixels(bare.grab(WHOLE)) > 0


@pytest.mark.parametrize("source", ["xcffib", "mss"])
def test_a_window_that_is_dragged_about_never_shows(display, source):
    places = random.Random(7)
    with secret_program(display) as program, masked(BY_CLASS, source=source) as shown:
        window = program.open((10, 10, 120, 90), names=("Vault", "my passwords"))
        program.show(window)
        assert raw_shows_secret(display)

        def drag(_: int) -> None:
            program.move(window, places.randrange(-60, 600), places.randrange(-40, 440))
            time.sleep(0.001)

        assert leaks_while(drag, shown) == 0


def test_a_window_that_is_resized_and_restacked_never_shows(display):
    with secret_program(display) as program, masked(BY_CLASS) as shown:
        window = program.open((10, 10, 120, 90), names=("Vault", ""))
        other = program.open((40, 40, 300, 300), names=("Editor", ""), word=PLAIN_WORD)
        program.show(window)
        program.show(other)

        def change(step: int) -> None:
            program.stack(window, is_raised=step % 2 == 0)
            program.resize(window, 50 + step % 500, 400 - step % 350)
            time.sleep(0.001)

        assert leaks_while(change, shown) == 0


def test_a_window_never_shows_at_the_moment_it_is_mapped_and_unmapped(display):
    with secret_program(display) as program, masked(BY_CLASS) as shown:
        window = program.open((100, 100, 200, 200), names=("Vault", ""))

        def blink(step: int) -> None:
            (program.show if step % 2 else program.hide)(window)
            program.move(window, step % 500, step % 400)
            time.sleep(0.001)

        assert leaks_while(blink, shown) == 0


def test_windows_that_come_and_are_gone_before_anyone_can_ask_them_never_show(display):
    with secret_program(display) as program, masked(BY_CLASS) as shown:

        def flash(step: int) -> None:
            window = program.open((step % 500, 50, 90, 90), names=("Vault", ""))
            program.show(window)
            program.destroy(window)
            time.sleep(0.001)

        assert leaks_while(flash, shown) == 0


def test_from_the_moment_its_title_fits_a_window_never_shows(display):
    """The program says its title first and paints then, as all do that have something to hide."""
    with secret_program(display) as program, masked(BY_TITLE) as shown:

        def browse(step: int) -> None:
            window = program.open((step % 500, 10, 90, 90), names=("Browser", "news"), word=PLAIN_WORD)
            program.show(window)
            time.sleep(0.002)
            program.title(window, "My SECRET bank")
            program.paint(window, SECRET_WORD)
            time.sleep(0.002)
            program.destroy(window)

        assert leaks_while(browse, shown) == 0


def test_a_title_that_fitted_only_while_a_picture_was_read_does_not_leak(display):
    with secret_program(display) as program, masked(BY_TITLE) as shown:
        window = program.open((10, 10, 300, 300), names=("Browser", "news"), word=PLAIN_WORD)
        program.show(window)

        def flicker(_: int) -> None:
            program.title(window, "secret")
            program.paint(window, SECRET_WORD)
            program.paint(window, PLAIN_WORD)
            program.title(window, "news")
            program.connection.flush()
            time.sleep(0.001)

        assert leaks_while(flicker, shown) == 0


def test_a_title_that_does_not_fit_any_more_leaves_the_window_private(display):
    with secret_program(display) as program, masked(BY_TITLE) as shown:
        window = program.open((10, 10, 300, 300), names=("Browser", "the secret page"))
        program.show(window)
        assert secret_pixels(shown.grab(WHOLE)) == 0
        program.title(window, "news")
        program.sync()
        assert secret_pixels(shown.grab(WHOLE)) == 0


def does_come(is_there: Callable[[], bool], limit_s: float = 5.0) -> bool:
    deadline_s = time.monotonic() + limit_s
    while not is_there() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return is_there()


def show_managed(program: SecretProgram, window: int, display: str) -> None:
    """Openbox leaves a window out that is mapped while it starts."""
    for _ in range(8):
        program.hide(window)
        program.show(window)
        if does_come(lambda: raw_shows_secret(display), 1.0):
            return
    raise AssertionError("the window is not shown")


def own_menu(program: SecretProgram, window: int) -> int:
    """A menu without a word, as Xt's are: only the connection tells whose it is."""
    return program.open((300, 200, 80, 80), is_popup=True)


def own_dialog(program: SecretProgram, window: int) -> int:
    dialog = program.open((300, 200, 80, 80), names=("Other", "Save?"))
    program.number(dialog, "WM_TRANSIENT_FOR", window)
    return dialog


def dialog_of_the_dialog(program: SecretProgram, window: int) -> int:
    dialog = program.open((300, 200, 80, 80), names=("Other", "Really?"))
    program.number(dialog, "WM_TRANSIENT_FOR", own_dialog(program, window))
    return dialog


@pytest.mark.parametrize("opened_by", [own_menu, own_dialog, dialog_of_the_dialog])
def test_menus_and_dialogs_of_a_private_window_never_show(display, opened_by):
    with secret_program(display) as program, masked(BY_CLASS) as shown:
        window = program.open((10, 10, 120, 90), names=("Vault", ""))
        program.show(window)
        more = opened_by(program, window)

        def blink(step: int) -> None:
            (program.show if step % 2 else program.hide)(more)
            time.sleep(0.001)

        assert leaks_while(blink, shown) == 0


@pytest.mark.parametrize("word", ["_NET_WM_PID", "WM_CLIENT_LEADER", "WM_TRANSIENT_FOR"])
def test_a_popup_of_another_connection_is_known_by_what_it_says(display, word):
    with (
        secret_program(display) as program,
        secret_program(display) as second,
        masked(BY_CLASS) as shown,
    ):
        window = program.open((10, 10, 120, 90), names=("Vault", ""))
        number = window if word == "WM_TRANSIENT_FOR" else 4711
        program.number(window, word if word != "WM_TRANSIENT_FOR" else "_NET_WM_PID", 4711)
        program.show(window)
        popup = second.open((300, 200, 80, 80), is_popup=True)
        second.show(popup)
        assert secret_pixels(shown.grab(WHOLE)) == 80 * 80, "nothing says yet whose it is"
        second.number(popup, word, number)
        second.sync()
        assert secret_pixels(shown.grab(WHOLE)) == 0


def embedded_at_birth(program: SecretProgram, second: SecretProgram, socket: int) -> int:
    return second.open((20, 20, 90, 70), names=("Vault", "passwords"), parent=socket)


def embedded_later(program: SecretProgram, second: SecretProgram, socket: int) -> int:
    plug = second.open((500, 400, 90, 70), names=("Vault", "passwords"))
    second.core.ReparentWindow(plug, socket, 20, 20)
    return plug


def embedded_and_named_later(program: SecretProgram, second: SecretProgram, socket: int) -> int:
    plug = second.open((20, 20, 90, 70), parent=socket)
    second.sync()
    time.sleep(0.05)
    second.title(plug, "Vault")
    return plug


@pytest.mark.parametrize("embed", [embedded_at_birth, embedded_later, embedded_and_named_later])
def test_a_private_window_inside_of_the_window_of_another_program_never_shows(display, embed):
    """As a tabbed terminal or an embedded viewer has it; the whole window around it is covered."""
    entries = (BY_CLASS, PrivateWindow(title="vault"))
    with (
        secret_program(display) as program,
        secret_program(display) as second,
        masked(*entries) as shown,
    ):
        outer = program.open((50, 50, 300, 200), names=("Tabs", "tabs"), word=PLAIN_WORD)
        page = program.open((10, 10, 250, 150), word=PLAIN_WORD, parent=outer)
        socket = program.open((10, 10, 200, 100), word=PLAIN_WORD, parent=page)
        for window in (socket, page, outer):
            program.show(window)
        assert secret_pixels(shown.grab(WHOLE)) == 0
        plug = embed(program, second, socket)
        assert not raw_shows_secret(display)

        def blink(step: int) -> None:
            program.move(outer, step % 250, step % 200)
            (second.show if step % 3 else second.hide)(plug)
            time.sleep(0.001)

        assert leaks_while(blink, shown) == 0
        second.show(plug)
        assert raw_shows_secret(display)
        assert secret_pixels(shown.grab(WHOLE)) == 0


def test_a_window_with_more_windows_in_it_than_can_be_asked_is_covered(display):
    with secret_program(display) as program, masked(BY_CLASS) as shown:
        outer = program.open((50, 50, 300, 200), names=("Toolkit", "many"))
        for index in range(WINDOWS_LIMIT):
            program.core.MapWindow(program.open((index % 300, index // 300, 1, 1), parent=outer))
        program.show(outer)
        assert secret_pixels(shown.grab(WHOLE)) == 0


def test_other_windows_of_the_same_program_and_other_programs_are_shown(display):
    with secret_program(display) as program, masked(BY_TITLE) as shown:
        private = program.open((10, 10, 100, 100), names=("Browser", "secret"))
        public = program.open((300, 200, 50, 40), names=("Browser", "news"))
        program.show(private)
        program.show(public)
        assert secret_pixels(shown.grab(WHOLE)) == 50 * 40


def test_in_a_frame_of_a_window_manager_the_frame_is_covered_too(managed):
    with secret_program(managed) as program, masked(BY_CLASS) as shown:
        frames = random.Random(3)
        window = program.open((50, 50, 200, 100), names=("Vault", "passwords"))

        def live(step: int) -> None:
            if step % 40 == 0:
                program.show(window)
            elif step % 40 == 39:
                program.hide(window)
            else:
                program.move(window, frames.randrange(400), frames.randrange(300))
            time.sleep(0.003)

        assert leaks_while(live, shown) == 0
        show_managed(program, window, managed)
        assert secret_pixels(shown.grab(WHOLE)) == 0


def test_a_window_that_was_there_before_us_is_found_in_its_frame(managed):
    with secret_program(managed) as program:
        window = program.open((50, 50, 200, 100), names=("Vault", "passwords"))
        show_managed(program, window, managed)
        with masked(BY_CLASS) as shown:
            assert secret_pixels(shown.grab(WHOLE)) == 0


def test_the_place_that_a_window_left_heals_and_all_else_is_exact(display):
    with secret_program(display) as program, masked(BY_CLASS) as shown, masked() as bare:
        window = program.open((10, 10, 120, 90), names=("Vault", ""))
        program.show(window)
        shown.look()
        assert not np.array_equal(shown.grab(WHOLE), bare.grab(WHOLE))
        program.move(window, 400, 300)
        places = {Area(10, 10, 120, 90), Area(400, 300, 120, 90)}
        deadline_s, damage, is_exact = time.monotonic() + 3.0, set(), False
        while time.monotonic() < deadline_s and not (is_exact and places <= damage):
            damage |= set(shown.look().damage)  # a picture may know of the move before it is told
            picture = shown.grab(WHOLE)
            is_exact = np.array_equal(picture[:300, :, :3], bare.grab(WHOLE)[:300, :, :3])
            time.sleep(0.05)
        assert is_exact
        assert places <= damage


def test_while_a_private_window_paints_nothing_is_damaged(display):
    with secret_program(display) as program, masked(BY_CLASS) as shown:
        window = program.open((10, 10, 120, 90), names=("Vault", ""))
        program.show(window)
        for _ in range(5):
            shown.look()
            time.sleep(0.02)
        damage = []
        for step in range(20):
            program.paint(window, SECRET_WORD + step)
            program.sync()
            damage += shown.look().damage
        assert damage == []


def test_a_new_title_wakes_the_source_also_when_nothing_is_painted(display):
    with secret_program(display) as program, masked(BY_TITLE) as shown:
        window = program.open((10, 10, 120, 90), names=("Browser", "news"))
        program.show(window)
        for _ in range(5):
            shown.look()
            time.sleep(0.02)
        assert select.select([shown.wake_fd], [], [], 0)[0] == []
        program.title(window, "secret")
        program.sync()
        assert select.select([shown.wake_fd], [], [], 2.0)[0]
        assert Area(10, 10, 120, 90) in shown.look().damage


def test_events_that_another_program_made_up_do_not_move_a_cover(display):
    with secret_program(display) as program, masked(BY_CLASS) as shown:
        window = program.open((10, 10, 120, 90), names=("Vault", ""))
        program.show(window)
        shown.look()
        lie = program.xproto.ConfigureNotifyEvent.synthetic(program.root, window, 0, 500, 400, 5, 5, 0, 0)
        gone = program.xproto.DestroyNotifyEvent.synthetic(program.root, window)
        for event in (lie, gone):
            program.core.SendEvent(
                False, program.root, program.xproto.EventMask.SubstructureNotify, event.pack()
            )
        program.sync()
        time.sleep(0.6)
        assert secret_pixels(shown.grab(WHOLE)) == 0


def test_an_empty_list_covers_nothing_on_suspicion(display):
    with masked() as bare, secret_program(display) as program:
        assert "private windows" not in bare.detail
        window = program.open((0, 0, 100, 100), names=("Crowded", ""))
        for _ in range(WINDOWS_LIMIT + 1):
            program.open((0, 0, 1, 1), parent=window)
        program.show(window)
        for title in ("one", "two", "three"):
            program.title(window, title)
        assert secret_pixels(bare.grab(WHOLE)) == 100 * 100
