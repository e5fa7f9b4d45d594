"""A new version on trial: the switch to it, the judgement, and the way back, one rename each.

Killed or without power anywhere, `current` leads to a whole version, and the files say where to go on:

    trial.json       `current` is the former (nothing happened yet) or the chosen version (judge it)
    returning.json   it is broken: put the former one back
    failed.json      it is put back, and its bundle is not taken again

Links and file of the way back are made before the switch, so that going back needs no room on the disk.
"""

from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec

from agent.desktop.update_messages import UpdateAnswer
from agent.state import read_kept
from agent.update.places import UpdatePlaces, version_of
from protocol.errors import EnvironmentFault, ErrorCode, SupportError
from protocol.private_files import sync_folder, write_private_file
from protocol.release import version_order

_FILE_LIMIT_BYTES: Final = 4096
_NAME = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6}){2}-[0-9a-f]{12}\Z")]
CONNECTED: Final = "connected"


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`returns_to` is the targets key's word: the lowest version to go back to.

    `was_running`, `was_connected`: how the former version was, so that no more is asked of the new one.
    """

    former: _NAME
    chosen: _NAME
    returns_to: str
    bundle_sha256: str
    was_running: bool
    was_connected: bool
    begun_at_utc: datetime

    @property
    def may_return(self) -> bool:
        """Whether the list allows the version that ran just before. No other one is ever gone back to."""
        return version_order(version_of(self.former)) >= version_order(self.returns_to)


class Verdict(StrEnum):
    """What is known of the new version so far."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


def judge(trial: Trial, answer: UpdateAnswer | None, *, relay_answers: bool) -> Verdict:
    """What one answer says. Where the relay itself cannot be reached, a missing link says nothing (pure)."""
    if not trial.was_running:
        return Verdict.GOOD  # nothing ran before: no version is better than this one
    if answer is None or answer.version != version_of(trial.chosen):
        return Verdict.BAD
    if trial.was_connected and answer.link != CONNECTED:
        return Verdict.BAD if relay_answers else Verdict.OPEN
    return Verdict.GOOD


class TrialBook:
    """The files and links of a trial; every method may be called again after it was cut short."""

    def __init__(self, places: UpdatePlaces) -> None:
        self._places = places

    def open_trial(self) -> Trial | None:
        """The one that is not judged; one that was overtaken by an installation by hand is forgotten."""
        trial = self._read(self._places.trial)
        if trial is None or trial.chosen == self._places.current_name:
            return trial
        self.forget()
        return None

    def returning(self) -> Trial | None:
        """The one that is to be taken back, unless something else was installed meanwhile."""
        trial = self._read(self._places.returning)
        if trial is None or self._places.current_name in (trial.former, trial.chosen):
            return trial
        self._places.returning.unlink(missing_ok=True)
        return None

    def failed_bundle(self) -> str:
        """The SHA-256 of the last bundle that was broken here; "" when there is none."""
        trial = self._read(self._places.failed)
        return trial.bundle_sha256 if trial else ""

    def switch(self, trial: Trial) -> None:
        """From the former to the chosen version; raises EnvironmentFault E_DATA_DISK, nothing was changed."""
        places = self._places
        if not places.is_whole(trial.chosen) or places.current_name != trial.former:
            raise EnvironmentFault("another version was installed meanwhile", code=ErrorCode.E_UPDATE_FAILED)
        write_private_file(places.trial, msgspec.json.encode(trial))
        _make_link(places.way_back, trial.former)
        _move_link(places.current, trial.chosen)

    def confirm(self, trial: Trial) -> None:
        """The chosen version stays, and its updater runs from now on; raises EnvironmentFault E_DATA_DISK."""
        if self._places.current_name == trial.chosen:
            _move_link(self._places.updater, trial.chosen)
        self.forget()

    def begin_return(self, trial: Trial) -> None:
        """Write down that the former version is to be put back: a rename, which needs no room."""
        _rename(self._places.trial, self._places.returning)

    def put_back(self, trial: Trial) -> None:
        """Let `current` lead to the former version."""
        places = self._places
        if places.current_name == trial.former:
            return
        if places.way_back.is_symlink() and places.way_back.readlink().name == trial.former:
            _rename(places.way_back, places.current)
        else:
            _move_link(places.current, trial.former)

    def end_return(self) -> None:
        """The former version runs again."""
        _rename(self._places.returning, self._places.failed)

    def keep_failed(self) -> None:
        """It is broken and may not be taken back: remember that, and leave it."""
        _rename(self._places.trial, self._places.failed)
        self._places.way_back.unlink(missing_ok=True)

    def forget(self) -> None:
        """No trial any more."""
        for path in (self._places.way_back, self._places.trial):
            path.unlink(missing_ok=True)

    def forgive(self) -> None:
        """Let the broken bundle be tried once more."""
        self._places.failed.unlink(missing_ok=True)

    def _read(self, path: Path) -> Trial | None:
        with suppress(FileNotFoundError, SupportError):  # it is ours; a damaged one says nothing
            return read_kept(path, Trial, _FILE_LIMIT_BYTES)
        return None


def _make_link(place: Path, name: str) -> None:
    try:
        place.unlink(missing_ok=True)
        place.symlink_to(Path("versions") / name)
    except OSError as exc:
        raise EnvironmentFault(f"{place}: {exc}", code=ErrorCode.E_DATA_DISK) from None


def _move_link(place: Path, name: str) -> None:
    """In one step, so that whoever looks finds the old target or the new one."""
    aside = place.with_name(f"{place.name}.new")
    _make_link(aside, name)
    _rename(aside, place)


def _rename(source: Path, target: Path) -> None:
    try:
        source.replace(target)
        sync_folder(target.parent)
        if source.parent != target.parent:
            sync_folder(source.parent)
    except OSError as exc:
        raise EnvironmentFault(f"{target}: {exc}", code=ErrorCode.E_DATA_DISK) from None
