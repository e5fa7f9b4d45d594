"""The real release in a bare Debian: built, signed, installed, joined, and online."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.steps import until
from tests.support.bare_root import BareRoot, bare_root, kept_root
from tests.support.system import WholeSystem

pytestmark = [pytest.mark.real, pytest.mark.beside, pytest.mark.timeout(900)]

SOURCES = Path(__file__).parents[2]
STATE = "/var/lib/alongside-agent"
START = ["setpriv", "--reuid=alongside-agent", "--regid=alongside-agent", "--clear-groups"]
START += ["/opt/alongside/current/bin/alongside-agent", "run", "--no-desktop", "--data", STATE, "--json"]


@contextmanager
def running_agent(root: BareRoot) -> Iterator["subprocess.Popen[str]"]:
    """The installed agent, started as its unit starts it."""
    words = [*root.entering, *START]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:
        try:
            yield agent
        finally:
            agent.terminate()


def test_a_real_release_is_installed_joins_and_is_online(system: WholeSystem, tmp_path: Path) -> None:
    wheels, stick = tmp_path / "wheels", tmp_path / "stick"
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(wheels)]
    subprocess.run([*build, f"{SOURCES}[agent]", "pip"], check=True, capture_output=True)
    passphrase = ["--passphrase-file", str(system.folder / "organisation-passphrase")]
    system.alongside("release", "create", "--wheels", str(wheels), *passphrase)
    system.alongside("release", "export", str(stick))
    shown = json.loads(system.alongside("org", "show", "--json").stdout)
    made = json.loads(system.alongside("fleet", "token", "create", *passphrase, "--json").stdout)
    assert shown["root_fingerprint"] in made["install"]["linux"]["one_line"]
    with bare_root(kept_root(), tmp_path, has_own_network=False) as root:
        for path in stick.iterdir():
            root.put(f"/media/{path.name}", path.read_bytes())
        (bundle,) = stick.glob("*.bundle")
        words = ["--fingerprint", shown["root_fingerprint"], "--offline", f"/media/{bundle.name}"]
        done = root.run("/media/install.sh", *words, "--token-file", "-", text=made["token"])
        assert done.returncode == 0, done.stderr
        before = {row["device_id"] for row in devices(system)}
        assert len(before) == 2, "it has joined"
        with running_agent(root) as agent:
            until(lambda: agent.poll() is not None or online(system) == before, 60)
            assert agent.poll() is None, agent.communicate()[1]
        doctor = root.run("/usr/local/bin/alongside-agent", "doctor", "--data", STATE)
        assert "Traceback" not in doctor.stdout + doctor.stderr
        assert "unchanged" in root.run("/media/install.sh", *words).stdout


def devices(system: WholeSystem) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = json.loads(system.alongside("fleet", "list", "--json").stdout)[
        "devices"
    ]
    return listed


def online(system: WholeSystem) -> set[object]:
    return {row["device_id"] for row in devices(system) if row["is_present"]}
