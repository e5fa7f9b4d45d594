"""UPD-12, 13, 15: killed anywhere or without room one version runs, and a broken one is taken back."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.update.apply import FAILED, INSTALLED, ON_TRIAL, RETURNED, WAITING, Apply, Pace
from agent.update.listed import Machine
from agent.update.look import CURRENT, Device, Look
from agent.update.places import UpdatePlaces
from agent.update.staging import stage
from agent.update.status import UpdateStatus
from agent.update.trial import TrialBook
from protocol.audit import read_record
from protocol.errors import ErrorCode, SupportError
from protocol.release import Bundle
from protocol.succession import root_fingerprint
from tests.support.releases import installable_wheels
from tests.support.update_host import KeptHost
from tests.support.update_lists import Admin, installed
from tests.support.update_server import UpdateServer, update_server

pytestmark = [pytest.mark.real, pytest.mark.beside, pytest.mark.timeout(600)]

OLD, NEW = "1.2.3", "1.3.0"
QUICK = Pace(health_s=0.05, steady_s=0.0, look_every_s=0.01, session_s=0.2, ask_every_s=0.01)
CHANGES = {"os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "subprocess.Popen"}
KILLS_BEFORE_THE_SWITCH = 3


@dataclass
class Offered:
    """What the organisation published: NEW, to devices that have OLD; `closed`: with no way back."""

    admin: Admin
    fingerprint: str
    old: Path
    new: Path
    open: dict[str, bytes]
    closed: dict[str, bytes]


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Offered:
    folder = tmp_path_factory.mktemp("offered")
    admin = Admin(folder)
    admin.say("keys")
    bundles = {}
    for version in (OLD, NEW):
        sha256 = admin.release(version, installable_wheels(folder / version, version))
        bundles[version] = folder / f"{version}.bundle"
        shutil.copy(admin.published / "files" / sha256, bundles[version])
    admin.say("offer", "--percent", "100")
    way_open = admin.served()
    admin.say("offer", "--percent", "100", "--return-to", NEW)
    fingerprint = root_fingerprint(admin.root.der)
    return Offered(admin, fingerprint, bundles[OLD], bundles[NEW], way_open, admin.served())


@dataclass
class Stage:
    """A device that runs OLD, all of it below `folder`."""

    offered: Offered
    folder: Path
    server: UpdateServer
    broken: set[str] = field(default_factory=set)
    pace: Pace = QUICK

    @property
    def places(self) -> UpdatePlaces:
        return UpdatePlaces(self.folder / "opt")

    def host(self) -> KeptHost:
        host = KeptHost(self.places, self.folder)
        host.broken = set(self.broken)
        return host

    def apply(self, host: KeptHost | None = None, *, again: bool = False) -> UpdateStatus:
        device = Device("device-1", self.server.url, Machine("linux", "x86_64"))
        return Apply(Look(self.places, device), host or self.host(), self.pace).run(again=again)

    def begin(self) -> None:
        """OLD is installed for real, and runs."""
        root = self.offered.open["1.root.json"]
        installed(self.folder / "opt", OLD, self.offered.fingerprint, root)
        with Bundle.open(self.offered.old, self.offered.fingerprint) as bundle:
            name = stage(self.places, bundle)
        for link in (self.places.current, self.places.updater):
            link.unlink(missing_ok=True)
            link.symlink_to(Path("versions") / name)
        self.host().restart()

    def program_says(self) -> str:
        """What the version that `current` leads to says of itself: it can run."""
        assert self.places.is_whole(self.places.current_name)
        words = [str(self.places.current / "bin/alongside-agent"), "--version"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def records(self) -> list[str]:
        return [read_record(line).kind for line in self.places.audit.read_bytes().splitlines()]

    def leftovers(self) -> list[str]:
        """What no finished run leaves behind."""
        passing = (self.places.trial, self.places.returning, self.places.way_back, self.places.incoming)
        found = [path.name for path in passing if path.exists() or path.is_symlink()]
        found += [path.name for path in self.places.folder.glob(".*")]
        return found + [path.name for path in self.places.prefix.rglob("*.new")]


@pytest.fixture(scope="module")
def device(offered: Offered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device that runs OLD, and a copy of it beside it: its programs have their own path inside."""
    folder = tmp_path_factory.mktemp("devices") / "device"
    folder.mkdir()
    with update_server(offered.open) as server:
        Stage(offered, folder, server).begin()
    shutil.copytree(folder, folder.with_name("kept"), symlinks=True)
    return folder


