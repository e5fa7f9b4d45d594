"""The audit chain and its log: every change is found, every append is whole."""

import fcntl
import json
import multiprocessing
import os
import resource
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.aio.audit_log import AuditLog
from protocol.audit import NO_PREVIOUS, AuditEvent, AuditKind, next_record, read_record, verify_records
from protocol.audit_facts import FACTS
from protocol.errors import DocumentRefused, EnvironmentFault, ErrorCode, WrongState

START = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def event(kind=AuditKind.COMMAND_ENDED, **facts):
    return AuditEvent(kind, "ada", "d-1", "s-1", True, facts or {"command_id": "disk-usage"})


def chain(length):
    records = []
    for number in range(length):
        at_utc = START + timedelta(seconds=number)
        records.append(next_record(records[-1] if records else None, event(exit_status=number), at_utc))
    return [record.line + b"\n" for record in records]


def code_of(action):
    with pytest.raises((EnvironmentFault, DocumentRefused)) as refusal:
        action()
    return refusal.value.code


def checked(path):
    with path.open("rb") as file:
        return verify_records(file)


# the chain


def test_an_untouched_chain_holds_and_has_a_head():
    lines = chain(5)
    report = verify_records(lines)
    assert report.is_intact
    assert (report.records, report.head) == (5, json.loads(lines[-1])["sha256"])
    assert (report.first_at_utc, report.last_at_utc) == (START, START + timedelta(seconds=4))


def test_an_empty_log_holds():
    assert verify_records([]).is_intact
    assert verify_records([]).head == NO_PREVIOUS


def test_a_record_says_who_did_what_where():
    record = read_record(chain(1)[0].rstrip())
    assert (record.seq, record.kind, record.actor) == (1, "command.ended", "ada")
    assert (record.device_id, record.session_id, record.succeeded) == ("d-1", "s-1", True)
    assert record.facts == {"exit_status": 0}


@settings(max_examples=300)
@given(st.integers(0, 4), st.integers(0, 10**4), st.integers(1, 255))
def test_one_changed_byte_is_found_at_its_record(number, position, difference):
    lines = chain(5)
    changed = bytearray(lines[number])
    changed[position % len(changed)] ^= difference
    lines[number] = bytes(changed)
    report = verify_records(b"".join(lines).splitlines(keepends=True))
    assert not report.is_intact
    assert report.bad_line == number + 1
    assert report.bad_seq == number + 1
    assert report.records == number


@pytest.mark.parametrize("taken", range(4))
def test_a_record_taken_out_is_found(taken):
    lines = chain(5)
    del lines[taken]
    assert verify_records(lines).bad_line == taken + 1


@settings(max_examples=50)
@given(st.permutations(range(5)))
def test_another_order_is_found(order):
    lines = chain(5)
    report = verify_records([lines[number] for number in order])
    first_wrong = next((number for number in range(5) if order[number] != number), None)
    assert report.bad_line == (None if first_wrong is None else first_wrong + 1)


def test_a_record_put_in_is_found_although_its_own_hash_is_right():
    lines = chain(5)
    second = read_record(lines[1].rstrip())
    lines.insert(2, next_record(second, event(took_ms=1), START).line + b"\n")
    assert verify_records(lines).bad_line == 4


def test_an_edited_record_with_its_hash_made_right_again_is_found_at_the_next_one():
    lines = chain(5)
    second = read_record(lines[1].rstrip())
    lines[2] = next_record(second, event(exit_status=99), START).line + b"\n"
    report = verify_records(lines)
    assert report.bad_line == 4
    assert "follow" in report.detail


def test_a_cut_at_the_end_shows_in_the_head_alone():
    report = verify_records(chain(5)[:4])
    assert report.is_intact
    assert report.head != verify_records(chain(5)).head


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"[]\n", b"\xff\n", b"null\n", b"{" * 9000 + b"\n"])
def test_what_is_not_a_record_is_found(line):
    assert verify_records([*chain(2), line]).bad_line == 3


