"""A computer for the updater: what runs is kept in a file, and so outlives a killed updater."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.desktop.update_messages import UpdateAnswer
from agent.update.places import UpdatePlaces
from agent.update.trial import CONNECTED


class KeptHost:
    """See `agent.update.host.Host`. Versions in `broken` never answer, `unlinked` ones reach no relay."""

    def __init__(self, places: UpdatePlaces, folder: Path) -> None:
        self._places = places
        self.units = folder / "units"
        self._running = folder / "running"
        self.broken: set[str] = set()
        self.unlinked: set[str] = set()
        self.sessions: list[int] = []
        self.restarts_in_session = 0
        self.on_restart: Callable[[], None] = lambda: None
        self._sessions_now = 0

    @property
    def running(self) -> str:
        """The version that runs; "" for none."""
        return self._running.read_text() if self._running.exists() else ""

    def put_units(self, units: Path) -> None:
        """See `Host`."""
        self.units.mkdir(exist_ok=True)
        for unit in units.iterdir():
            shutil.copy(unit, self.units)

    def restart(self) -> None:
        """See `Host`."""
        self.restarts_in_session += bool(self._sessions_now)
        aside = self._running.with_name("running.new")
        aside.write_text(self._places.current_version)
        aside.replace(self._running)
        self.on_restart()

    @contextmanager
    def asked(self) -> Iterator[UpdateAnswer | None]:
        """See `Host`; `sessions` says how many live at each question, then none."""
        version = self.running
        self._sessions_now = self.sessions.pop(0) if self.sessions else 0
        link = "connecting" if version in self.unlinked else CONNECTED
        is_silent = not version or version in self.broken
        yield None if is_silent else UpdateAnswer(version, link, self._sessions_now)
