"""Real releases in a bare Debian: the agent updates itself over a real relay, and back from a broken one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import ErrorCode
from tests.e2e.steps import until
from tests.e2e.test_installed import SOURCES, STATE, devices, online
from tests.support.bare_root import BareRoot, bare_root, kept_root
from tests.support.system import WholeSystem

pytestmark = [pytest.mark.real, pytest.mark.beside, pytest.mark.timeout(1800)]

FIRST, NEXT, BROKEN = "0.1.0", "0.1.1", "0.1.2"
UPDATER = "/opt/alongside/updater/bin/alongside-agent"
RUNNING = "run/alongside-agent.pid"
SYSTEMCTL = f"""#!/bin/sh
# as much of systemd as an installation uses: one service, started as its unit says
case "$*" in
  *"restart alongside-agent.service" | *"start alongside-agent.service" | *stop*)
    [ ! -s /{RUNNING} ] || {{
      pid=$(cat /{RUNNING})
      kill "$pid" 2>/dev/null && while [ -d "/proc/$pid" ]; do sleep 0.1; done
      rm -f /{RUNNING}
    }}
    ;;
esac
case "$*" in
  *"start alongside-agent.service")
    setsid setpriv --reuid=alongside-agent --regid=alongside-agent --clear-groups \\
      /opt/alongside/current/bin/alongside-agent run --no-desktop --data {STATE} --json \\
      </dev/null >>/var/log/alongside-agent 2>&1 8>&- 9>&- &
    echo $! >/{RUNNING}
    ;;
esac
"""


def sources_of(version: str, folder: Path, *, is_broken: bool = False) -> Path:
    """The sources of another version; a broken one says its version, and cannot run."""
    listed = subprocess.run(["git", "ls-files"], cwd=SOURCES, check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        if (SOURCES / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCES / name, folder / name)
    for name in ("pyproject.toml", "protocol/version.py"):
        content = (folder / name).read_text()
        assert f'"{FIRST}"' in content
        (folder / name).write_text(content.replace(f'"{FIRST}"', f'"{version}"', 1))
    if is_broken:
        (folder / "agent/app.py").write_text("raise SystemExit(1)\n")
    return folder


def wheels_of(sources: Path, folder: Path, others: Path | None = None) -> Path:
    """Its wheel, and those of everything that it needs."""
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder)]
    if others is None:
        words += [f"{sources}[agent]", "pip"]
    else:
        words += ["--no-deps", str(sources)]
        shutil.copytree(others, folder, ignore=shutil.ignore_patterns("alongside-*"))
    subprocess.run(words, check=True, capture_output=True)
    return folder


@pytest.fixture
def offering(system: WholeSystem, tmp_path: Path) -> "Offering":
    return Offering(system, tmp_path)


class Offering:
    """The administrator's side, by commands alone."""

    def __init__(self, system: WholeSystem, folder: Path) -> None:
        self.system, self.folder = system, folder
        self.passphrase = ["--passphrase-file", str(system.folder / "organisation-passphrase")]
        system.alongside("release", "keys", *self.passphrase)
        self.wheels = wheels_of(sources_of(FIRST, folder / "sources"), folder / "wheels")

    def release(self, version: str, *, is_broken: bool = False) -> None:
        """Make it, and offer it to every device."""
        wheels = self.wheels
        if version != FIRST:
            sources = sources_of(version, self.folder / f"sources-{version}", is_broken=is_broken)
            wheels = wheels_of(sources, self.folder / f"wheels-{version}", self.wheels)
        self.system.alongside("release", "create", "--wheels", str(wheels), *self.passphrase)
        self.system.alongside("release", "offer", "--percent", "100", *self.passphrase)


def installed_version(root: BareRoot) -> str:
    return (root.path / "opt/alongside/current").readlink().name.partition("-")[0]


def update(root: BareRoot, *words: str) -> tuple[int, dict[str, object]]:
    """What the updater says, started as its unit starts it."""
    done = root.run(UPDATER, "update", "--apply", "--data", STATE, "--json", *words)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_upd_12_15_an_agent_updates_itself_is_online_and_comes_back_from_a_broken_version(
    system: WholeSystem, offering: Offering, tmp_path: Path
) -> None:
    offering.release(FIRST)
    stick = tmp_path / "stick"
    system.alongside("release", "export", str(stick))
    system.serve_release(system.technician_folder / "org" / "release")
    shown = json.loads(system.alongside("org", "show", "--json").stdout)
    made = json.loads(system.alongside("fleet", "token", "create", *offering.passphrase, "--json").stdout)
    with bare_root(kept_root(), tmp_path, room_mib=4096, has_own_network=False) as root:
        root.put("/usr/local/bin/systemctl", SYSTEMCTL.encode())
        root.put("/usr/bin/systemctl", SYSTEMCTL.encode())
        (root.path / "run/systemd/system").mkdir(parents=True)
        for path in stick.iterdir():
            root.put(f"/media/{path.name}", path.read_bytes())
        (bundle,) = stick.glob("*.bundle")
        words = ["--fingerprint", shown["root_fingerprint"], "--offline", f"/media/{bundle.name}"]
        try:
            done = root.run("/media/install.sh", *words, "--token-file", "-", text=made["token"])
            assert done.returncode == 0, done.stderr
            before = {row["device_id"] for row in devices(system)}
            until(lambda: online(system) == before, 60)
            assert installed_version(root) == FIRST
            assert update(root)[1].get("outcome") == "current"

            offering.release(NEXT)
            status, said = update(root)
            assert (status, said.get("outcome"), said.get("version")) == (0, "installed", NEXT), said
            assert installed_version(root) == NEXT
            until(lambda: online(system) == before, 60)

            offering.release(BROKEN, is_broken=True)
            status, said = update(root, "--patience", "15")
            assert status == 6
            assert said["error"]["code"] == ErrorCode.E_UPDATE_FAILED, said
            assert installed_version(root) == NEXT
            until(lambda: online(system) == before, 60)
            doctor = root.run("/usr/local/bin/alongside-agent", "doctor", "--data", STATE)
            assert f"{NEXT}" in doctor.stdout
            assert "E_UPDATE_FAILED" in doctor.stdout
        finally:
            root.run("/usr/bin/systemctl", "stop")
