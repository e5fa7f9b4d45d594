"""One connection to an X server whose pixels we can read, or the reason why not."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agent.platform.interfaces import Area
from agent.platform.x11.bindings import Bindings, load_bindings
from protocol.errors import BackendUnavailable

NEEDED_EXTENSIONS = ("DAMAGE", "XFIXES")
SUPPORTED_DEPTHS = {24: (0xFF0000, 0xFF00, 0xFF), 30: (0x3FF00000, 0xFFC00, 0x3FF)}


@dataclass(frozen=True, slots=True)
class Desk:
    """A connection and its root window. `extensions` are names that the server has."""

    bindings: Bindings
    connection: Any
    root: int
    depth: int
    extensions: frozenset[str]

    def size(self) -> Area:
        """The whole desktop at this moment; one round trip."""
        geometry = self.connection.core.GetGeometry(self.root).reply()
        return Area(0, 0, geometry.width, geometry.height)


def xwayland_sign(extensions: Iterable[str], output_names: Iterable[str]) -> str:
    """What gives the server away as Xwayland, or "". It shows X windows only, never the desktop."""
    if "XWAYLAND" in extensions:
        return "it has the XWAYLAND extension"
    named = [name for name in output_names if name.upper().startswith("XWAYLAND")]
    return f"its output is called {named[0]}" if named else ""


def refuse_xwayland(display: str) -> None:
    """For sources that cannot tell Xwayland from a desktop, and would show it in black.

    Silent where no server answers or xcffib is not installed.

    Raises:
        BackendUnavailable: it is Xwayland.
    """
    try:
        bindings = load_bindings()
    except BackendUnavailable:
        return
    with suppress(bindings.xcffib.XcffibException):
        connection = bindings.xcffib.connect(display=display)
        try:
            _refuse_xwayland(_desk(bindings, connection), display)
        finally:
            connection.disconnect()


def connect(bindings: Bindings, display: str) -> Desk:
    """Connects and checks. The caller disconnects `Desk.connection`.

    Raises:
        BackendUnavailable: no server there, or one whose pixels would be wrong.
    """
    try:
        connection = bindings.xcffib.connect(display=display)
    except bindings.xcffib.XcffibException as exc:
        raise BackendUnavailable(
            f"no X server answers at DISPLAY {display!r} ({type(exc).__name__}); start the agent inside the "
            "person's graphical session, with its DISPLAY and XAUTHORITY"
        ) from exc
    try:
        return _checked(bindings, connection, display)
    except BaseException:
        connection.disconnect()
        raise


def _checked(bindings: Bindings, connection: Any, display: str) -> Desk:
    setup = connection.get_setup()
    if problem := pixel_layout_problem(setup, setup.roots[connection.pref_screen]):
        raise BackendUnavailable(f"the pixels of DISPLAY {display!r} cannot be read: {problem}")
    desk = _desk(bindings, connection)
    missing = [name for name in NEEDED_EXTENSIONS if name not in desk.extensions]
    if missing:
        raise BackendUnavailable(f"the X server has no {' and no '.join(missing)} extension; switch it on")
    _refuse_xwayland(desk, display)
    connection(bindings.damage.key).QueryVersion(1, 1).reply()
    connection(bindings.xfixes.key).QueryVersion(4, 0).reply()
    return desk


def pixel_layout_problem(setup: Any, screen: Any) -> str:
    """Why the root window's pixels are not 32-bit BGRX or its 10-bit sibling; "" if they are."""
    if setup.image_byte_order != 0:
        return "the server is big-endian"
    formats = {given.depth: given.bits_per_pixel for given in setup.pixmap_formats}
    if screen.root_depth not in SUPPORTED_DEPTHS:
        return f"its colour depth is {screen.root_depth}; set it to 24"
    if formats.get(screen.root_depth) != 32:
        return f"{formats.get(screen.root_depth)} bits per pixel; set the server to 32"
    visuals = (visual for depth in screen.allowed_depths for visual in depth.visuals)
    root = next(visual for visual in visuals if visual.visual_id == screen.root_visual)
    if (root.red_mask, root.green_mask, root.blue_mask) != SUPPORTED_DEPTHS[screen.root_depth]:
        return "its colours have an unusual order"
    return ""


def _desk(bindings: Bindings, connection: Any) -> Desk:
    screen = connection.get_setup().roots[connection.pref_screen]
    names = connection.core.ListExtensions().reply().names
    extensions = frozenset(bytes(name.name.raw).decode("latin1") for name in names)
    return Desk(bindings, connection, screen.root, screen.root_depth, extensions)


def _refuse_xwayland(desk: Desk, display: str) -> None:
    if sign := xwayland_sign(desk.extensions, _output_names(desk)):
        raise BackendUnavailable(
            f"DISPLAY {display!r} is Xwayland ({sign}), which cannot show the whole desktop; "
            "log in to an X11 (Xorg) session"
        )


def _output_names(desk: Desk) -> list[str]:
    if "RANDR" not in desk.extensions:
        return []
    randr = desk.connection(desk.bindings.randr.key)
    randr.QueryVersion(1, 5).reply()
    resources = randr.GetScreenResourcesCurrent(desk.root).reply()
    replies = [randr.GetOutputInfo(output, resources.config_timestamp) for output in resources.outputs]
    return [bytes(asked.reply().name.raw).decode("utf-8", "replace") for asked in replies]
