"""The icon as a bus tells of it: what programs of the person's session may ask, and what they get.

Source: freedesktop.org, "StatusNotifierItem", and the com.canonical.dbusmenu interface (libdbusmenu).
Every program of the session may call these. The most that a call does is to open the person's own window.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.bus_frames import NOTHING, BusMessage, Content

ITEM_PATH, MENU_PATH = "/StatusNotifierItem", "/MenuBar"
ITEM, MENU = "org.kde.StatusNotifierItem", "com.canonical.dbusmenu"
PROPERTIES, PEER = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.Peer"
UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
UNKNOWN_PROPERTY = "org.freedesktop.DBus.Error.UnknownProperty"
READ_ONLY = "org.freedesktop.DBus.Error.PropertyReadOnly"
PICTURE_SIDES = (22, 32, 48)
MENU_VERSION = 2  # before events in groups
_ROOT, _STATE, _OPEN = range(3)
_OPENING = {"Activate", "SecondaryActivate", "ContextMenu"}
_QUIET = {"Scroll", "ProvideXdgActivationToken"}

Values = Mapping[str, tuple[str, object]]
Picture = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the icon shows. `pictures`: width, height, ARGB32 in network order. `revision` rises."""

    title: str
    state: str
    open_word: str
    is_urgent: bool
    pictures: tuple[Picture, ...]
    revision: int
    is_from_right: bool = False

    @property
    def status(self) -> str:
        """The specification's word."""
        return "NeedsAttention" if self.is_urgent else "Active"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back: `content`, or the refusal's name."""

    content: Content = NOTHING
    error: str = ""


def argb_picture(ppm: bytes, side: int) -> Picture:
    """A PPM of that side as the bus wants it, opaque."""
    found = ppm[len(ppm) - side * side * 3 :]
    picture = bytearray(b"\xff" * (side * side * 4))
    picture[1::4], picture[2::4], picture[3::4] = found[0::3], found[1::3], found[2::3]
    return side, side, bytes(picture)


def answer_call(call: BusMessage, shown: Shown, open_window: Callable[[], None]) -> Answer:
    """Answer a method call of some program."""
    if call.interface == PEER and call.name == "Ping":
        return Answer()
    values = _values(call.path, shown)
    if call.interface == PROPERTIES and values:
        return _property(call, values)
    if call.path == ITEM_PATH and call.interface in ("", ITEM):
        return _item(call, open_window)
    if call.path == MENU_PATH and call.interface in ("", MENU):
        return _menu(call, shown, open_window)
    return Answer(error=UNKNOWN_METHOD)


def _values(path: str, shown: Shown) -> Values:
    if path == ITEM_PATH:
        return _item_values(shown)
    if path == MENU_PATH:
        return {
            "Version": ("u", MENU_VERSION),
            "Status": ("s", "normal"),
            "TextDirection": ("s", "rtl" if shown.is_from_right else "ltr"),
            "IconThemePath": ("as", []),
        }
    return {}


def _item_values(shown: Shown) -> Values:
    pictures = list(shown.pictures)
    return {
        "Category": ("s", "ApplicationStatus"),
        "Id": ("s", "alongside"),
        "Title": ("s", shown.title),
        "Status": ("s", shown.status),
        "WindowId": ("i", 0),
        "IconName": ("s", ""),
        "IconPixmap": ("a(iiay)", pictures),
        "IconThemePath": ("s", ""),
        "OverlayIconName": ("s", ""),
        "OverlayIconPixmap": ("a(iiay)", []),
        "AttentionIconName": ("s", ""),
        "AttentionIconPixmap": ("a(iiay)", pictures),
        "AttentionMovieName": ("s", ""),
        "ToolTip": ("(sa(iiay)ss)", ("", [], shown.title, shown.state)),
        "ItemIsMenu": ("b", False),
        "Menu": ("o", MENU_PATH),
    }


def _property(call: BusMessage, values: Values) -> Answer:
    if call.name == "GetAll":
        return Answer(Content("a{sv}", (dict(values),)))
    if call.name == "Set":
        return Answer(error=READ_ONLY)
    if call.name != "Get":
        return Answer(error=UNKNOWN_METHOD)
    value = values.get(_text_at(call, 1))
    return Answer(Content("v", (value,))) if value is not None else Answer(error=UNKNOWN_PROPERTY)


def _item(call: BusMessage, open_window: Callable[[], None]) -> Answer:
    if call.name in _OPENING:
        open_window()
    elif call.name not in _QUIET:
        return Answer(error=UNKNOWN_METHOD)
    return Answer()


def _menu(call: BusMessage, shown: Shown, open_window: Callable[[], None]) -> Answer:
    items = _menu_items(shown)
    match call.name:
        case "GetLayout":
            children = [("(ia{sv}av)", (number, items[number], list[object]())) for number in (_STATE, _OPEN)]
            return Answer(Content("u(ia{sv}av)", (shown.revision, (_ROOT, items[_ROOT], children))))
        case "GetGroupProperties":
            return Answer(Content("a(ia{sv})", (list(items.items()),)))
        case "GetProperty":
            value = items.get(_number_at(call, 0), {}).get(_text_at(call, 1))
            return Answer(Content("v", (value,))) if value is not None else Answer(error=UNKNOWN_PROPERTY)
        case "Event":
            if _number_at(call, 0) == _OPEN and _text_at(call, 1) == "clicked":
                open_window()
            return Answer()
        case "AboutToShow":
            return Answer(Content("b", (False,)))
    return Answer(error=UNKNOWN_METHOD)


def _menu_items(shown: Shown) -> dict[int, dict[str, tuple[str, object]]]:
    return {
        _ROOT: {"children-display": ("s", "submenu")},
        _STATE: {"label": ("s", _label(shown.title)), "enabled": ("b", False)},
        _OPEN: {"label": ("s", _label(shown.open_word))},
    }


def _label(words: str) -> str:
    return words.replace("_", "__")  # one alone would mark a key to press


def _text_at(call: BusMessage, at: int) -> str:
    value = call.body[at] if at < len(call.body) else None
    return value if isinstance(value, str) else ""


def _number_at(call: BusMessage, at: int) -> int:
    value = call.body[at] if at < len(call.body) else None
    return value if isinstance(value, int) else -1
