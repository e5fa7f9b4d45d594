"""The only place that asks what system this is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.platform.interfaces import EncodedScreenSource, ScreenSource, WindowWatch
from agent.platform.macos.bindings import load_bindings as load_mac_bindings
from agent.platform.macos.screen import NAME as SCREENCAPTUREKIT
from agent.platform.macos.screen import open_mac_screen
from agent.platform.portable.mss_screen import NAME as MSS
from agent.platform.portable.mss_screen import open_mss_screen
from agent.platform.wayland.screen import NAME as PIXELFLUX
from agent.platform.wayland.screen import check_wayland_screen, open_wayland_screen
from agent.platform.windows.screen import NAME as DXCAM
from agent.platform.windows.screen import load_dxcam, open_dxcam_screen
from agent.platform.x11.connection import refuse_xwayland
from agent.platform.x11.input import XTestInjector
from agent.platform.x11.screen import NAME as XCFFIB
from agent.platform.x11.screen import open_x11_screen
from agent.platform.x11.window_watch import open_x11_window_watch
from protocol.errors import BackendUnavailable, ErrorCode, UsageError

AUTO = "auto"
KNOWN_NAMES = (AUTO, XCFFIB, MSS, PIXELFLUX, DXCAM, SCREENCAPTUREKIT)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source that may work here. `open` imports its own bindings and raises BackendUnavailable.

    `check`, where opening would ask the person for something, says the same and asks nobody.
    """

    name: str
    open: Callable[[], ScreenSource | EncodedScreenSource]
    check: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """The source that works, and why the ones before it did not."""

    source: ScreenSource | EncodedScreenSource
    reasons: tuple[str, ...]


def session_kind(platform: str, environment: Mapping[str, str]) -> str:
    """ "windows", "macos", "wayland", "x11" or "headless"."""
    if platform == "win32":
        return "windows"
    if platform == "darwin":
        return "macos"
    if environment.get("WAYLAND_DISPLAY"):
        return "wayland"
    return "x11" if environment.get("DISPLAY") else "headless"


def screen_candidates(kind: str, environment: Mapping[str, str]) -> list[Candidate]:
    """The sources for a kind of session, best first."""
    display = environment.get("DISPLAY", "")
    place = (environment.get("WAYLAND_DISPLAY", ""), environment.get("XDG_RUNTIME_DIR", ""))
    x11 = Candidate(XCFFIB, lambda: open_x11_screen(display))
    match kind:
        case "x11":
            return [x11, Candidate(MSS, lambda: _open_mss_on_x11(display))]
        case "wayland":
            # refuses Xwayland by itself; a real X server may be reachable beside the compositor, and is exact
            wayland = Candidate(
                PIXELFLUX, lambda: open_wayland_screen(*place), lambda: check_wayland_screen(*place)
            )
            return [x11, wayland]
        case "windows":
            dxcam = Candidate(DXCAM, lambda: open_dxcam_screen(load_dxcam()))
            return [dxcam, Candidate(MSS, lambda: open_mss_screen(may_draw_cursor=False))]
        case "macos":
            kit = Candidate(SCREENCAPTUREKIT, lambda: open_mac_screen(load_mac_bindings()))
            return [kit, Candidate(MSS, lambda: open_mss_screen(may_draw_cursor=False))]
        case _:
            return []


def open_screen(wanted: str = AUTO) -> OpenedSource:
    """Opens the first source that works, or the wanted one.

    Raises:
        BackendUnavailable: none works; the detail has each one's reason.
        UsageError: there is no source of that name on this system.
    """
    candidates = screen_candidates(_kind_here(), os.environ)
    return open_first(candidates, wanted)


def open_first(candidates: list[Candidate], wanted: str) -> OpenedSource:
    """`open_screen` without a look at the system."""
    if wanted not in KNOWN_NAMES:
        raise UsageError(f"there is no screen source {wanted!r}; choose one of: {', '.join(KNOWN_NAMES)}")
    reasons: list[str] = []
    for candidate in candidates:
        if wanted not in {AUTO, candidate.name}:
            continue
        try:
            return OpenedSource(candidate.open(), tuple(reasons))
        except BackendUnavailable as exc:
            reasons.append(f"{candidate.name}: {exc.detail}")
    nothing = "no screen can be read here: there is no graphical session (DISPLAY is not set)"
    raise BackendUnavailable("; ".join(reasons) or nothing)


def open_window_watch() -> WindowWatch:
    """Watches the windows of the desktop that `open_screen` reads.

    Raises:
        BackendUnavailable: E_SCREEN_PRIVATE, nothing here can tell windows apart; the detail says why.
    """
    kind = _kind_here()
    if kind != "x11":
        detail = f"there is a list of private windows, and windows cannot be told apart on: {kind}"
        raise BackendUnavailable(detail, code=ErrorCode.E_SCREEN_PRIVATE)
    try:
        return open_x11_window_watch(os.environ.get("DISPLAY", ""))
    except BackendUnavailable as exc:
        raise BackendUnavailable(exc.detail, code=ErrorCode.E_SCREEN_PRIVATE) from exc


def doctor_reports() -> list[tuple[str, bool, str]]:
    """For `alongside-agent doctor`: what, whether it works, how or why not. Opens and closes each source."""
    kind = _kind_here()
    candidates = screen_candidates(kind, os.environ)
    reports = [("session", kind != "headless", f"{kind} on {sys.platform}")]
    reports += [_report(candidate) for candidate in candidates]
    if not candidates:
        reports.append(("screen", False, "no graphical session: DISPLAY is not set"))
    return reports


def input_reports() -> list[tuple[str, bool, str]]:
    """As `doctor_reports`, for pointer and keyboard. Connects, plays nothing, and leaves."""
    kind = _kind_here()
    if kind not in {"x11", "wayland"}:
        return [("input", False, f"there is no way to play input on: {kind}")]
    try:
        XTestInjector(os.environ.get("DISPLAY", "")).close()
    except BackendUnavailable as exc:
        return [("input by xtest", False, exc.detail)]
    return [("input by xtest", True, "XTest")]


def _open_mss_on_x11(display: str) -> ScreenSource:
    refuse_xwayland(display)
    return open_mss_screen(may_draw_cursor=True)


def _report(candidate: Candidate) -> tuple[str, bool, str]:
    title = f"screen by {candidate.name}"
    try:
        if candidate.check is not None:
            return (title, True, candidate.check())
        source = candidate.open()
    except BackendUnavailable as exc:
        return (title, False, exc.detail)
    try:
        sizes = ", ".join(f"{d.name} {d.area.width}x{d.area.height}" for d in source.displays())
        return (title, True, f"{source.detail}; {sizes}")
    except BackendUnavailable as exc:
        return (title, False, exc.detail)
    finally:
        source.close()


def _kind_here() -> str:
    return session_kind(sys.platform, os.environ)