@pytest.fixture
def begun(offered: Offered, device: Path) -> Iterator[Stage]:
    shutil.rmtree(device)
    shutil.copytree(device.with_name("kept"), device, symlinks=True)
    with update_server(offered.open) as server:
        yield Stage(offered, device, server)


def test_control_what_is_offered_is_installed_beside_the_old_version_and_runs(begun: Stage) -> None:
    host = begun.host()
    assert begun.apply(host).outcome == INSTALLED
    assert (begun.program_says(), host.running) == (NEW, NEW)
    assert begun.places.updater.readlink() == begun.places.current.readlink()
    assert {path.name.partition("-")[0] for path in begun.places.versions.iterdir()} >= {OLD, NEW}
    assert begun.records() == ["update.started", "update.installed"]
    assert "alongside-agent.service" in {path.name for path in host.units.iterdir()}
    assert begun.leftovers() == []
    assert begun.apply().outcome == CURRENT


def test_upd_15_a_version_that_does_not_answer_is_taken_back_and_not_taken_again(begun: Stage) -> None:
    begun.broken = {NEW}
    host = begun.host()
    status = begun.apply(host)
    assert (status.outcome, status.code) == (RETURNED, ErrorCode.E_UPDATE_FAILED)
    assert (begun.program_says(), host.running) == (OLD, OLD)
    assert begun.places.updater.readlink() == begun.places.current.readlink(), "OLD's updater still runs"
    assert begun.records() == ["update.started", "update.failed"]
    assert begun.leftovers() == []
    assert begun.apply().outcome == FAILED
    assert begun.records() == ["update.started", "update.failed"], "it was not tried again"
    begun.broken = set()
    assert begun.apply(again=True).outcome == INSTALLED


def test_upd_15_a_version_that_loses_the_relay_is_taken_back_while_the_relay_answers(begun: Stage) -> None:
    host = begun.host()
    host.unlinked = {NEW}
    assert begun.apply(host).outcome == RETURNED
    assert host.running == OLD


def test_upd_15_no_verdict_comes_from_a_relay_that_is_away_and_the_next_run_judges(begun: Stage) -> None:
    host = begun.host()
    host.unlinked = {NEW}
    files = dict(begun.server.files)
    url, begun.server.url = begun.server.url, "http://127.0.0.1:1"
    with pytest.raises(SupportError):
        begun.apply(host)
    assert host.running == OLD, "control: nothing is switched to without a list"
    begun.server.url = url

    def relay_leaves() -> None:
        begun.server.files.clear()
        begun.server.hostile["timestamp.json"] = lambda handler: handler.connection.close()

    host.on_restart = relay_leaves
    assert begun.apply(host).outcome == ON_TRIAL
    assert host.running == NEW
    begun.server.hostile.clear()
    begun.server.files.update(files)
    host.unlinked = set()
    assert begun.apply(host).outcome == INSTALLED


def test_upd_15_without_the_lists_allowance_nothing_goes_back(begun: Stage) -> None:
    """A relay that only pretends that the new version is broken gets no older one to run."""
    begun.server.files = dict(begun.offered.closed)
    host = begun.host()
    host.unlinked = {NEW}
    status = begun.apply(host)
    assert (status.outcome, status.code) == (FAILED, ErrorCode.E_UPDATE_FAILED)
    assert (begun.program_says(), host.running) == (NEW, NEW)
    old_updater = begun.places.updater.readlink().name
    assert old_updater.startswith(OLD), "the updater that worked stays, for the correction"
    assert begun.places.is_whole(old_updater)


def test_upd_15_files_of_a_trial_lead_back_to_nothing_but_the_version_before(begun: Stage) -> None:
    """Once a version was found good, no file of the updater goes back behind it."""
    begun.apply()
    book = TrialBook(begun.places)
    assert (book.open_trial(), book.returning()) == (None, None)
    begun.broken = {NEW}
    begun.apply(host := begun.host())
    assert (begun.program_says(), host.running) == (NEW, NEW)


def test_upd_13_a_live_session_is_waited_for_and_never_dropped(begun: Stage) -> None:
    host = begun.host()
    host.sessions = [1, 1, 1]
    assert begun.apply(host).outcome == INSTALLED
    assert host.restarts_in_session == 0


def test_upd_13_a_session_without_end_puts_the_update_off(begun: Stage) -> None:
    host = begun.host()
    host.sessions = [1] * 10_000
    assert begun.apply(host).outcome == WAITING
    assert (begun.program_says(), host.running, host.restarts_in_session) == (OLD, OLD, 0)
    asked = len(begun.server.asked)
    assert begun.apply(begun.host()).outcome == INSTALLED
    assert not [name for name in begun.server.asked[asked:] if name.endswith(".bundle")], "fetched once"