def test_another_spelling_of_the_same_record_is_found():
    line = chain(1)[0]
    assert not verify_records([json.dumps(json.loads(line)).encode() + b"\n"]).is_intact


def test_a_half_last_line_is_told_from_an_edit():
    *lines, last = chain(3)
    assert verify_records([*lines, last[:20]]).is_torn
    assert not verify_records([*lines, last[:20] + b"\n"]).is_torn
    assert not verify_records([lines[0][:20], *lines]).is_torn


def test_a_clock_that_goes_back_does_not_break_the_chain():
    first = next_record(None, event(), START)
    second = next_record(first, event(), START - timedelta(days=365))
    assert verify_records([first.line + b"\n", second.line + b"\n"]).is_intact


def test_texts_in_facts_can_neither_end_a_line_nor_move_a_terminals_cursor():
    record = next_record(None, event(code="a\n{}\x1b[2J\u202e"), START)
    assert b"\n" not in record.line
    assert b"\x1b" not in record.line
    assert verify_records([record.line + b"\n"]).is_intact


def test_a_kind_that_only_a_newer_program_knows_is_verified_too():
    unsealed = msgspec.structs.replace(next_record(None, event(), START), kind="chat.started")
    newer = msgspec.structs.replace(unsealed, sha256=unsealed.digest())
    assert read_record(newer.line).kind == "chat.started"


@settings(max_examples=50)
@given(st.text(max_size=2000), st.text(max_size=400), st.integers())
def test_whatever_the_facts_are_the_record_can_be_read_again(text, other, number):
    facts = {"command_id": text, "code": other, "exit_status": number}
    record = next_record(None, AuditEvent(AuditKind.COMMAND_ENDED, text, other, "", True, facts), START)
    assert read_record(record.line) == record


# typed facts


@pytest.mark.parametrize("kind", list(AuditKind))
def test_the_facts_of_every_kind_are_typed_and_no_others_are(kind):
    assert set(FACTS) == {str(each) for each in AuditKind}
    with pytest.raises(WrongState):
        AuditEvent(kind, "ada", "", "", True, {"keystrokes": "hunter2"})


@pytest.mark.parametrize(
    "facts", [{"version": "7"}, {"sha256": 7}, {"sha256": "abc"}, {"sha256": "A" * 64}, {"version": None}]
)
def test_a_fact_of_another_type_is_refused_before_anything_is_written(facts):
    with pytest.raises(WrongState):
        AuditEvent(AuditKind.POLICY_ACCEPTED, "relay", "", "", True, facts)
    assert AuditEvent(AuditKind.POLICY_ACCEPTED, "relay", "", "", True, {"version": 7, "sha256": "a" * 64})


# the log on disk


