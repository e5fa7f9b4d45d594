"""The agent's files and settings: who may use them, and what a mistake in them is told as."""

from pathlib import Path

import pytest

from agent.config import AgentConfig, load_config
from agent.state import DataDir, RelayAddress, ServiceLock
from protocol.errors import EnvironmentFault, ErrorCode, UsageError


def config(folder: Path, settings: str = "", **given: str | bool | None) -> AgentConfig:
    """The settings of a folder with this settings file."""
    data = DataDir(folder)
    if settings:
        data.settings.write_text(settings)
    return load_config(folder, data.settings, given)


def test_the_command_line_wins_over_the_settings_file(tmp_path: Path) -> None:
    made = config(tmp_path, 'source = "mss"\ndisplay = ":7"\n', display=":8", source=None)
    assert (made.source, made.display) == ("mss", ":8")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("hide = true", "hide"),
        ("source = 3", "source"),
        ('source = "camera"', "camera"),
        ("source =", "agent.toml"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, settings: str, named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        config(tmp_path, settings)
    assert caught.value.code is ErrorCode.E_CONFIG


def test_a_second_service_on_one_folder_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "agent")
    data.prepare()
    with ServiceLock(data.lock):
        with pytest.raises(EnvironmentFault) as caught, ServiceLock(data.lock):
            pass
        assert caught.value.code is ErrorCode.E_ALREADY_RUNNING
    with ServiceLock(data.lock):
        pass


def test_folders_are_closed_to_others_also_when_they_were_open(tmp_path: Path) -> None:
    root = tmp_path / "agent"
    root.mkdir(mode=0o755)
    DataDir(root).prepare()
    assert root.stat().st_mode & 0o777 == 0o700
    assert (root / "run").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault) as caught:
        DataDir(tmp_path / "file" / "agent").prepare()
    assert caught.value.code is ErrorCode.E_DATA_DISK


def test_the_relay_address_comes_back_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    with pytest.raises(EnvironmentFault):
        data.read_relay()
    data.write_relay(RelayAddress(url="https://relay.example", relay_id="r1"))
    assert data.read_relay() == RelayAddress(url="https://relay.example", relay_id="r1")
    data.relay.write_text('{"url": "https://relay.example", "relay_id": "r1", "verify": false}')
    with pytest.raises(UsageError, match=r"relay\.json"):
        data.read_relay()


def test_forgetting_keeps_the_audit_log(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    for path in (data.identity, data.relay, data.policy, data.audit):
        path.write_text("x")
    data.forget()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["audit.jsonl"]
