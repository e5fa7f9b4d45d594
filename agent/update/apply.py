"""One run of the updater: finish what one before began; look, take, wait, switch, judge, perhaps go back."""

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agent.update.host import Host
from agent.update.look import OFFERED, Look
from agent.update.staging import drop_old, stage
from agent.update.status import UpdateStatus
from agent.update.trial import CONNECTED, Trial, TrialBook, Verdict, judge
from protocol.aio.audit_log import AuditLog
from protocol.audit import AuditEvent, AuditKind
from protocol.errors import EnvironmentFault, ErrorCode, SupportError
from protocol.release import Bundle

WAITING: Final = "waiting"
ON_TRIAL: Final = "trial"
INSTALLED: Final = "installed"
RETURNED: Final = "returned"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a new version may take to be healthy and has to stay so; how long a session is waited for."""

    health_s: float = 180.0
    steady_s: float = 10.0
    look_every_s: float = 1.0
    session_s: float = 3600.0
    ask_every_s: float = 15.0


class Apply:
    """One run; the caller holds the lock that the installer takes too."""

    def __init__(self, look: Look, host: Host, pace: Pace | None = None) -> None:
        self._look, self._places, self._host = look, look.places, host
        self._book = TrialBook(look.places)
        self._pace = pace or Pace()

    def run(self, *, again: bool = False) -> UpdateStatus:
        """How it ended; `again` takes a version that was broken here once more.

        Raises:
            SupportError: as `Look.look`; the bundle was refused, or the disk is full: nothing was switched.
        """
        unfinished = self._finish()
        if unfinished is not None:
            return unfinished
        if again:
            self._book.forgive()
        status = self._look.look()
        listing = self._look.listing
        if status.outcome != OFFERED or listing is None or listing.offer is None:
            return status
        if listing.bundle_sha256 == self._book.failed_bundle():
            return self._look.note(FAILED, _failed(f"version {listing.offer.version} was broken here before"))
        try:
            name = self._stage(self._look.now())
        except SupportError as exc:
            self._look.refuse(exc)
            raise
        return self._switch(name, listing.offer.returns_to, listing.bundle_sha256)

    def _stage(self, now: datetime) -> str:
        listing = self._look.listing
        assert listing is not None
        fingerprint = self._places.settings().fingerprint
        try:
            listing.fetch(fingerprint, now)
            with Bundle.open(self._places.incoming, fingerprint) as bundle:
                name = stage(self._places, bundle)
        except EnvironmentFault as exc:
            if exc.code is ErrorCode.E_DATA_DISK:
                self._places.incoming.unlink(missing_ok=True)  # the person needs the room more than we do
            raise
        return name

    def _finish(self) -> UpdateStatus | None:
        """Go on where a run that was cut short has stopped."""
        for half in self._places.folder.glob(".*"):
            shutil.rmtree(half) if half.is_dir() else half.unlink()
        trial = self._book.returning()
        if trial is not None:
            self._places.incoming.unlink(missing_ok=True)
            return self._return(trial, "found unfinished")
        trial = self._book.open_trial()
        if trial is None:
            return None
        self._places.incoming.unlink(missing_ok=True)
        try:
            self._host.put_units(self._places.versions / trial.chosen / "units")
        except SupportError as exc:
            return self._take_back(trial, exc.detail)
        if not self._restart_when_idle(trial.chosen):
            return self._look.note(WAITING)
        return self._judge(trial)

    def _restart_when_idle(self, name: str) -> bool:
        """Have the service run this version; False when sessions lived for too long."""
        until_s = time.monotonic() + self._pace.session_s
        while True:
            with self._host.asked() as answer:
                if answer is not None and answer.version == name.rpartition("-")[0]:
                    return True
                if answer is None or not answer.sessions:
                    self._host.restart()
                    return True
            if time.monotonic() >= until_s:
                return False
            time.sleep(self._pace.ask_every_s)

    def _switch(self, name: str, returns_to: str, bundle_sha256: str) -> UpdateStatus:
        until_s = time.monotonic() + self._pace.session_s
        while True:
            with self._host.asked() as answer:  # from here on no session begins
                if answer is None or not answer.sessions:
                    trial = Trial(
                        self._places.current_name,
                        name,
                        returns_to,
                        bundle_sha256,
                        was_running=answer is not None,
                        was_connected=answer is not None and answer.link == CONNECTED,
                        begun_at_utc=self._look.now(),
                    )
                    broken = self._begin(trial)
                    break
            if time.monotonic() >= until_s:
                return self._look.note(WAITING)
            time.sleep(self._pace.ask_every_s)
        return self._take_back(trial, broken) if broken else self._judge(trial)

    def _begin(self, trial: Trial) -> str:
        """Switch and restart; what went wrong after the switch, or ""."""
        facts = {"version": trial.chosen, "former": trial.former}
        self._append(AuditKind.UPDATE_STARTED, succeeded=True, facts=facts)
        self._book.switch(trial)
        self._places.incoming.unlink(missing_ok=True)
        try:
            self._host.put_units(self._places.versions / trial.chosen / "units")
        except SupportError as exc:
            return exc.detail or exc.code.value
        self._host.restart()
        return ""

    def _judge(self, trial: Trial) -> UpdateStatus:
        until_s = time.monotonic() + self._pace.health_s
        good_since_s: float | None = None
        while True:
            with self._host.asked() as answer:
                pass
            now_s = time.monotonic()
            if judge(trial, answer, relay_answers=True) is Verdict.GOOD:
                good_since_s = now_s if good_since_s is None else good_since_s
                if now_s - good_since_s >= self._pace.steady_s:
                    return self._confirm(trial)
            else:
                good_since_s = None
                if now_s >= until_s:
                    break
            time.sleep(self._pace.look_every_s)
        if judge(trial, answer, relay_answers=self._look.relay_answers()) is Verdict.OPEN:
            return self._look.note(ON_TRIAL)
        seen = f"version {answer.version}, link {answer.link}" if answer else "no answer"
        return self._take_back(trial, f"{seen} after {self._pace.health_s:.0f} s")

    def _confirm(self, trial: Trial) -> UpdateStatus:
        try:
            self._book.confirm(trial)
        except SupportError:  # it works, and the next run says so
            return self._look.note(ON_TRIAL)
        self._tell(AuditKind.UPDATE_INSTALLED, trial, former=trial.former)
        drop_old(self._places, {trial.former, trial.chosen})
        return self._look.note(INSTALLED)

    def _take_back(self, trial: Trial, why: str) -> UpdateStatus:
        if trial.may_return:
            self._book.begin_return(trial)
            return self._return(trial, why)
        self._book.keep_failed()
        self._tell(AuditKind.UPDATE_FAILED, trial, returned_to="", detail=why[:200])
        return self._look.note(FAILED, _failed(f"{why}; the list allows no return to {trial.former}"))

    def _return(self, trial: Trial, why: str) -> UpdateStatus:
        self._book.put_back(trial)
        with suppress(SupportError):  # the program that works comes before its unit
            self._host.put_units(self._places.versions / trial.former / "units")
        with self._host.asked() as answer:
            if answer is None or answer.version != trial.former.rpartition("-")[0]:
                self._host.restart()
        self._book.end_return()
        self._tell(AuditKind.UPDATE_FAILED, trial, returned_to=trial.former, detail=why[:200])
        return self._look.note(RETURNED, _failed(f"{trial.chosen}: {why}; {trial.former} runs again"))

    def _tell(self, kind: AuditKind, trial: Trial, **facts: str) -> None:
        with suppress(SupportError):  # it has happened, and stands in the files of the trial
            self._append(
                kind,
                succeeded=kind is AuditKind.UPDATE_INSTALLED,
                facts={"version": trial.chosen, **facts},
            )

    def _append(self, kind: AuditKind, *, succeeded: bool, facts: dict[str, str]) -> None:
        event = AuditEvent(kind, "agent", self._look.device.device_id, "", succeeded, dict(facts))
        AuditLog(self._places.audit).append(event)


def _failed(detail: str) -> EnvironmentFault:
    return EnvironmentFault(detail, code=ErrorCode.E_UPDATE_FAILED)
