"""What `alongside-agent doctor` says about program files, records, pins and other programs."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.doctor_check import Check, CheckState
from agent.doctor_hygiene import check_other_tools, check_program_files, check_records, hygiene
from agent.render import doctor_text
from agent.state import DataDir, RelayAddress
from protocol.aio.audit_log import AuditLog
from protocol.audit import AuditEvent, AuditKind
from protocol.identity import save_identity
from tests.support.organisation import acme

SECRET_PROXY = "http://ada:canary-of-a-password@proxy.example:3128"


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """A device that has joined and whose agent started once."""
    tmp_path.chmod(0o700)
    found = DataDir(tmp_path)
    save_identity(acme().device(), found.identity)
    found.write_relay(RelayAddress("https://relay.example", "a1" * 32))
    log = AuditLog(found.audit)
    for kind in (AuditKind.AGENT_STARTED, AuditKind.AGENT_STOPPED, AuditKind.AGENT_STARTED):
        log.append(AuditEvent(kind, "agent", "d", "", succeeded=True))
    return found


@pytest.mark.parametrize(("mode", "state"), [(0o644, "ok"), (0o664, "warn"), (0o666, "fail")])
def test_program_files_that_others_can_change_are_named(tmp_path: Path, mode: int, state: str) -> None:
    tmp_path.chmod(0o755)
    program = tmp_path / "app.py"
    program.write_text("")
    program.chmod(mode)
    check = check_program_files([tmp_path])
    assert check.state == state
    assert (str(program) in check.sentence) is (state != "ok")


def test_a_whole_history_is_said_with_its_head_and_a_cut_one_is_a_failure(data: DataDir) -> None:
    newest = json.loads(data.audit.read_text().splitlines()[-1])["sha256"]
    whole = by_name(list(check_records(data)))["history"]
    assert whole.state is CheckState.OK
    assert newest[:12] in whole.sentence
    lines = data.audit.read_text().splitlines(keepends=True)
    data.audit.write_text(lines[0] + lines[2])
    cut = by_name(list(check_records(data)))["history"]
    assert cut.state is CheckState.FAIL
    assert cut.remedy


def test_a_clock_behind_the_history_is_named(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    class Early(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2026, 1, 1, tzinfo=UTC)

    assert "clock and history" not in by_name(list(check_records(data)))
    monkeypatch.setattr("agent.doctor_hygiene.datetime", Early)
    assert by_name(list(check_records(data)))["clock and history"].state is CheckState.FAIL


def test_other_remote_tools_are_warned_of_by_name() -> None:
    assert check_other_tools(["python3", "Xorg"]).state is CheckState.OK
    found = check_other_tools(["TeamViewer.exe", "x11vnc", "bash"])
    assert found.state is CheckState.WARN
    assert "TeamViewer, x11vnc" in found.sentence


def test_sec_03_the_report_holds_fingerprints_and_no_secret(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", SECRET_PROXY)
    device = acme().device()
    checks = list(hygiene(data, device))
    said = doctor_text(checks) + json.dumps([check.as_json() for check in checks])
    assert "canary-of-a-password" not in said
    assert "proxy.example" in by_name(checks)["proxy"].sentence
    assert "a1a1" in by_name(checks)["pins"].sentence
    assert device.organisation_id[:4] in by_name(checks)["pins"].sentence
    assert "PRIVATE" not in said


def test_looking_changes_nothing(data: DataDir) -> None:
    before = {path: path.read_bytes() for path in data.root.rglob("*") if path.is_file()}
    list(hygiene(data, acme().device()))
    assert {path: path.read_bytes() for path in data.root.rglob("*") if path.is_file()} == before
