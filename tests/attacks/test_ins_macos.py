"""The install script of macOS, whose programs are played: nothing runs unsigned; a second run is unchanged.

The root is a bare Debian (no Mac can be had here), so `uname -m` has to be a name that Macs have too.
"""

import platform
import plistlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.certificates import organisation_of_root
from tests.support.bare_mac import PYTHON, jobs, make_mac, told
from tests.support.bare_root import BareRoot, bare_root, kept_root
from tests.support.relay_process import running_relay
from tests.support.releases import installable_release, new_root

pytestmark = [pytest.mark.real, pytest.mark.beside, pytest.mark.timeout(900)]

OLD, NEW = "1.2.3", "1.3.0"
SCRIPT, AGENT, STATE = "/media/install.sh", "/opt/alongside/bin/alongside-agent", "/var/db/alongside-agent"
ALTERED_AT = 400
KILLS = 12
MAY_CHANGE = (
    *("opt/alongside", "var/db/alongside-agent", "etc/passwd", "etc/group", "etc/paths.d"),
    *("Library", "media", "var/run", "run"),
)


@dataclass(frozen=True)
class Medium:
    """What lies on an administrator's stick."""

    fingerprint: str
    bundles: dict[str, bytes]
    script: bytes
    folder: Path


@pytest.fixture(scope="module")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Medium:
    folder = tmp_path_factory.mktemp("medium")
    (folder / "other").mkdir()
    ours, other = new_root(folder), new_root(folder / "other")
    machine = platform.machine()
    made = {
        "old": installable_release(ours, folder / "old", OLD, machine, platform="macos"),
        "new": installable_release(ours, folder / "new", NEW, machine, platform="macos"),
        "foreign": installable_release(other, folder / "foreign", NEW, machine, platform="macos"),
        "linux": installable_release(ours, folder / "linux", NEW, machine),
    }
    bundles = {name: bundle.read_bytes() for name, (bundle, _) in made.items()}
    altered = bytearray(bundles["new"])
    altered[altered.index(b"alongside/stub.py") + ALTERED_AT] ^= 1
    bundles |= {"altered": bytes(altered), "cut": bundles["new"][: len(altered) // 2], "none": b"no bundle"}
    script = made["new"][1].read_bytes()
    return Medium(organisation_of_root(ours.der)[0], bundles, script, folder / "new" / "release")


@pytest.fixture
def mac(medium: Medium, tmp_path: Path) -> Iterator[BareRoot]:
    with bare_root(kept_root(), tmp_path) as root:
        make_mac(root)
        root.put(SCRIPT, medium.script)
        for name, bundle in medium.bundles.items():
            root.put(f"/media/{name}.bundle", bundle, 0o644)
        yield root


def terms(medium: Medium, bundle: str, *more: str) -> list[str]:
    return ["--fingerprint", medium.fingerprint, "--offline", f"/media/{bundle}.bundle", *more]


def ran(mac: BareRoot, *words: str, text: str = "") -> "subprocess.CompletedProcess[str]":
    return mac.run("bash", SCRIPT, *words, text=text)


def install(mac: BareRoot, medium: Medium, bundle: str, *more: str, text: str = "") -> str:
    """Install, which has to work; what it said."""
    done = ran(mac, *terms(medium, bundle, *more), text=text)
    assert done.returncode == 0, done.stderr
    return done.stdout


def version(mac: BareRoot) -> str:
    """What the installed agent says of itself."""
    return mac.run(AGENT, "--version").stdout.strip()


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Paths that are not as they were, beside those that may change."""
    every = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    return {path for path in every if not path.startswith(MAY_CHANGE)}


def test_ins_01_02_on_macos_twice_is_unchanged_and_removal_leaves_nothing(
    mac: BareRoot, medium: Medium
) -> None:
    before = mac.listing()
    said = install(mac, medium, "old", "--token-file", "-", text="right")
    assert f"Version {OLD} is installed" in said
    assert version(mac) == OLD
    once = mac.listing()
    assert changed(before, once) == set()
    assert jobs(mac) == {"system_alongside-agent", "gui_501_alongside-agent-desktop"}
    account = mac.path / STATE.lstrip("/")
    assert account.stat().st_mode & 0o777 == 0o700
    assert account.stat().st_uid == (account / "identity.pem").stat().st_uid >= 350
    assert (mac.path / "etc/paths.d/alongside-agent").read_text() == "/opt/alongside/bin\n"
    assert not list((mac.path / "var/root").iterdir())
    told(mac)
    assert "unchanged" in install(mac, medium, "old")
    assert told(mac) == []
    assert mac.listing() == once
    assert ran(mac, "--uninstall").returncode == 0
    assert jobs(mac) == set()
    assert (account / "identity.pem").exists()
    assert not (mac.path / "opt/alongside").exists()
    done = ran(mac, "--uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    left = changed(before, mac.listing()) | {path for path in mac.listing() if path not in before}
    assert left <= {"etc/paths.d"}
    assert "_alongside" not in (mac.path / "etc/passwd").read_text() + (mac.path / "etc/group").read_text()
    assert not list((mac.path / "Library").rglob("alongside*"))
    assert "unchanged" in ran(mac, "--uninstall", "--purge").stdout


def test_ins_01_on_macos_a_newer_version_is_restarted_and_an_older_one_is_refused(
    mac: BareRoot, medium: Medium
) -> None:
    install(mac, medium, "old", "--no-join")
    told(mac)
    install(mac, medium, "new", "--no-join")
    assert version(mac) == NEW
    calls = told(mac)
    assert calls.index("bootout system/alongside-agent") < calls.index(
        "bootstrap system /Library/LaunchDaemons/alongside-agent.plist"
    )
    names = [path.name.partition("-")[0] for path in (mac.path / "opt/alongside/versions").iterdir()]
    assert sorted(names) == [OLD, NEW]
    for words in (terms(medium, "old"), terms(medium, "new", "--at-least", "1.10.0")):
        done = ran(mac, *words)
        assert (done.returncode, "E_RELEASE_VERSION" in done.stderr) == (3, True)
    assert version(mac) == NEW


@pytest.mark.parametrize("bundle", ["altered", "cut", "none", "foreign", "linux"])
def test_ins_03_on_macos_what_is_not_signed_or_not_for_macs_changes_nothing(
    mac: BareRoot, medium: Medium, bundle: str
) -> None:
    before = mac.listing()
    done = ran(mac, *terms(medium, bundle, "--no-join"))
    code = "E_RELEASE_PLATFORM" if bundle == "linux" else "E_RELEASE_SIGNATURE"
    assert (done.returncode, code in done.stderr) == (5, True), done.stderr
    assert mac.listing() == before
    assert told(mac) == []


def test_ins_01_on_macos_killed_anywhere_one_version_works_and_a_second_run_ends_it(
    mac: BareRoot, medium: Medium
) -> None:
    install(mac, medium, "old", "--no-join")
    words = " ".join(terms(medium, "new", "--no-join"))
    counting = "n=0; trap 'n=$((n+1)); echo $n >/media/steps' DEBUG; set -T; set -- %s; . %s"
    assert mac.run("bash", "-c", counting % (words, SCRIPT)).returncode == 0
    steps = int((mac.path / "media/steps").read_text())
    killing = "n=0; trap 'n=$((n+1)); [ $n -lt %d ] || kill -9 $$' DEBUG; set -T; set -- %s; . %s"
    seen = set()
    for number in range(KILLS):
        back = "ln -sfnT $(cd /opt/alongside && echo versions/1.2.3-*) /opt/alongside/current"
        mac.run("bash", "-c", f"{back}; rm -rf /opt/alongside/versions/1.3.0-*")
        at = steps * (number + 1) // (KILLS + 1)
        done = mac.run("bash", "-c", killing % (at, words, SCRIPT))
        assert done.returncode in {-9, 137}, (at, done.stdout, done.stderr)
        seen.add(version(mac))
    assert seen <= {OLD, NEW}
    install(mac, medium, "new", "--no-join")
    assert version(mac) == NEW
    assert "system_alongside-agent" in jobs(mac)
    assert not list((mac.path / "var/root").iterdir()), "what killed runs left is cleared"
    assert "unchanged" in install(mac, medium, "new", "--no-join")


def test_sec_03_on_macos_a_token_and_a_proxys_password_are_in_no_list_of_processes(
    mac: BareRoot, medium: Medium
) -> None:
    mac.put("/media/token", b"secret-wrong", 0o600)
    mac.put("/media/proxy", b"http://it:secret@proxy.example:3128\n", 0o600)
    words = ["--token-file", "/media/token", "--proxy-file", "/media/proxy"]
    done = ran(mac, *terms(medium, "old", *words))
    assert (done.returncode, version(mac)) == (7, OLD), done.stderr
    heard, _, token = (mac.path / STATE.lstrip("/") / "heard").read_text().partition("|")
    assert token == "secret-wrong", "control: it got there"
    assert "secret" not in heard + done.stdout + done.stderr
    kept = mac.path / STATE.lstrip("/") / "relay-proxy"
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == ("http://it:secret@proxy.example:3128\n", 0o600)
    assert kept.stat().st_uid == kept.parent.stat().st_uid != 0
    done = ran(mac, *terms(medium, "old", "--proxy", "http://it:secret@proxy.example:3128"))
    assert (done.returncode, "--proxy-file" in done.stderr) == (2, True)


def test_ins_05_on_macos_from_a_real_relay(mac: BareRoot, medium: Medium, tmp_path: Path) -> None:
    inside, arguments = ["ip", "netns", "exec", mac.namespace], ["--release", str(medium.folder)]
    with running_relay(tmp_path / "relay", workers=0, arguments=arguments, inside=inside) as relay:
        words = ["--fingerprint", medium.fingerprint, "--relay", relay.relay_url, "--no-join"]
        done = ran(mac, *words, "--proxy", "http://127.0.0.1:1")
        assert done.returncode == 4, "control: it asks the proxy"
        done = ran(mac, *words)
        assert (done.returncode, version(mac)) == (0, NEW), done.stderr
    assert ran(mac, *words).returncode == 4


def test_ins_08_on_macos_without_a_python_that_is_roots_own_it_says_which_is_needed(
    mac: BareRoot, medium: Medium
) -> None:
    before = mac.listing()
    python = mac.path / PYTHON.lstrip("/")
    python.parent.chmod(0o777)
    done = ran(mac, *terms(medium, "old", "--no-join"))
    assert (done.returncode, "not root's own" in done.stdout, "python.org" in done.stderr) == (6, True, True)
    python.parent.chmod(0o755)
    python.unlink()
    done = ran(mac, *terms(medium, "old", "--no-join"))
    assert (done.returncode, "python.org" in done.stderr) == (6, True)
    assert mac.listing() == before


def test_ins_01_on_macos_a_dry_run_does_nothing_and_wrong_words_are_said(
    mac: BareRoot, medium: Medium
) -> None:
    before = mac.listing()
    assert "would install version" in install(mac, medium, "old", "--dry-run")
    for words in (
        ["--fingerprint", "12"],
        ["--what"],
        ["--fingerprint", medium.fingerprint, "--relay", "https://2001:db8::1"],
        terms(medium, "old", "--relay", "https://r"),
        ["--purge"],
    ):
        assert ran(mac, *words).returncode == 2
    assert "--token-file" in ran(mac, "--help").stdout
    assert mac.listing() == before
    assert told(mac) == []
    install(mac, medium, "old", "--no-join")
    once = mac.listing()
    assert "would run" in ran(mac, "--uninstall", "--purge", "--dry-run").stdout
    assert mac.listing() == once


@pytest.mark.parametrize("name", ["alongside-agent", "alongside-agent-desktop"])
def test_jobs_of_launchd_are_called_as_their_files_and_none_runs_as_root(name: str) -> None:
    folder = Path(__file__).parents[2] / "scripts" / "install" / "macos"
    with (folder / f"{name}.plist").open("rb") as file:
        job = plistlib.load(file)
    assert job["Label"] == name
    assert job["ProgramArguments"][0].startswith("/opt/alongside/current/bin/")
    assert job["Umask"] == 0o077
    assert job["ThrottleInterval"] >= 10
    if name == "alongside-agent":
        assert job["UserName"] == job["GroupName"] == "_alongside"
        assert job["KeepAlive"] == {"PathState": {f"{STATE}/identity.pem": True}}
    else:
        assert job["LimitLoadToSessionType"] == "Aqua"
        assert "UserName" not in job, "it runs as the person"