def test_upd_12_killed_at_any_step_the_old_or_the_new_version_runs(begun: Stage) -> None:
    finish = kill_everywhere(begun, is_staged=False, points=KILLS_BEFORE_THE_SWITCH)
    assert finish == {NEW}


@pytest.mark.parametrize("broken", [set(), {NEW}], ids=["good", "broken"])
def test_upd_12_killed_at_every_step_of_switch_and_return_one_version_runs(
    begun: Stage, broken: set[str]
) -> None:
    with Bundle.open(begun.offered.new, begun.offered.fingerprint) as bundle:
        stage(begun.places, bundle)
    begun.broken = broken
    assert kill_everywhere(begun, is_staged=True, points=0) == ({OLD} if broken else {NEW})


def kill_everywhere(begun: Stage, *, is_staged: bool, points: int) -> set[str]:
    """Kill the updater before each change of the disk (or at so many points); what runs in the end."""
    kept = begun.folder.with_name("before-the-kill")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(begun.folder, kept, symlinks=True)
    steps, begins = dying(begun, 1 << 30)
    assert steps - begins > 10
    seen, between = set(), set()
    chosen = range(1, begins, begins // points) if points else range(begins, steps + 1)
    for at in chosen:
        shutil.rmtree(begun.folder)
        shutil.copytree(kept, begun.folder, symlinks=True)
        dying(begun, at)
        between.add((begun.program_says(), begun.host().running))
        host = begun.host()
        status = begun.apply(host)
        assert status.outcome in (INSTALLED, CURRENT, RETURNED, FAILED), (at, status)
        assert begun.program_says() == host.running, at
        assert begun.leftovers() == [], at
        seen.add(host.running)
    assert between <= {(OLD, OLD), (NEW, OLD), (NEW, NEW), (OLD, NEW)}
    assert {program for program, _ in between} == ({OLD, NEW} if is_staged else {OLD})
    return seen


def dying(begun: Stage, at: int) -> tuple[int, int]:
    """Run the updater in a process that is killed before its change number `at`.

    How many it made, and with which the switch began: the first one of the trial's file.
    """
    count = begun.folder.with_name("count")
    child = os.fork()
    if not child:
        made = begins = 0

        def before(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal made, begins
            flags = arguments[2] if event == "open" else 0
            is_write = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
            if event in CHANGES or is_write:
                made += 1
                if not begins and "trial.json" in str(arguments[0]):
                    begins = made
                if made == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(before)
            begun.apply()
            count.write_text(f"{made} {begins}")
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return at, 0
    made_in_all, first = count.read_text().split()
    return int(made_in_all), int(first)


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, left_kib: int) -> None:
    """Leave so much room on this disk."""
    (folder / "filler").unlink(missing_ok=True)
    facts = os.statvfs(folder)
    length = facts.f_bavail * facts.f_frsize - (left_kib << 10)
    with (folder / "filler").open("wb") as file:
        while length > 0:
            length -= file.write(b"x" * min(length, 1 << 20))


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root, who may mount a small disk")
def test_upd_12_a_full_disk_leaves_the_old_version_and_room_lets_the_new_one_in(
    offered: Offered, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 64), update_server(offered.open) as server:
        begun = Stage(offered, tmp_path / "disk", server)
        begun.begin()
        for left_kib in (0, 64, 1 << 10):
            fill(begun.folder, left_kib)
            with pytest.raises(SupportError) as caught:
                begun.apply()
            assert caught.value.code in (ErrorCode.E_DATA_DISK, ErrorCode.E_AUDIT_WRITE)
            assert (begun.program_says(), begun.host().running) == (OLD, OLD)
        (begun.folder / "filler").unlink()
        assert begun.apply().outcome == INSTALLED


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root, who may mount a small disk")
def test_upd_12_a_disk_that_is_full_after_the_switch_does_not_stop_the_return(
    offered: Offered, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 64), update_server(offered.open) as server:
        begun = Stage(offered, tmp_path / "disk", server, broken={NEW})
        begun.begin()
        host = KeptHost(begun.places, tmp_path)
        host.broken = {NEW}
        host.restart()
        filled: list[Callable[[], None]] = [lambda: fill(begun.folder, 0)]
        host.on_restart = lambda: filled.pop()() if filled else None
        with pytest.raises(SupportError) as caught:  # not even what was found can be written down
            begun.apply(host)
        assert caught.value.code is ErrorCode.E_DATA_DISK
        assert (begun.program_says(), host.running) == (OLD, OLD)
        (begun.folder / "filler").unlink()
        assert begun.apply(host).outcome == FAILED
        assert begun.leftovers() == []
