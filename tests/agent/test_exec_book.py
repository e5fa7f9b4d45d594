"""The book of requests: each id is taken once and begun once, whoever asks, and nothing ever goes back."""

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.exec import book as book_module
from agent.exec.book import CommandBook, RequestState
from protocol.errors import EnvironmentFault, ErrorCode, Refused, SupportError
from protocol.ids import RequestId, new_request_id
from protocol.policy import parse_policy
from tests.support.approved_commands import fresh_book
from tests.support.organisation import acme, intruders

S = RequestState


def book_at(tmp_path: Path) -> CommandBook:
    return CommandBook(tmp_path / "commands.db")


def state_of(book: CommandBook, request_id: RequestId) -> RequestState | None:
    found = book.find(request_id)
    return found.state if found else None


def test_an_id_is_taken_once_also_by_another_process_with_the_same_file(tmp_path: Path) -> None:
    request_id = new_request_id()
    book_at(tmp_path).take(request_id, "ping", "ada")
    with pytest.raises(Refused) as caught:
        book_at(tmp_path).take(request_id, "ping", "ada")
    assert caught.value.code is ErrorCode.E_STATE
    assert (tmp_path / "commands.db").stat().st_mode & 0o777 == 0o600


def test_of_many_workers_with_one_request_one_begins(tmp_path: Path) -> None:
    request_id = new_request_id()
    book_at(tmp_path).take(request_id, "ping", "ada")
    begun: list[bool] = []

    def try_to_begin() -> None:
        try:
            book_at(tmp_path).begin(request_id)
            begun.append(True)
        except Refused:
            begun.append(False)

    threads = [threading.Thread(target=try_to_begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(begun) == [False] * 7 + [True]


def test_a_start_settles_what_was_open_and_a_late_worker_begins_nothing(tmp_path: Path) -> None:
    taken, started, ended = new_request_id(), new_request_id(), new_request_id()
    book = book_at(tmp_path)
    for request_id in (taken, started, ended):
        book.take(request_id, "ping", "ada")
    book.begin(started)
    book.begin(ended)
    book.finish(ended, 3, "")
    settled = {each.request_id: each.state for each in book_at(tmp_path).settle()}
    assert settled == {taken: S.NOT_RUN, started: S.UNKNOWN}
    assert book.settle() == []
    for request_id in (taken, started, ended):
        with pytest.raises(Refused):
            book.begin(request_id)
    found = book.find(ended)
    assert found is not None
    assert (found.state, found.exit_status, found.technician_id) == (S.ENDED, 3, "ada")


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "REMEMBERED_LIMIT", 3)
    book, ids = fresh_book(), [new_request_id() for _ in range(5)]
    for request_id in ids:
        book.take(request_id, "ping", "ada")
    assert [state_of(book, request_id) for request_id in ids] == [None, None, S.TAKEN, S.TAKEN, S.TAKEN]


def test_approvals_are_over_long_before_a_request_can_be_forgotten() -> None:
    from agent.capabilities.commands.capability import REQUESTS_PER_MINUTE_LIMIT
    from protocol.limits import APPROVAL_LIFETIME_S, CLOCK_SKEW_S, SESSION_LIMIT_PER_DEVICE

    minutes = (APPROVAL_LIFETIME_S + CLOCK_SKEW_S) / 60
    assert minutes * REQUESTS_PER_MINUTE_LIMIT * SESSION_LIMIT_PER_DEVICE < book_module.REMEMBERED_LIMIT


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 100])
def test_a_book_that_cannot_be_used_permits_nothing(tmp_path: Path, content: bytes | None) -> None:
    book = book_at(tmp_path)
    if content is not None:
        book.path.write_bytes(content)
    with pytest.raises(EnvironmentFault):
        book.begin(new_request_id())
    if content is None:
        assert book.settle() == []
        assert not book.path.exists()


def policy_of(version: int, organisation=acme, **changes):  # JSON members
    import json

    document = organisation().policy_document(version=version, **changes)
    return parse_policy(json.dumps(document).encode())


def test_a_book_of_before_successor_roots_keeps_its_floor(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "commands.db")) as old, old:
        old.execute(
            "CREATE TABLE policy_floor (organisation_id TEXT PRIMARY KEY,"
            " version INTEGER NOT NULL, sha256 TEXT NOT NULL)"
        )
        old.execute("INSERT INTO policy_floor VALUES (?, 5, 'x')", (acme().organisation_id,))
    assert book_at(tmp_path).settle() == []  # as the service does when it starts
    with pytest.raises(SupportError) as caught:
        book_at(tmp_path).raise_floor(policy_of(4))
    assert caught.value.code is ErrorCode.E_POLICY_VERSION
    book_at(tmp_path).raise_floor(policy_of(6))


def test_the_policy_floor_only_rises_and_is_each_organisation_s_own(tmp_path: Path) -> None:
    book = fresh_book()
    book.take(new_request_id(), "ping", "ada")
    four = policy_of(4)
    book.raise_floor(four)
    book.raise_floor(four)
    refused = []
    for policy in (policy_of(3), policy_of(4, groups={"lab": "unattended"})):
        with pytest.raises(SupportError) as caught:
            book.raise_floor(policy)
        refused.append(caught.value.code)
    assert refused == [ErrorCode.E_POLICY_VERSION, ErrorCode.E_POLICY_EQUIVOCATION]
    book.raise_floor(policy_of(1, intruders))
    book.raise_floor(policy_of(5))
    assert datetime.now(UTC) < four.expires_at_utc


STEPS = st.lists(st.sampled_from(["take", "begin", "finish", "refuse", "lose", "settle"]), max_size=12)


@settings(max_examples=60)
@given(STEPS)
def test_whatever_the_order_of_steps_a_request_is_begun_at_most_once(steps: list[str]) -> None:
    book, request_id, begun = fresh_book(), new_request_id(), 0
    for step in steps:
        try:
            match step:
                case "take":
                    book.take(request_id, "ping", "ada")
                case "begin":
                    book.begin(request_id)
                    begun += 1
                case "finish":
                    book.finish(request_id, 0, "")
                case "refuse":
                    book.refuse(request_id, "E_BUSY")
                case "lose":
                    book.lose(request_id)
                case "settle":
                    book.settle()
        except SupportError:
            continue
    assert begun <= 1
