"""The systemd units: how much a stolen process could do, in systemd's own judgement; and no core dumps."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "scripts" / "install" / "linux"
RELAY, AGENT, DESKTOP = "alongside-relay", "alongside-agent", "alongside-agent-desktop"
UPDATE = "alongside-agent-update"

# the most that each may score; 10 is a service without any protection
LIMITS = {RELAY: 2.0, AGENT: 4.0, UPDATE: 3.0}


def directives(unit: str) -> dict[str, list[str]]:
    """What `[Service]` says: each key with its values in order."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (UNITS / f"{unit}.service").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section == "Service" and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def exposure(path: Path) -> float:
    """The overall score that `systemd-analyze security` gives this file."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    [last] = [line for line in done.stdout.splitlines() if "Overall exposure level" in line]
    return float(last.split(": ")[1].split()[0])


@pytest.mark.real
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="install systemd, for systemd-analyze")
@pytest.mark.parametrize("unit", LIMITS)
def test_sec_06_a_unit_scores_as_little_exposure_as_promised(unit: str, tmp_path: Path) -> None:
    assert exposure(UNITS / f"{unit}.service") <= LIMITS[unit]
    bare = tmp_path / f"{unit}.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure(bare) > 9, "control: the same judge finds a unit without protection exposed"


@pytest.mark.parametrize("unit", [RELAY, AGENT, DESKTOP, UPDATE])
def test_sec_06_no_process_of_ours_leaves_a_core_dump_or_an_open_file(unit: str) -> None:
    said = directives(unit)
    assert said["LimitCORE"] == ["0"]
    assert said["UMask"] == ["0077"]
    assert said["NoNewPrivileges"] == ["yes"]


@pytest.mark.parametrize("unit", [RELAY, AGENT, DESKTOP, UPDATE])
def test_sec_03_a_unit_carries_no_secret_and_starts_nothing_from_a_writable_place(unit: str) -> None:
    said = directives(unit)
    assert not {"Environment", "EnvironmentFile", "PassEnvironment"} & said.keys()
    [started] = said["ExecStart"]
    link = "updater" if unit == UPDATE else "current"
    assert started.startswith(f"/opt/alongside/{link}/bin/")
    assert "token" not in started
    assert "passphrase" not in started


def test_sec_01_the_state_of_a_service_is_its_own() -> None:
    for unit in (RELAY, AGENT):
        assert directives(unit)["StateDirectoryMode"] == ["0700"]
        assert directives(unit)["CapabilityBoundingSet"] == [""]
    assert directives(RELAY)["DynamicUser"] == ["yes"]
    assert directives(AGENT)["User"] == [AGENT]


def test_upd_09_the_updater_writes_where_only_root_does_and_has_one_capability() -> None:
    said = directives(UPDATE)
    assert said["CapabilityBoundingSet"] == ["CAP_DAC_OVERRIDE"]
    assert said["ProtectSystem"] == ["strict"]
    assert said["ReadWritePaths"] == ["/opt/alongside /etc/systemd /run"]
