"""The person's own list: kept in a file, changed by three commands, and apart from the organisation's."""

from pathlib import Path

import pytest

from agent.history import read_history
from agent.private_windows import PrivateLists, add_entry, read_persons_list, stored_lists
from agent.state import DataDir
from protocol.aio.audit_log import AuditLog
from protocol.audit import AuditEvent, AuditKind
from protocol.errors import ErrorCode, UsageError
from protocol.identity import save_identity
from protocol.limits import PRIVATE_WINDOWS_LIMIT
from protocol.private_windows import PrivateWindow
from tests.support.organisation import acme
from tests.support.policies import signed_policy
from tests.support.said import Said, said_here

BANK, VAULT = PrivateWindow(title="*bank*"), PrivateWindow(window_class="keepassxc")


def private_windows(folder: Path, *words: str) -> Said:
    return said_here("alongside-agent", "private-windows", *words, "--data", str(folder))


def test_what_was_added_is_listed_once_and_what_was_removed_is_not(tmp_path: Path) -> None:
    for _ in range(2):
        assert private_windows(tmp_path, "add", "--title", "*bank*").status == 0
    private_windows(tmp_path, "add", "--class", "keepassxc")
    assert private_windows(tmp_path, "list").documents() == [
        {"organisation": [], "person": [{"title": "*bank*"}, {"window_class": "keepassxc"}]}
    ]
    assert private_windows(tmp_path, "remove", "--title", "*bank*").documents() == [
        {"removed": True, "entries": 1}
    ]
    assert read_persons_list(tmp_path / "private-windows.json") == (VAULT,)
    assert (tmp_path / "private-windows.json").stat().st_mode & 0o777 == 0o600


def test_the_organisation_s_list_is_shown_and_cannot_be_removed_from(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    save_identity(acme().device(), data.identity)
    data.policy.write_bytes(signed_policy(acme(), private_windows=[{"title": "*bank*"}]))
    assert stored_lists(data) == PrivateLists(organisation=(BANK,))
    private_windows(tmp_path, "remove", "--title", "*bank*").assert_fault(ErrorCode.E_USAGE)
    private_windows(tmp_path, "add", "--class", "keepassxc")
    assert stored_lists(data) == PrivateLists((BANK,), (VAULT,))
    assert stored_lists(data).entries == (BANK, VAULT)


@pytest.mark.parametrize("words", [["add"], ["add", "--title", "x" * 129], ["remove", "--class", "gone"]])
def test_what_cannot_be_an_entry_is_refused_in_plain_words(tmp_path: Path, words: list[str]) -> None:
    private_windows(tmp_path, *words).assert_fault(ErrorCode.E_USAGE)
    assert not (tmp_path / "private-windows.json").exists()


def test_a_full_list_takes_no_more_and_stays_as_it_is(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    for number in range(PRIVATE_WINDOWS_LIMIT):
        add_entry(data, PrivateWindow(title=f"number {number}"))
    with pytest.raises(UsageError):
        add_entry(data, BANK)
    assert len(read_persons_list(data.private_windows)) == PRIVATE_WINDOWS_LIMIT


@pytest.mark.parametrize("content", ["", "{}", '[{"titel": "x"}]', "[[]]", '[{"title": ""}]'])
def test_a_malformed_list_is_an_error_and_never_an_empty_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "private-windows.json").write_text(content)
    private_windows(tmp_path, "list").assert_fault(ErrorCode.E_CONFIG)
    private_windows(tmp_path, "add", "--title", "x").assert_fault(ErrorCode.E_CONFIG)
    assert (tmp_path / "private-windows.json").read_text() == content


def test_who_leaves_the_organisation_keeps_the_own_list(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    add_entry(data, BANK)
    data.forget()
    assert read_persons_list(data.private_windows) == (BANK,)


def test_the_history_says_whether_windows_were_painted_over(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    for facts in ({}, PrivateLists((BANK,), (VAULT,)).facts):
        log.append(AuditEvent(AuditKind.SCREEN_STARTED, "Ada", "d", "s", True, facts))
    lines, _ = read_history(tmp_path / "audit.jsonl", 10)
    assert [line.sentence for line in lines] == [
        "Ada began to see the screen",
        "Ada began to see the screen, with private windows painted over",
    ]
