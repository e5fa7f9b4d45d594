"""Light or dark: what the person chose for our windows, else what the desktop's other windows do."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from agent.desktop.palette import DARK, LIGHT, PALETTES, Palette, Scheme
from agent.desktop.xsettings import read_settings

log = structlog.get_logger()

_WORD_LIMIT_BYTES = 16
_DARK_ENDINGS = ("-dark", "_dark", ":dark")


def choice_path(environment: Mapping[str, str], home: Path) -> Path:
    """The file that keeps the person's choice (XDG Base Directory Specification 0.8)."""
    given = environment.get("XDG_CONFIG_HOME", "")
    folder = Path(given) if given.startswith("/") else home / ".config"
    return folder / "alongside" / "looks"


class Wishes:
    """`read_desktop` gives the XSETTINGS of this moment. Without a path the choice is not kept."""

    def __init__(self, read_desktop: Callable[[], bytes], path: Path | None) -> None:
        self._read_desktop, self._path = read_desktop, path
        self.scheme = _kept(path)

    def palette(self) -> Palette:
        """What our windows have to look like now."""
        chosen = PALETTES.get(self.scheme)
        if chosen is not None:
            return chosen
        return DARK if is_dark(read_settings(self._read_desktop())) else LIGHT

    def choose(self, scheme: Scheme) -> None:
        """The person wants this from now on."""
        self.scheme = scheme
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.write_text(scheme, "ascii")
        except OSError as exc:
            log.warning("looks.not_kept", detail=repr(exc))


def is_dark(settings: Mapping[str, int | str]) -> bool:
    """Whether the desktop's theme is a dark one (GTK's names of these settings)."""
    theme = str(settings.get("Net/ThemeName", "")).casefold()
    return theme.endswith(_DARK_ENDINGS) or settings.get("Gtk/ApplicationPreferDarkTheme") == 1


def _kept(path: Path | None) -> Scheme:
    if path is not None:
        with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
            return Scheme(file.read(_WORD_LIMIT_BYTES).decode("ascii").strip())
    return Scheme.DESKTOP