def test_appends_make_a_chain_on_disk(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl", clock=lambda: START)
    records = [log.append(event(exit_status=number)) for number in range(4)]
    assert [record.seq for record in records] == [1, 2, 3, 4]
    report = checked(log.path)
    assert report.is_intact
    assert report.head == records[-1].sha256
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_second_log_goes_on_where_the_first_one_was(tmp_path):
    path = tmp_path / "audit.jsonl"
    AuditLog(path).append(event())
    AuditLog(path).append(event())
    assert AuditLog(path).append(event()).seq == 3
    assert checked(path).is_intact


def test_half_a_line_is_kept_aside_recorded_and_gone_on_from(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    log.append(event())
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + b'{"actor":"ada","at_')
    assert log.append(event()).seq == 3
    report = checked(log.path)
    assert report.is_intact
    lines = log.path.read_bytes().splitlines()
    assert read_record(lines[1]).kind == AuditKind.AUDIT_RECOVERED
    [kept] = tmp_path.glob("audit.jsonl.torn-*")
    assert kept.read_bytes() == b'{"actor":"ada","at_'
    assert kept.name == read_record(lines[1]).facts["kept_as"]


def test_half_of_the_very_first_line_is_recovered_from(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    log.path.write_bytes(b'{"act')
    assert log.append(event()).seq == 2
    assert checked(log.path).is_intact


@settings(max_examples=60)
@given(st.integers(0, 10**4))
def test_a_power_cut_at_any_byte_keeps_what_was_on_disk(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    lines = chain(3)
    stream = b"".join(lines)
    kept = stream[: cut % (len(stream) + 1)]
    path.write_bytes(kept)
    AuditLog(path).append(event())
    assert checked(path).is_intact
    whole = kept[: kept.rfind(b"\n") + 1]
    assert path.read_bytes().startswith(whole)


def test_a_record_that_only_lacks_its_newline_is_kept(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    log.path.write_bytes(b"".join(chain(2)).rstrip(b"\n"))
    assert log.append(event()).seq == 3
    assert checked(log.path).is_intact
    assert list(tmp_path.iterdir()) == [log.path]


def test_nothing_is_added_after_a_newest_record_that_was_changed(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    log.append(event())
    damaged = log.path.read_bytes().replace(b'"ada"', b'"eve"')
    log.path.write_bytes(damaged)
    assert code_of(lambda: log.append(event())) is ErrorCode.E_AUDIT_CHAIN
    assert log.path.read_bytes() == damaged


def test_a_long_record_before_is_read_whole(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    for _ in range(3):
        texts = dict.fromkeys(("request_id", "command_id", "entry_sha256", "parameters"), "𝄞" * 300)
        log.append(event(AuditKind.COMMAND_REQUESTED, **texts))
    assert log.path.stat().st_size > 3 * 4096
    assert checked(log.path).is_intact


def test_a_full_disk_refuses():
    log = AuditLog(Path("/dev/full"))
    assert code_of(lambda: log.append(event())) is ErrorCode.E_AUDIT_WRITE


def test_a_folder_that_went_away_refuses(tmp_path):
    log = AuditLog(tmp_path / "state" / "audit.jsonl")
    log.path.parent.mkdir()
    log.append(event())
    shutil.rmtree(log.path.parent)
    assert code_of(lambda: log.append(event())) is ErrorCode.E_AUDIT_WRITE


def test_a_link_in_the_logs_place_refuses(tmp_path):
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    log = AuditLog(tmp_path / "audit.jsonl")
    assert code_of(lambda: log.append(event())) is ErrorCode.E_AUDIT_WRITE
    assert not (tmp_path / "elsewhere").exists()


def _append_until_refused(path, answers):
    log = AuditLog(path)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    for _ in range(50):
        try:
            log.append(event())
        except EnvironmentFault as exc:
            answers.put(exc.code)
            return


def _append_many(path, count, names):
    log = AuditLog(path)
    for _ in range(count):
        log.append(event(code=names))


@pytest.mark.real
def test_a_disk_that_fills_up_refuses_and_leaves_no_half_record(tmp_path):
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=_append_until_refused, args=(path, answers))
    child.start()
    assert answers.get(timeout=30) is ErrorCode.E_AUDIT_WRITE
    child.join()
    answers.close()
    answers.join_thread()
    report = checked(path)
    assert report.is_intact
    assert report.records > 2
    assert AuditLog(path).append(event()).seq == report.records + 1


@pytest.mark.real
def test_several_programs_append_without_a_fork_in_the_chain(tmp_path):
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(path, 40, f"w{n}")) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    report = checked(path)
    assert report.is_intact
    assert report.records == 120


@pytest.mark.real
def test_a_lock_that_is_never_given_back_refuses_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr("protocol.aio.audit_log.LOCK_TIMEOUT_S", 0.05)
    path = tmp_path / "audit.jsonl"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert code_of(lambda: AuditLog(path).append(event())) is ErrorCode.E_AUDIT_WRITE
    finally:
        os.close(descriptor)
    assert AuditLog(path).append(event()).seq == 1
