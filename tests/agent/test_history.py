"""The device's history: plain words for each record, and a damaged log is said to be one."""

from pathlib import Path

from agent.history import read_history
from protocol.aio.audit_log import AuditLog
from protocol.audit import AuditEvent, AuditKind


def write(path: Path, kind: AuditKind, **facts: str | int) -> None:
    """One record of a session."""
    AuditLog(path).append(AuditEvent(kind, "ada", "d-1", "s-1", succeeded=True, facts=facts))


def test_each_record_is_a_sentence_without_codes_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, AuditKind.CONSENT_ASKED, asked="screen.view input.control")
    write(path, AuditKind.COMMAND_STARTED, command_id="disk-usage")
    write(path, AuditKind.SESSION_ENDED, cause="E_SESSION_STOPPED")
    lines, report = read_history(path, 10)
    assert report.is_intact
    assert [line.sentence for line in lines] == [
        "ada asked for: See your screen, Control your mouse and keyboard",
        "ada ran disk-usage",
        "The session ended: The person at the device stopped the session. (E_SESSION_STOPPED)",
    ]


def test_every_kind_an_agent_writes_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for kind in AuditKind:
        write(path, kind)
    lines, _ = read_history(path, 1000)
    assert len(lines) == len(AuditKind)


def test_only_the_newest_are_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(5):
        write(path, AuditKind.COMMAND_STARTED, command_id=f"c{number}")
    lines, report = read_history(path, 2)
    assert [line.sentence for line in lines] == ["ada ran c3", "ada ran c4"]
    assert report.records == 5


def test_a_changed_record_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for name in ("first", "second", "third"):
        write(path, AuditKind.COMMAND_STARTED, command_id=name)
    path.write_bytes(path.read_bytes().replace(b"second", b"sacond"))
    lines, report = read_history(path, 10)
    assert not report.is_intact
    assert report.bad_line == 2
    assert [line.sentence for line in lines] == ["ada ran first", "ada ran third"]


def test_a_device_without_a_log_has_no_history(tmp_path: Path) -> None:
    lines, report = read_history(tmp_path / "audit.jsonl", 10)
    assert (lines, report.is_intact) == ([], True)
