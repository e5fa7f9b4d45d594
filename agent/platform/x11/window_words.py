"""What X11 windows say of themselves: class, titles, and whose they are.

Sources: Inter-Client Communication Conventions Manual 2.0, section 4.1.2 (WM_CLASS, WM_NAME,
WM_TRANSIENT_FOR) and 5.1 (WM_CLIENT_LEADER); Extended Window Manager Hints 1.5 (_NET_WM_NAME, _NET_WM_PID).
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agent.platform.interfaces import WindowWords
from agent.platform.x11.bindings import Bindings
from protocol.limits import WINDOW_TEXT_LIMIT_CHARS

DEPTH_LIMIT = 6
"""Window managers put a program's window at most two frames deep, and others in it a few levels deeper."""
WINDOWS_LIMIT = 1024
WM_NAME, WM_CLASS, WM_TRANSIENT_FOR = 39, 67, 68  # X protocol, appendix B: predefined atoms
ANY_TYPE = 0
TEXT_WORDS = WINDOW_TEXT_LIMIT_CHARS  # four bytes a character at most
BYTES_A_WORD = 4


@dataclass(frozen=True, slots=True)
class Atoms:
    """The properties that are read."""

    net_name: int
    leader: int
    process_id: int
    state: int

    @property
    def titles(self) -> frozenset[int]:
        """Those that hold a title."""
        return frozenset({WM_NAME, self.net_name})

    @property
    def all(self) -> frozenset[int]:
        """Those whose change makes a window another one."""
        others = {WM_CLASS, WM_TRANSIENT_FOR, self.leader, self.process_id, self.state}
        return self.titles | others


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a window on the desktop; `containers`: windows in which a program's may come to be."""

    itself: WindowWords
    inside: tuple[WindowWords, ...]
    containers: tuple[int, ...]
    is_drawn: bool


class WordReader:
    """Asks for the words of a window and of those in it, and for events when they change."""

    def __init__(self, bindings: Bindings, connection: Any, owner_mask: int) -> None:
        self._xproto = bindings.xproto
        self._connection = connection
        self._core = connection.core
        self._owner_mask = owner_mask
        names = ("_NET_WM_NAME", "WM_CLIENT_LEADER", "_NET_WM_PID", "WM_STATE")
        asked = [self._core.InternAtom(False, len(name), name) for name in names]
        self.atoms = Atoms(*(cookie.reply().atom for cookie in asked))

    def read(self, window_id: int) -> Reading | None:
        """The window and what is in it; None if there are more windows in it than can be asked.

        Programs may show windows of others in their own (XEmbed), so it goes on below a program's window.
        Raises xcffib's WindowError if it is gone.
        """
        mask, xproto = self._xproto.EventMask, self._xproto
        self._listen(window_id, mask.PropertyChange | mask.SubstructureNotify)
        is_drawn = self._core.GetWindowAttributes(window_id).reply()._class != xproto.WindowClass.InputOnly
        itself = self._ask(window_id)
        inside, containers, met = [itself], list[int](), 1
        level = list(self._core.QueryTree(window_id).reply().children)
        for _ in range(DEPTH_LIMIT):
            met += len(level)
            if met > WINDOWS_LIMIT:
                return None
            # events first: what is created or renamed after the questions is told
            for inner in level:
                self._listen(inner, mask.PropertyChange | mask.SubstructureNotify)
            programs = self._programs(level)
            inside += programs
            containers += set(level) - {words.window_id for words in programs}
            level = self._below(level)
            if not level:
                break
        return Reading(itself, tuple(inside), tuple(containers), is_drawn)

    def _programs(self, level: list[int]) -> list[WindowWords]:
        """The words of those that have any; decorations and the parts of a window have none."""
        signs = [
            {
                atom: self._core.GetProperty(False, window_id, atom, ANY_TYPE, 0, 0)
                for atom in (WM_CLASS, self.atoms.state, *self.atoms.titles)
            }
            for window_id in level
        ]
        found: list[WindowWords] = []
        for window_id, cookies in zip(level, signs, strict=True):
            # one that is gone: the window around it gets the event
            with suppress(self._xproto.WindowError):
                if any(reply.type for reply in self._replies(cookies).values()):
                    found.append(self._ask(window_id))
        return found

    def _below(self, level: list[int]) -> list[int]:
        below: list[int] = []
        for cookie in [self._core.QueryTree(window_id) for window_id in level]:
            with suppress(self._xproto.WindowError):
                below += cookie.reply().children
        return below

    def _listen(self, window_id: int, events: int) -> None:
        self._core.ChangeWindowAttributes(window_id, self._xproto.CW.EventMask, [events])

    def _ask(self, window_id: int) -> WindowWords:
        atoms = self.atoms
        in_texts = (WM_CLASS, WM_NAME, atoms.net_name)
        in_numbers = (WM_TRANSIENT_FOR, atoms.leader, atoms.process_id)
        lengths = dict.fromkeys(in_texts, TEXT_WORDS) | dict.fromkeys(in_numbers, 1)
        cookies = {
            atom: self._core.GetProperty(False, window_id, atom, ANY_TYPE, 0, words)
            for atom, words in lengths.items()
        }
        texts = self._replies(cookies)
        found = {atom: _number(texts[atom]) for atom in in_numbers}
        titles = [_text(texts[atom]) for atom in (WM_NAME, atoms.net_name)]
        return WindowWords(
            window_id,
            owner=window_id & self._owner_mask,
            process_id=found[atoms.process_id],
            leader=found[atoms.leader],
            transient_for=found[WM_TRANSIENT_FOR],
            classes=tuple(filter(None, _text(texts[WM_CLASS]).split("\0"))),
            titles=tuple(dict.fromkeys(filter(None, titles))),
            are_titles_cut=any(texts[atom].bytes_after for atom in (WM_NAME, atoms.net_name)),
        )

    def _replies(self, cookies: dict[int, Any]) -> dict[int, Any]:
        """Every reply; each is fetched, also when one is an error, because xcb keeps what is not."""
        replies: dict[int, Any] = {}
        failure: Exception | None = None
        for atom, cookie in cookies.items():
            try:
                replies[atom] = cookie.reply()
            except self._xproto.WindowError as exc:
                failure = exc
        if failure is not None:
            raise failure
        return replies


def _text(reply: Any) -> str:
    """Text of a property; older programs write Latin-1 where newer ones write UTF-8."""
    if reply.format != 8:
        return ""
    content = bytes(reply.value.raw)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _number(reply: Any) -> int:
    """The first number of a property; 0 where there is no such property."""
    if reply.format != 32 or not reply.value_len:
        return 0
    number: int = struct.unpack_from("=I", bytes(reply.value.raw)[:BYTES_A_WORD])[0]
    return number
