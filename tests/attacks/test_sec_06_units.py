"""The systemd units: how much a stolen process could do, in systemd's own judgement; and no core dumps."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.exec.limits import CommandLimits
from protocol.limits import COMMAND_TIMEOUT_LIMIT_S, COMMANDS_AT_ONCE_LIMIT

UNITS = Path(__file__).parents[2] / "scripts" / "install" / "linux"
RELAY, AGENT, DESKTOP = "alongside-relay", "alongside-agent", "alongside-agent-desktop"
UPDATE = "alongside-agent-update"
EXEC = "alongside-agent-exec@"

# the most that each may score; 10 is a service without any protection
LIMITS = {RELAY: 2.0, AGENT: 4.0, UPDATE: 3.0, EXEC: 2.0}
# where a unit of a command may say something else than the agent's, since it gives it no more
ITS_OWN = {
    *("StandardInput", "StandardOutput", "StandardError", "ExecStart", "ReadWritePaths", "RuntimeMaxSec"),
    *("TimeoutStopSec", "OOMPolicy", "MemorySwapMax", "LimitNOFILE", "LimitFSIZE", "Nice"),
    "TemporaryFileSystem",
}
AGENT_S_OWN = {
    *("StateDirectory", "StateDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryMode", "ExecStart"),
    *("Restart", "RestartSec", "LimitNOFILE", "PrivateTmp"),
}


def directives(unit: str, wanted: str = "Service") -> dict[str, list[str]]:
    """What a section says: each key with its values in order."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (UNITS / f"{unit}.service").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section == wanted and "=" in line and not line.startswith("#"):
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


@pytest.mark.parametrize("unit", [RELAY, AGENT, DESKTOP, UPDATE, EXEC])
def test_sec_06_no_process_of_ours_leaves_a_core_dump_or_an_open_file(unit: str) -> None:
    said = directives(unit)
    assert said["LimitCORE"] == ["0"]
    assert said["UMask"] == ["0077"]
    assert said["NoNewPrivileges"] == ["yes"]


@pytest.mark.parametrize("unit", [RELAY, AGENT, DESKTOP, UPDATE, EXEC])
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


def test_cmd_18_a_command_s_unit_holds_it_together_and_ends_it_whole() -> None:
    said, around = directives(EXEC), directives(EXEC, "Unit")
    assert said["KillMode"] == ["control-group"]
    assert around["BindsTo"] == around["After"] == ["alongside-agent.service"], "it ends with the agent"
    assert said["StandardInput"] == said["StandardOutput"] == ["socket"]
    assert int(said["RuntimeMaxSec"][0].removesuffix("s")) > COMMAND_TIMEOUT_LIMIT_S
    assert said["MemoryMax"] == ["1G"]
    limits = CommandLimits()
    assert said["LimitFSIZE"] == [f"{limits.file_bytes >> 20}M"]
    assert limits.processes < int(said["TasksMax"][0]) <= 256
    socket = (UNITS / "alongside-agent-exec.socket").read_text()
    assert "PartOf=alongside-agent.service" in socket
    assert int(socket.partition("MaxConnections=")[2].split()[0]) > COMMANDS_AT_ONCE_LIMIT


def test_cmd_18_a_command_s_unit_may_touch_no_more_than_the_agent_s() -> None:
    agent = {key: value for key, value in directives(AGENT).items() if key not in AGENT_S_OWN}
    command = {key: value for key, value in directives(EXEC).items() if key not in ITS_OWN}
    assert command == agent
    assert directives(EXEC)["ReadWritePaths"] == [f"/var/lib/{directives(AGENT)['StateDirectory'][0]}"]
    temporary = directives(EXEC)["TemporaryFileSystem"][0].split()
    assert [place.partition(":")[0] for place in temporary] == ["/tmp", "/var/tmp"]
    assert all("size=" in place for place in temporary)


def test_cmd_18_the_agent_starts_its_commands_by_that_socket_alone() -> None:
    [started] = directives(AGENT)["ExecStart"]
    socket = (UNITS / "alongside-agent-exec.socket").read_text()
    path = socket.partition("ListenStream=")[2].split()[0]
    assert f"--exec-socket {path}" in started
    assert "alongside-agent-exec.socket" in directives(AGENT, "Unit")["Wants"][0].split()


@pytest.mark.real
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="install systemd, for systemd-analyze")
def test_cmd_18_systemd_understands_the_units_of_commands(tmp_path: Path) -> None:
    for name in (f"{EXEC}.service", "alongside-agent-exec.socket", f"{AGENT}.service"):
        text = re.sub(r"(?m)^ExecStart=.*", "ExecStart=/bin/true", (UNITS / name).read_text())
        (tmp_path / name).write_text(text)
    assert complaints(tmp_path) == ""
    unit = tmp_path / f"{EXEC}.service"
    unit.write_text(unit.read_text().replace("TasksMax=", "TaskMax="))
    assert "TaskMax" in complaints(tmp_path), "control: it tells of a key that it does not know"


def complaints(folder: Path) -> str:
    """What `systemd-analyze verify` says of the units in this folder."""
    names = [str(path) for path in sorted(folder.iterdir())]
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr
