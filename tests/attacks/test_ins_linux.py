"""The install script in a bare Debian: nothing runs unsigned; however it is cut short, one version works."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.certificates import organisation_of_root
from tests.support.bare_root import BareRoot, bare_root, kept_root
from tests.support.own_network import take_ipv4_away
from tests.support.relay_process import running_relay
from tests.support.releases import installable_release, new_root

pytestmark = [pytest.mark.real, pytest.mark.beside, pytest.mark.timeout(900)]

OLD, NEW = "1.2.3", "1.3.0"
SCRIPT, AGENT = "/media/install.sh", "/usr/local/bin/alongside-agent"
CALLS, KILL_ONCE = "media/systemctl-calls", "/media/kill-once"
PRETENDED = f"""#!/bin/sh
echo "$*" >>/{CALLS}
[ ! -e {KILL_ONCE} ] || {{ rm {KILL_ONCE}; kill -9 $PPID; }}
"""
FORWARDER = b"""import sys
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.request import urlopen


class Forwarder(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers["Proxy-Authorization"] != "Basic aXQ6c2VjcmV0":
            self.send_error(407)
            return
        assert self.path.startswith(sys.argv[1] + "/")
        with open("/media/handed-on", "a") as seen, urlopen(self.path) as answer:
            seen.write(self.path)
            content = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Server(HTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET


server = Server((sys.argv[2], 3128), Forwarder)
print("ready", flush=True)
server.serve_forever()
"""
UNITS = (
    "etc/systemd/system/alongside-agent.service",
    "etc/systemd/system/alongside-agent-exec.socket",
    "etc/systemd/system/alongside-agent-exec@.service",
    "etc/systemd/system/alongside-agent-update.service",
    "etc/systemd/system/alongside-agent-update.timer",
    "etc/systemd/user/alongside-agent-desktop.service",
)
ALTERED_AT = 400
MAY_CHANGE = (
    *("opt/alongside", "usr/local/bin/alongside-agent", "var/lib/alongside-agent", "etc/systemd"),
    *("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/subuid", "etc/subgid", "etc/.pwd.lock"),
)
KILLS = 20
UPDATE_ROOT = b'{"signatures":[],"signed":{}}'


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
        "old": installable_release(ours, folder / "old", OLD, machine),
        "new": installable_release(ours, folder / "new", NEW, machine),
        "foreign": installable_release(other, folder / "foreign", NEW, machine),
        "listed": installable_release(ours, folder / "listed", "1.4.0", machine, UPDATE_ROOT),
        "elsewhere": installable_release(ours, folder / "elsewhere", NEW, "riscv64"),
        "mac": installable_release(ours, folder / "mac", NEW, machine, platform="macos"),
    }
    bundles = {name: bundle.read_bytes() for name, (bundle, _) in made.items()}
    altered = bytearray(bundles["new"])
    altered[altered.index(b"alongside/stub.py") + ALTERED_AT] ^= 1
    bundles |= {"altered": bytes(altered), "cut": bundles["new"][: len(altered) // 2], "none": b"no bundle"}
    return Medium(
        organisation_of_root(ours.der)[0], bundles, made["new"][1].read_bytes(), folder / "new" / "release"
    )


@contextmanager
def with_medium(lower: Path, medium: Medium, folder: Path, room_mib: int) -> Iterator[BareRoot]:
    with bare_root(lower, folder, room_mib=room_mib) as root:
        root.put(SCRIPT, medium.script)
        for name, bundle in medium.bundles.items():
            root.put(f"/media/{name}.bundle", bundle, 0o644)
        yield root


@pytest.fixture(scope="module")
def lower() -> Path:
    return kept_root()


@pytest.fixture
def root(lower: Path, medium: Medium, tmp_path: Path) -> Iterator[BareRoot]:
    with with_medium(lower, medium, tmp_path, 1024) as made:
        yield made


@contextmanager
def serving_proxy(root: BareRoot, relay_url: str, host: str) -> Iterator[Path]:
    """A proxy inside that asks for a password and hands on to this relay; the file of what it handed on."""
    root.put("/media/proxy.py", FORWARDER)
    words = [*root.entering, "python3", "-I", "/media/proxy.py", relay_url, host]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            assert proxy.stdout.readline() == "ready\n"
            yield root.path / "media/handed-on"
        finally:
            proxy.terminate()


def terms(medium: Medium, bundle: str, *more: str) -> list[str]:
    return ["--fingerprint", medium.fingerprint, "--offline", f"/media/{bundle}.bundle", *more]


def install(root: BareRoot, medium: Medium, bundle: str, *more: str, text: str = "") -> str:
    """Install, which has to work; what it said."""
    done = root.run(SCRIPT, *terms(medium, bundle, *more), text=text)
    assert done.returncode == 0, done.stderr
    return done.stdout


def version(root: BareRoot) -> str:
    """What the installed agent says of itself."""
    return root.run(AGENT, "--version").stdout.strip()


def settled(listing: dict[str, str]) -> dict[str, str]:
    """Without what the tools for accounts keep beside their files: a lock, and each file as it was before."""
    kept = {"etc/.pwd.lock", *(f"etc/{name}-" for name in ("passwd", "shadow", "group", "gshadow"))}
    return {path: facts for path, facts in listing.items() if path not in kept}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Paths that are not as they were, above those that may change."""
    every = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    return {path for path in every if not path.startswith(MAY_CHANGE)}


def test_ins_01_02_04_twice_is_unchanged_and_removal_leaves_nothing(root: BareRoot, medium: Medium) -> None:
    before = root.listing()
    assert f"Version {OLD} is installed" in install(root, medium, "old", "--token-file", "-", text="right")
    assert version(root) == OLD
    once = root.listing()
    assert changed(before, once) == set(), "no trust store, no setting of the system"
    assert "unchanged" in install(root, medium, "old")
    assert root.listing() == once
    root.put("/var/lib/alongside-agent/audit.jsonl", b"history\n")
    assert root.run(SCRIPT, "--uninstall").returncode == 0
    assert "var/lib/alongside-agent/audit.jsonl" in root.listing()
    assert not [path for path in root.listing() if path.startswith(("opt/alongside", "usr/local/bin/along"))]
    done = root.run(SCRIPT, "--uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    assert settled(root.listing()) == settled(before)
    assert "unchanged" in root.run(SCRIPT, "--uninstall", "--purge").stdout


def test_ins_01_a_newer_version_follows_and_an_older_one_is_refused(root: BareRoot, medium: Medium) -> None:
    install(root, medium, "old", "--no-join")
    install(root, medium, "new", "--no-join")
    assert version(root) == NEW
    kept = root.listing()
    done = root.run(SCRIPT, *terms(medium, "old"))
    assert (done.returncode, "E_RELEASE_VERSION" in done.stderr) == (3, True)
    done = root.run(SCRIPT, *terms(medium, "new", "--at-least", "1.3.1"))
    assert (done.returncode, "E_RELEASE_VERSION" in done.stderr) == (3, True)
    assert root.listing() == kept
    assert version(root) == NEW


def test_ins_01_killed_anywhere_one_version_works_and_a_second_run_ends_it(
    root: BareRoot, medium: Medium
) -> None:
    install(root, medium, "old", "--no-join")
    words = " ".join(terms(medium, "new", "--no-join"))
    counting = "n=0; trap 'n=$((n+1)); echo $n >/media/steps' DEBUG; set -T; set -- %s; . %s"
    with_steps = root.run("bash", "-c", counting % (words, SCRIPT))
    assert with_steps.returncode == 0, with_steps.stderr
    steps = int((root.path / "media/steps").read_text())
    killing = "n=0; trap 'n=$((n+1)); [ $n -lt %d ] || kill -9 $$' DEBUG; set -T; set -- %s; . %s"
    seen, left = set(), set()
    for number in range(KILLS):
        root.run(
            "bash", "-c", "ln -sfnT $(cd /opt/alongside && echo versions/1.2.3-*) /opt/alongside/current"
        )
        root.run("bash", "-c", "rm -rf /opt/alongside/versions/1.3.0-*")
        at = steps * (number + 1) // (KILLS + 1)
        done = root.run("bash", "-c", killing % (at, words, SCRIPT))
        assert done.returncode in {-9, 137}, (at, done.stdout, done.stderr)
        seen.add(version(root))
        left.add(len(left_folders(root)))
    assert seen <= {OLD, NEW}
    assert left == {0, 1}, "a killed run leaves its folder, and the next one takes it away"
    install(root, medium, "new", "--no-join")
    assert (version(root), left_folders(root)) == (NEW, set())
    names = [path.name for path in (root.path / "opt/alongside/versions").iterdir()]
    assert sorted(name.partition("-")[0] for name in names) == [OLD, NEW]


def left_folders(root: BareRoot) -> set[str]:
    """The temporary folders of runs of the script."""
    return {path.name for path in (root.path / "tmp").glob("alongside-install.*")}


def test_ins_01_02_what_killed_runs_left_is_cleared_and_nothing_that_only_looks_like_it(
    root: BareRoot, medium: Medium
) -> None:
    place = root.path / "tmp"
    (place / "elsewhere").mkdir(mode=0o700)
    (place / "alongside-install.isAlinkxxx").symlink_to("elsewhere")
    (place / "alongside-install.isAfilexxx").touch(mode=0o700)
    for name in ("isOpenxxxx", "isAnothers", "isInUsexxx", "isLeftoverr", "isLeftover"):
        folder = place / f"alongside-install.{name}"
        folder.mkdir(mode=0o755 if name == "isOpenxxxx" else 0o700)
        (folder / "bundle").write_bytes(b"content")
    os.chown(place / "alongside-install.isAnothers", 1000, 1000)
    lookalikes = left_folders(root) - {"alongside-install.isLeftover"}
    held = [*root.entering, "flock", "/tmp/alongside-install.isInUsexxx", "sh", "-c", "echo; read line"]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "\n"
        install(root, medium, "old", "--dry-run", "--no-join")
        assert "alongside-install.isLeftover" in left_folders(root), "a dry run does nothing"
        place.chmod(0o777)  # without the sticky bit anybody could exchange what was looked at
        install(root, medium, "old", "--no-join")
        assert "alongside-install.isLeftover" in left_folders(root)
        place.chmod(0o1777)
        install(root, medium, "old", "--no-join")
        assert left_folders(root) == lookalikes
        for name in ("isOpenxxxx", "isAnothers", "isInUsexxx", "isLeftoverr"):
            assert (place / f"alongside-install.{name}" / "bundle").exists()
        user.communicate("\n")
    assert root.run(SCRIPT, "--uninstall").returncode == 0
    assert left_folders(root) == lookalikes - {"alongside-install.isInUsexxx"}
    assert (place / "elsewhere").is_dir()


def pretend_systemd(root: BareRoot) -> None:
    """A `systemctl` that writes down what it is told; no systemd is started for this."""
    root.put("/usr/bin/systemctl", PRETENDED.encode())
    (root.path / "run/systemd/system").mkdir(parents=True)


def calls(root: BareRoot) -> list[str]:
    """What systemctl was told since the last look."""
    place = root.path / CALLS
    told = place.read_text().splitlines() if place.exists() else []
    place.unlink(missing_ok=True)
    return told


def test_ins_01_units_are_enabled_and_started_once_and_a_removal_ends_them(
    root: BareRoot, medium: Medium
) -> None:
    install(root, medium, "old", "--no-join")
    assert not [path for path in root.listing() if ".wants/alongside" in path], "nothing is enabled"
    root.run(SCRIPT, "--uninstall", "--purge")
    pretend_systemd(root)
    install(root, medium, "old", "--no-join")
    told = calls(root)
    assert "--quiet enable alongside-agent.service" in told
    assert "--quiet --global enable alongside-agent-desktop.service" in told
    assert "--quiet enable --now alongside-agent-update.timer" in told
    assert told[-1] == "restart alongside-agent.service"
    assert "unchanged" in install(root, medium, "old", "--no-join")
    assert calls(root) == []
    root.run(SCRIPT, "--uninstall", "--purge")
    told = calls(root)
    assert "--quiet disable --now alongside-agent-update.timer" in told
    assert "--quiet disable --now alongside-agent.service" in told


def test_ins_01_killed_after_the_switch_the_next_run_still_starts_the_new_version(
    root: BareRoot, medium: Medium
) -> None:
    pretend_systemd(root)
    install(root, medium, "old", "--no-join")
    calls(root)
    root.put(KILL_ONCE, b"")
    done = root.run(SCRIPT, *terms(medium, "new", "--no-join"))
    assert (done.returncode, version(root)) == (-9, NEW), "control: the switch was made, the start was not"
    assert "restart alongside-agent.service" not in calls(root)
    assert "unchanged" not in install(root, medium, "new", "--no-join")
    assert "restart alongside-agent.service" in calls(root)
    assert "unchanged" in install(root, medium, "new", "--no-join")


def test_ins_02_what_killed_runs_left_is_removed_too(root: BareRoot, medium: Medium) -> None:
    before = root.listing()
    install(root, medium, "old", "--no-join")
    for half in (AGENT.lstrip("/"), *UNITS):
        root.put(f"{half}.new", b"half")
    assert root.run(SCRIPT, "--uninstall").returncode == 0
    root.run("rm", "-r", "/var/lib/alongside-agent")
    assert "alongside-agent" in (root.path / "etc/passwd").read_text(), "control: only the account is left"
    assert root.run(SCRIPT, "--uninstall", "--purge").returncode == 0
    assert {path for path in settled(root.listing()) if path not in before} <= {"etc/systemd/user"}
    assert "alongside-agent" not in (root.path / "etc/passwd").read_text()


@pytest.mark.parametrize("bundle", ["altered", "cut", "none", "foreign"])
def test_ins_03_what_the_organisation_did_not_sign_changes_nothing(
    root: BareRoot, medium: Medium, bundle: str
) -> None:
    before = root.listing()
    done = root.run(SCRIPT, *terms(medium, bundle, "--no-join"))
    assert (done.returncode, "E_RELEASE_SIGNATURE" in done.stderr) == (5, True), done.stderr
    assert root.listing() == before


def test_ins_08_another_machine_a_missing_part_or_no_room_is_said_and_changes_nothing(
    lower: Path, medium: Medium, tmp_path: Path
) -> None:
    with with_medium(lower, medium, tmp_path, 48) as root:
        before = root.listing()
        for bundle in ("elsewhere", "mac"):
            done = root.run(SCRIPT, *terms(medium, bundle, "--no-join"))
            assert (done.returncode, "E_RELEASE_PLATFORM" in done.stderr) == (5, True), done.stderr
            assert root.listing() == before
        install(root, medium, "old", "--no-join")
        subprocess.run(
            ["dd", "if=/dev/zero", f"of={root.path}/media/full", "bs=1M"], capture_output=True, check=False
        )
        done = root.run(SCRIPT, *terms(medium, "new", "--no-join"))
        assert (done.returncode, version(root)) == (6, OLD), done.stderr
        (root.path / "media/full").unlink()
        install(root, medium, "new", "--no-join")
        assert version(root) == NEW
        root.run("sh", "-c", "rm -r /usr/lib/python3.11/tkinter")
        done = root.run(SCRIPT, *terms(medium, "new", "--no-join"))
        assert (done.returncode, "python3-tk" in done.stderr) == (6, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ins_05_rel_18_from_a_real_relay_and_through_a_proxy(
    root: BareRoot, medium: Medium, tmp_path: Path, host: str
) -> None:
    if host == "::1":
        take_ipv4_away(root.namespace)
    shown = "[::1]" if host == "::1" else host
    inside, arguments = ["ip", "netns", "exec", root.namespace], ["--release", str(medium.folder)]
    with running_relay(tmp_path / "relay", workers=0, arguments=arguments, inside=inside, host=host) as relay:
        words = ["--fingerprint", medium.fingerprint, "--relay", relay.relay_url, "--no-join"]
        done = root.run(SCRIPT, *words, "--proxy", f"http://{shown}:1")
        assert (done.returncode, "proxy" in done.stderr) == (4, True), "control: it asks the proxy"
        with serving_proxy(root, relay.relay_url, host) as seen:
            done = root.run(SCRIPT, *words, "--proxy", f"http://{shown}:3128")
            assert (done.returncode, "407" in done.stderr) == (4, True), "it wants a password"
            assert not (root.path / "opt/alongside").exists()
            with_password = f"http://it:secret@{shown}:3128"
            done = root.run(SCRIPT, *words, "--proxy", with_password)
            assert (done.returncode, "--proxy-file" in done.stderr) == (2, True), "everybody could read it"
            root.put("/media/proxy-address", with_password.encode(), 0o600)
            done = root.run(SCRIPT, *words, "--proxy-file", "/media/proxy-address")
            assert (done.returncode, version(root)) == (0, NEW), done.stderr
            assert "/release/" in seen.read_text()
            assert "secret" not in done.stdout + done.stderr
            kept = root.path / "var/lib/alongside-agent/relay-proxy"
            assert (kept.read_text().strip(), kept.stat().st_mode & 0o777) == (with_password, 0o600)
            assert kept.stat().st_uid == kept.parent.stat().st_uid != 0, "the agent's own"
            done = root.run(SCRIPT, *words, "--proxy-file", "/media/proxy-address")
            assert "unchanged" in done.stdout
        root.run(SCRIPT, "--uninstall", "--purge")
        done = root.run(SCRIPT, *words)
        assert (done.returncode, version(root)) == (0, NEW), done.stderr
    done = root.run(SCRIPT, *words)
    assert (done.returncode, version(root)) == (4, NEW)


def test_sec_03_a_token_is_in_no_list_of_processes_and_a_wrong_one_leaves_the_agent_installed(
    root: BareRoot, medium: Medium
) -> None:
    root.put("/media/token", b"secret-wrong", 0o600)
    done = root.run(SCRIPT, *terms(medium, "old", "--token-file", "/media/token"))
    assert (done.returncode, version(root)) == (7, OLD)
    heard, _, token = (root.path / "var/lib/alongside-agent/heard").read_text().partition("|")
    assert token == "secret-wrong", "control: it got there"
    assert "secret" not in heard + done.stdout + done.stderr
    install(root, medium, "old", "--token-file", "-", text="right")
    assert (root.path / "var/lib/alongside-agent/identity.pem").exists()


def test_ins_01_a_dry_run_does_nothing_and_wrong_words_are_said(root: BareRoot, medium: Medium) -> None:
    before = root.listing()
    assert "would install version" in install(root, medium, "old", "--dry-run", "--no-join")
    for words in (
        ["--fingerprint", "12"],
        ["--what"],
        ["--fingerprint", medium.fingerprint, "--relay", "https://relay.example:8470:1"],
        terms(medium, "old", "--relay", "https://r"),
        ["--purge"],
    ):
        assert root.run(SCRIPT, *words).returncode == 2
    for words in (
        ["--relay", "https://2001:db8::1"],
        ["--relay", "https://2001:db8::1:8470"],
        ["--relay", "https://[::1]", "--proxy", "http://2001:db8::1:3128"],
    ):
        done = root.run(SCRIPT, "--fingerprint", medium.fingerprint, *words)
        assert (done.returncode, "needs brackets" in done.stderr) == (2, True)
    assert "--token-file" in root.run(SCRIPT, "--help").stdout
    assert root.listing() == before


def test_upd_01_what_updates_are_believed_by_comes_out_of_the_checked_bundle_and_is_roots(
    root: BareRoot, medium: Medium
) -> None:
    install(root, medium, "new", "--no-join")
    place = root.path / "opt/alongside/update"
    assert not place.exists(), "a release without the keys of updates"
    install(root, medium, "listed", "--no-join")
    assert (place / "root.json").read_bytes() == UPDATE_ROOT
    settings = json.loads((place / "settings.json").read_text())
    assert settings == {"fingerprint": medium.fingerprint, "relay": ""}
    links = [(root.path / "opt/alongside" / name).readlink() for name in ("current", "updater")]
    assert links[0] == links[1], "an installation by hand moves both links"
    assert (root.path / "opt/alongside/updater/units/alongside-agent-update.service").is_file()
    for path in (place, place / "root.json", place / "settings.json"):
        assert (path.stat().st_uid, path.stat().st_mode & 0o022) == (0, 0), path
    assert "unchanged" in install(root, medium, "listed", "--no-join")
    (place / "root.json").write_bytes(b"another")
    install(root, medium, "listed", "--no-join")
    assert (place / "root.json").read_bytes() == UPDATE_ROOT
