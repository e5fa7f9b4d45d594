"""`alongside-agent doctor` and the other commands on a computer where something is missing."""

import json
import socket
from pathlib import Path

import pytest

from agent.cli import main
from agent.doctor import check_commands, examine
from agent.doctor_check import Check, CheckState
from agent.state import DataDir
from protocol.errors import ErrorCode
from protocol.identity import save_identity
from tests.support.organisation import acme
from tests.support.policies import signed_policy


async def checked(folder: Path) -> dict[str, Check]:
    """Every check by its name."""
    return {check.name: check for check in await examine(DataDir(folder))}


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


async def test_a_computer_that_has_not_joined_is_told_what_to_do(tmp_path: Path) -> None:
    checks = await checked(tmp_path / "agent")
    assert checks["identity"].state is CheckState.FAIL
    assert "E_IDENTITY_MISSING" in checks["identity"].sentence
    assert checks["service"].state is CheckState.WARN
    assert not (tmp_path / "agent").exists(), "looking must not make anything"


async def test_an_identity_open_to_others_and_a_missing_policy_are_named(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    save_identity(acme().device(), data.identity)
    assert (await checked(tmp_path))["policy"].state is CheckState.WARN
    data.identity.chmod(0o644)
    assert "E_IDENTITY_OWNER" in (await checked(tmp_path))["identity"].sentence


async def test_programs_of_the_catalogue_that_are_missing_are_named(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    save_identity(acme().device(), data.identity)
    data.policy.write_bytes(signed_policy(acme()))
    checks = await checked(tmp_path)
    assert checks["policy"].state is CheckState.OK
    assert checks["commands"].state in (CheckState.OK, CheckState.WARN)


def test_what_holds_a_command_is_named_and_a_missing_unit_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "exec.sock"
    assert "below the agent" in check_commands("").sentence
    missing = check_commands(str(path))
    assert missing.state is CheckState.FAIL
    assert "alongside-agent-exec.socket" in missing.remedy
    path.touch()
    assert check_commands(str(path)).state is CheckState.FAIL, "a file is no socket"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert "a unit of its own" in check_commands(str(path)).sentence


async def test_without_a_display_the_screen_says_why(tmp_path: Path) -> None:
    checks = await checked(tmp_path)
    assert "DISPLAY" in checks["screen"].sentence


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (["status"], ErrorCode.E_NOT_RUNNING, 4),
        (["run"], ErrorCode.E_IDENTITY_MISSING, 6),
        (["run", "--source", "camera"], ErrorCode.E_CONFIG, 2),
        (["leave"], ErrorCode.E_IDENTITY_MISSING, 6),
        (["join", "nonsense"], ErrorCode.E_TOKEN_FORMAT, 2),
        (["join"], ErrorCode.E_USAGE, 2),
        (["join", "--token-file", "/nonexistent"], ErrorCode.E_USAGE, 2),
    ],
)
def test_a_command_that_cannot_work_says_so_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: ErrorCode, status: int
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--data", str(tmp_path / "agent"), "--json"])
    said = capsys.readouterr()
    assert ended.value.code == status
    assert json.loads(said.out)["error"]["code"] == code
    assert said.err.startswith("Error: ")
    assert "What to do: " in said.err
    assert "Traceback" not in said.err


def test_a_data_folder_that_is_a_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["history", "--data", str(tmp_path / "file" / "agent")])
    assert ended.value.code == 6
    assert "E_DATA_DISK" in capsys.readouterr().err
