"""The desktop process: builds its parts, runs Tk in the main thread, ends when the service's socket ends."""

import contextlib
import getpass
import math
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any

import structlog

from agent.desktop.font_scale import measure_as_drawn
from agent.desktop.hot_key import HotKey
from agent.desktop.input_gate import InputGate
from agent.desktop.ipc import ServiceLink
from agent.desktop.ipc_messages import DesktopHello, InputHeldBack, PromptAnswered, ShowCard, ShowPrompt
from agent.desktop.language import language_of
from agent.desktop.orders import Orders, Parts
from agent.desktop.restack_watch import RestackWatch
from agent.desktop.screen_workers import WORKER_ARGV, ScreenWorkers, WorkerTerms
from agent.desktop.watch import StuckWatch
from agent.desktop.x11_windows import WindowProperties
from agent.platform.input_interface import PersonWatch, TellPerson
from agent.platform.x11.guarded_input import open_guarded_injector
from agent.platform.x11.input import XTestInjector
from agent.platform.x11.monitors import read_displays
from protocol.errors import BackendUnavailable, ErrorCode, ExitStatus, SupportError, error_text, exit_status
from protocol.limits import NAME_LIMIT_CHARS
from protocol.version import PROTOCOL_VERSION

if TYPE_CHECKING:
    import tkinter as tk

    from agent.desktop.card_window import Cards
    from agent.desktop.looks import Looks
    from agent.desktop.palette import Palette
    from agent.desktop.prompt import Prompt, PromptTools
    from agent.desktop.questions import Questions
    from agent.desktop.tray import Tray

log = structlog.get_logger()

EDGE_PX = 4  # of the coloured edge, for 96 dots an inch
RESTACK_MS = 100  # a dragged window tells of every step


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once at the start. `display` is an X display, for example ":0"; `languages` best first.

    `choice_path`: the file that keeps light or dark. `bus_address`: the session bus's, for the icon.
    `service_uid`: whom the service runs as, where that is another user.
    """

    socket_path: Path
    display: str
    worker_argv: tuple[str, ...] = WORKER_ARGV
    languages: tuple[str, ...] = ()
    has_tray: bool = False
    choice_path: Path | None = None
    bus_address: str = ""
    service_uid: int | None = None


def run(settings: Settings) -> int:
    """Serve until the service goes away or a signal comes; returns the exit status.

    Raises:
        SupportError: E_NOT_RUNNING, E_IDENTITY_OWNER, or E_SCREEN_NONE.
    """
    root = open_root(settings.display)
    _release_leftovers(settings.display)
    hello = DesktopHello(
        version=PROTOCOL_VERSION,
        os_session=f"x11{settings.display}"[:NAME_LIMIT_CHARS],
        user=_user_name()[:NAME_LIMIT_CHARS],
        pid=os.getpid(),
    )
    try:
        link = ServiceLink(settings.socket_path, hello, settings.service_uid)
    except SupportError:
        root.destroy()
        raise
    return Desktop(root, link, settings).serve()


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return str(os.getuid())


def _release_leftovers(display: str) -> None:
    """A process before us may have been killed while a technician held keys down."""
    with contextlib.suppress(BackendUnavailable):
        injector = XTestInjector(display)
        injector.release_leftovers()
        injector.close()


def open_root(display: str) -> "tk.Tk":
    """The hidden Tk root.

    Raises:
        BackendUnavailable: E_SCREEN_NONE, Tk is not installed or the display does not answer.
    """
    try:
        import tkinter as tk
    except ImportError as exc:
        raise BackendUnavailable(f"{exc}; install it with: apt-get install python3-tk") from None
    if not display:
        raise BackendUnavailable("no display: DISPLAY is not set")
    try:
        root = tk.Tk(screenName=display, baseName="alongside", className="Alongside")
    except tk.TclError as exc:
        raise BackendUnavailable(str(exc)) from None
    root.withdraw()
    # Tk's `send` would let every program on this display run Tcl in here, and so press Allow
    root.tk.call("rename", "send", "")
    return root


class Desktop:
    """Owns the windows, the threads and the order of their end."""

    def __init__(self, root: "tk.Tk", link: ServiceLink, settings: Settings) -> None:
        from agent.desktop.edges import Edges
        from agent.desktop.indicator import BarCalls, Bars
        from agent.desktop.questions import Questions
        from agent.desktop.wishes import Wishes

        self._root, self._link, self._display = root, link, settings.display
        self._status = int(ExitStatus.OK)
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake_fd, self._waker_fd = os.pipe()
        self._properties = WindowProperties(settings.display)
        self._wishes = Wishes(self._properties.desktop_settings, settings.choice_path)
        self._looks = _looks(root, self._properties, settings.languages, self._wishes.palette)
        self._keys = HotKey(settings.display, lambda: self._orders.stop_all())
        has_hot_key = self._keys.is_available()
        self._restacked = RestackWatch(settings.display, lambda: self._bars.frame_ids())
        is_told = self._restacked.descriptor() is not None
        calls = BarCalls(
            lambda name, number: self._orders.shown(name, number),
            lambda name: self._orders.stop(name),
            is_told,
        )
        edges = Edges(settings.display, self._looks.px(EDGE_PX))
        self._bars = Bars(self._looks, self._properties, calls, edges)
        self._workers = ScreenWorkers(WorkerTerms(settings.socket_path, settings.worker_argv), link.send)
        self._gate = _gate(settings.display, link.send)
        self._watch = StuckWatch(lambda: self._post(self._beat), self._workers.kill_all)
        self._prompt_tools = self._new_prompt_tools(has_hot_key=has_hot_key)
        self._orders = Orders(
            Parts(
                send=link.send,
                open_prompt=self._open_prompt,
                bars=self._bars,
                workers=self._workers,
                gate=self._gate,
                keys=self._keys,
                read_displays=lambda: read_displays(settings.display),
                leave=self._leave,
                later=self._later,
                show_card=self._show_card,
            )
        )
        self._questions = Questions(settings.socket_path, self._post, settings.service_uid)
        self._cards: Cards | None = None
        self._tray = self._new_tray(self._questions, settings.bus_address) if settings.has_tray else None

    def _new_prompt_tools(self, *, has_hot_key: bool) -> "PromptTools":
        from agent.desktop.prompt import PromptTools

        return PromptTools(
            self._looks,
            self._properties,
            has_hot_key,
            lambda: self._gate.is_settled,
            lambda: self._bars.height,
        )

    def _open_prompt(self, order: ShowPrompt, on_answer: Callable[[PromptAnswered], None]) -> "Prompt":
        from agent.desktop.prompt import Prompt

        self._looks.dress()
        # another program may have taken the keys, or given them back, since the last question
        tools = replace(self._prompt_tools, has_hot_key=self._keys.is_available())
        return Prompt(tools, order, on_answer)

    def _show_card(self, order: ShowCard) -> None:
        from agent.desktop.card_window import Cards

        if self._cards is None:
            self._cards = Cards(self._looks, self._properties, self._questions)
        self._cards.show(order)
        self._orders.prompt_first()

    def _new_tray(self, questions: "Questions", bus_address: str) -> "Tray":
        from agent.desktop.tray import Tray, TrayTools

        return Tray(
            TrayTools(
                display=self._display,
                bus_address=bus_address,
                looks=self._looks,
                properties=self._properties,
                questions=questions,
                wishes=self._wishes,
                session_count=lambda: len(self._bars.session_ids),
                mismatched=lambda name: self._orders.stop(name, is_mismatch=True),
                prompt_first=lambda: self._orders.prompt_first(),
            )
        )

    def serve(self) -> int:
        """Run the main loop to its end; returns the exit status."""
        root: Any = self._root
        root.report_callback_exception = self._on_crash
        os.set_blocking(self._waker_fd, False)
        signal.set_wakeup_fd(self._waker_fd, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._post(self._root.quit))
        self._on_readable(self._wake_fd, self._take_calls)
        keys_fd, restack_fd = self._keys.descriptor(), self._restacked.descriptor()
        if keys_fd is not None:
            self._on_readable(keys_fd, self._keys.read)
        if restack_fd is not None:
            self._on_readable(restack_fd, lambda: self._soon_check(restack_fd))
        tray_fd = self._tray.descriptor() if self._tray is not None else None
        if self._tray is not None and tray_fd is not None:
            self._on_readable(tray_fd, self._tray.read)
        self._link.start(lambda order: self._post(lambda: self._carry_out(order)), self._on_service_gone)
        log.info("desktop.ready", display=str(root.tk.call("winfo", "screen", ".")))
        try:
            root.mainloop()
        finally:
            self._close([fd for fd in (keys_fd, restack_fd, tray_fd) if fd is not None])
        return self._status

    def _on_readable(self, fd: int, call: Callable[[], object]) -> None:
        root: Any = self._root
        readable = root.tk.READABLE if hasattr(root.tk, "READABLE") else 2
        root.tk.createfilehandler(fd, readable, lambda *_: call())

    def _soon_check(self, fd: int) -> None:
        root: Any = self._root
        root.tk.deletefilehandler(fd)

        def check() -> None:
            if self._restacked.read():
                self._bars.check()
            self._on_readable(fd, lambda: self._soon_check(fd))

        root.after(RESTACK_MS, check)

    def _carry_out(self, order: Any) -> None:
        self._orders.carry_out(order)
        self._beat()

    def _beat(self) -> None:
        self._watch.beat()
        has_session = bool(self._bars.session_ids)
        self._watch.watch(is_needed=has_session)
        self._restacked.watch(is_needed=has_session)
        self._orders.take_keys()
        if has_session and self._cards is not None:
            self._cards.hide()  # whoever is here now could press in it
        if self._tray is not None:
            self._tray.sessions_changed()

    def _post(self, call: Callable[[], None]) -> None:
        self._calls.put(call)
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._waker_fd, b"\0")

    def _take_calls(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_fd, 4096)
        while True:
            try:
                call = self._calls.get_nowait()
            except Empty:
                return
            try:
                call()
            except Exception:  # noqa: BLE001 -- the root of the window thread: a crash is a refusal
                self._on_crash(*sys.exc_info())
                return

    def _later(self, in_s: float, call: Callable[[], None]) -> None:
        self._root.after(math.ceil(in_s * 1000), call)

    def _on_service_gone(self, fault: SupportError | None) -> None:
        def end() -> None:
            if fault is not None:
                log.error("desktop.ipc_broken", code=str(fault.code), detail=fault.detail)
                self._status = int(exit_status(fault.code))
            self._root.quit()

        self._post(end)

    def _leave(self, code: str) -> None:
        print(f"{error_text(code).sentence} {error_text(code).remedy} ({code})", file=sys.stderr)
        self._status = int(exit_status(code))
        self._root.quit()

    def _on_crash(
        self, kind: type[BaseException] | None, crash: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert crash is not None
        log.error("desktop.crashed", code=str(ErrorCode.E_INTERNAL), exc_info=crash)
        self._status = int(ExitStatus.INTERNAL)
        self._root.quit()

    def _close(self, read_fds: list[int]) -> None:
        root: Any = self._root
        self._workers.kill_all()
        self._gate.close()
        signal.set_wakeup_fd(-1)
        root.tk.deletefilehandler(self._wake_fd)
        for fd in read_fds:
            root.tk.deletefilehandler(fd)
        if self._tray is not None:
            self._tray.close()
        self._keys.close()
        self._restacked.close()
        self._bars.close()
        self._properties.close()
        self._link.close()
        root.destroy()


def _looks(
    root: "tk.Tk", properties: WindowProperties, languages: tuple[str, ...], wanted: "Callable[[], Palette]"
) -> "Looks":
    from agent.desktop.looks import Looks
    from agent.desktop.place import least_room

    dots_per_inch = properties.resource("Xft.dpi")
    measure_as_drawn(root, dots_per_inch)
    return Looks(root, dots_per_inch, language_of(languages), wanted, least_room(root, properties))


def _gate(display: str, tell: Callable[[InputHeldBack], None]) -> InputGate:
    return InputGate(
        lambda: open_guarded_injector(display),
        tell,
        open_watch=lambda tell_person: _open_person_watch(display, tell_person),
    )


def _open_person_watch(display: str, tell: TellPerson) -> PersonWatch:
    from agent.platform.x11.person_watch import open_person_watch  # not before somebody controls

    return open_person_watch(display, tell)
