"""Windows that a technician must not see: the entries of a list, and which windows they mean (pure).

The person at the device always sees everything; this is about the picture that leaves the device.
"""

import unicodedata
from collections.abc import Iterable
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode, PeerViolation
from protocol.limits import (
    PRIVATE_WINDOW_CLASS_LIMIT_CHARS,
    PRIVATE_WINDOW_TITLE_LIMIT_CHARS,
    PRIVATE_WINDOWS_LIMIT,
    PRIVATE_WINDOWS_LIMIT_BYTES,
)

LISTS_IN_FORCE: Final = 2  # the organisation's and the person's
ANY_RUN, ANY_CHARACTER = "*", "?"


class PrivateWindow(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One entry. Where both patterns are given, one window has to fit both; "" fits every window.

    Patterns cover the whole class or title; `*` stands for any run of characters, `?` for one; nothing else
    is special, and case makes no difference.
    """

    window_class: Annotated[str, Meta(max_length=PRIVATE_WINDOW_CLASS_LIMIT_CHARS)] = ""
    title: Annotated[str, Meta(max_length=PRIVATE_WINDOW_TITLE_LIMIT_CHARS)] = ""

    def __post_init__(self) -> None:
        if not self.window_class.strip() and not self.title.strip():
            raise ValueError("an entry needs a window_class, a title or both")

    def fits(self, classes: Iterable[str], titles: Iterable[str], *, are_titles_cut: bool = False) -> bool:
        """Whether a window with these classes and titles is meant; a title that was cut fits any pattern."""
        is_class = not self.window_class or any(is_match(self.window_class, each) for each in classes)
        if not is_class or not self.title:
            return is_class
        return are_titles_cut or any(is_match(self.title, each) for each in titles)


SYSTEM_PROMPTS: Final = tuple(
    PrivateWindow(window_class=pattern)
    for pattern in (
        "*polkit*",  # the agents of GNOME, KDE, MATE, LXDE and Xfce
        "*policykit*",  # LXQt's
        "gcr-prompter",
        "pinentry*",
        "*askpass*",
        "*ask-pass*",
        "*kwalletd*",
        "*gksu*",
        "*kdesu*",
        "lxqt-sudo",
        "lxsudo",
        "xscreensaver-auth",
    )
)
"""Windows in which a system asks its own person for a password: always private; nothing is typed there."""

PrivateWindowList: TypeAlias = Annotated[list[PrivateWindow], Meta(max_length=PRIVATE_WINDOWS_LIMIT)]
UnitedPrivateWindows: TypeAlias = Annotated[
    list[PrivateWindow], Meta(max_length=LISTS_IN_FORCE * PRIVATE_WINDOWS_LIMIT)
]

_DECODER = msgspec.msgpack.Decoder(UnitedPrivateWindows, strict=True)


def is_match(pattern: str, text: str) -> bool:
    """Whether the whole text fits the pattern. At most len(pattern) times len(text) steps."""
    wanted, given = _plain(pattern), _plain(text)
    at = read = resumed = 0
    star = -1
    while read < len(given):
        if at < len(wanted) and wanted[at] == ANY_RUN:
            star, resumed, at = at, read, at + 1
        elif at < len(wanted) and wanted[at] in (ANY_CHARACTER, given[read]):
            at, read = at + 1, read + 1
        elif star >= 0:
            resumed += 1
            at, read = star + 1, resumed
        else:
            return False
    return not wanted[at:].strip(ANY_RUN)


def encode_private_windows(entries: Iterable[PrivateWindow]) -> bytes:
    """A united list as MessagePack, for the screen worker."""
    return msgspec.msgpack.encode(list(entries))


def decode_private_windows(encoded: bytes) -> tuple[PrivateWindow, ...]:
    """The list in these bytes.

    Raises:
        PeerViolation: E_MESSAGE_SIZE or E_MESSAGE_FORMAT.
    """
    if len(encoded) > PRIVATE_WINDOWS_LIMIT_BYTES:
        raise PeerViolation(f"{len(encoded)} bytes of entries", code=ErrorCode.E_MESSAGE_SIZE)
    try:
        return tuple(_DECODER.decode(encoded))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise PeerViolation(str(exc)[:200], code=ErrorCode.E_MESSAGE_FORMAT) from None


def united(*lists: Iterable[PrivateWindow]) -> tuple[PrivateWindow, ...]:
    """Every entry of every list, each once."""
    return tuple(dict.fromkeys(entry for entries in lists for entry in entries))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
