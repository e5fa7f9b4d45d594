"""*Who was here*: sessions read back out of the audit log, whatever else the log holds."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.desktop.ipc_messages import TO_COMMAND_LINE_CODEC, VISIT_COMMANDS_LIMIT, VISITS_LIMIT, VisitList
from agent.desktop.language import ENGLISH, LANGUAGES, PSEUDO_NAME, language_of
from agent.desktop.visit_text import RECEIPTS, visit_text
from agent.visits import read_visits, visits_of
from protocol.aio.audit_log import AuditLog
from protocol.aio.receipt_book import ReceiptBook
from protocol.audit import AuditEvent, AuditKind, AuditRecord, next_record
from protocol.receipt import Parties, Receipt, make_body, sign, trail_of
from tests.support.organisation import acme
from tests.support.window_answers import STRANGER, VISIT

K = AuditKind
NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
ANNA, BEN = 1001, 1002
Step = tuple[AuditKind, str, Mapping[str, str | int]]


def log_of(*steps: Step) -> list[AuditRecord]:
    """One record a minute, oldest first."""
    records: list[AuditRecord] = []
    for at, (kind, session_id, facts) in enumerate(steps):
        event = AuditEvent(kind, "dana", "desk-1", session_id, True, facts)
        records.append(next_record(records[-1] if records else None, event, NOON + timedelta(minutes=at)))
    return records


ONE: tuple[Step, ...] = (
    (K.SESSION_OFFERED, "s1", {}),
    (K.SESSION_READY, "s1", {"name": "Dana Meyer", "consent": "ask"}),
    (K.GRANT_GIVEN, "s1", {"grantable": "screen.view", "length_s": 60}),
    (K.SCREEN_STARTED, "s1", {}),
    (K.COMMAND_REQUESTED, "s1", {"request_id": "r1", "command_id": "restart-spooler"}),
    (K.COMMAND_ENDED, "s1", {"request_id": "r1", "command_id": "restart-spooler", "exit_status": 0}),
    (K.SESSION_ENDED, "s1", {"cause": "technician_left"}),
)


def test_a_session_is_told_with_who_when_what_and_how_it_ended() -> None:
    [visit] = visits_of(log_of(*ONE)[::-1], 5)
    assert (visit.name, visit.technician_id, visit.started_at_utc) == (
        "Dana Meyer",
        "dana",
        "2026-11-26T12:01:00Z",
    )
    assert (visit.length_s, visit.grantables, visit.acts) == (300.0, ["screen.view"], ["screen"])
    assert (visit.commands, visit.cause) == (["restart-spooler: exit 0"], "technician_left")


@pytest.mark.parametrize(
    ("records", "is_told"),
    [
        ([(K.INPUT_STARTED, "s1", {})], True),  # it is open, or its end was lost with a process
        ([(K.INPUT_STARTED, "s1", {}), (K.INPUT_ENDED, "s1", {"events": 7, "late": 0, "paused": 0})], True),
        ([(K.INPUT_STARTED, "s1", {}), (K.INPUT_ENDED, "s1", {"events": 0, "late": 2, "paused": 3})], False),
    ],
)
def test_control_that_no_event_came_through_was_not_used(records: list[Step], is_told: bool) -> None:
    [visit] = visits_of(log_of(*ONE[:4], *records, *ONE[4:])[::-1], 5)
    assert visit.acts == (["screen", "input"] if is_told else ["screen"])


def test_an_offer_that_came_to_nothing_is_no_visit_and_a_live_one_is() -> None:
    log = log_of((K.SESSION_OFFERED, "s0", {}), (K.SESSION_REFUSED, "s0", {"code": "E_BUSY"}), *ONE[:4])
    [visit] = visits_of(log[::-1], 5)
    assert visit.cause == ""


def test_two_that_overlap_are_told_apart_and_the_newest_stands_first() -> None:
    other = [(kind, "s2", facts) for kind, _, facts in ONE]
    mixed = [step for pair in zip(ONE, other, strict=True) for step in pair]
    visits = visits_of(log_of(*mixed)[::-1], 5)
    assert [visit.session_id for visit in visits] == ["s2", "s1"]
    assert all(visit.commands_count == 1 for visit in visits)


def test_a_stranger_has_no_name_whatever_was_said() -> None:
    stranger = (K.SESSION_READY, "s1", {"name": "(no name)", "consent": "ask"})
    [visit] = visits_of(log_of(ONE[0], stranger, *ONE[2:])[::-1], 5)
    assert visit.name == ""
    assert "NOT VERIFIED" in visit_text(visit, ENGLISH).headline


def session(name: str, uid: int | None = None) -> list[Step]:
    """A whole session; `uid` None: an older version wrote it down, or it was at no desktop."""
    seated: list[Step] = [] if uid is None else [(K.SESSION_SEATED, name, {"uid": uid})]
    steps: list[Step] = [(kind, name, facts) for kind, _, facts in ONE]
    return [*steps[:2], *seated, *steps[2:]]


def test_con_15_a_user_is_shown_the_sessions_at_their_own_desktop_and_at_none() -> None:
    log = log_of(*session("s1", ANNA), *session("s2", BEN), *session("s3"), *session("s4", ANNA))[::-1]
    told = {uid: [visit.session_id for visit in visits_of(log, 5, uid)] for uid in (ANNA, BEN, None)}
    assert told == {ANNA: ["s4", "s3", "s1"], BEN: ["s3", "s2"], None: ["s4", "s3", "s2", "s1"]}


def test_con_15_the_visits_of_others_push_none_of_a_user_s_own_out() -> None:
    others = [step for number in range(VISITS_LIMIT + 3) for step in session(f"b{number}", BEN)]
    visits = visits_of(log_of(*session("s1", ANNA), *others)[::-1], VISITS_LIMIT, ANNA)
    assert [visit.session_id for visit in visits] == ["s1"]


def test_it_is_read_from_the_log_on_the_disk_and_none_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    assert read_visits(path, tmp_path / "receipts", 5) == []
    log = AuditLog(path)
    for kind, session_id, facts in ONE:
        log.append(AuditEvent(kind, "dana", "desk-1", session_id, True, facts))
    assert [visit.session_id for visit in read_visits(path, tmp_path / "receipts", 5)] == ["s1"]


@given(st.integers(0, 3 * VISITS_LIMIT), st.integers(0, 3 * VISIT_COMMANDS_LIMIT))
def test_the_longest_history_fits_one_message(sessions: int, commands: int) -> None:
    steps: list[Step] = []
    for number in range(sessions):
        name = f"s{number}"
        steps.append((K.SESSION_READY, name, {"name": "N" * 300}))
        for at in range(commands if number == 0 else 0):
            facts = {"request_id": f"r{at}", "command_id": "c" * 300}
            steps.append((K.COMMAND_REQUESTED, name, facts))
        steps.append((K.SESSION_ENDED, name, {"cause": "finished"}))
    visits = visits_of(log_of(*steps)[::-1], VISITS_LIMIT)
    assert len(visits) == min(sessions, VISITS_LIMIT)
    encoded = TO_COMMAND_LINE_CODEC.encode(VisitList(visits))
    assert TO_COMMAND_LINE_CODEC.decode(encoded) == VisitList(visits)


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_command_that_took_too_long_is_said_in_words_and_not_as_a_code(name: str) -> None:
    lines = "\n".join(visit_text(VISIT, language_of((name,))).lines)
    assert "clear-queue" in lines
    assert "E_COMMAND" not in lines


def test_each_line_is_said_in_the_person_s_language() -> None:
    for visit in (VISIT, STRANGER):
        english = visit_text(visit, ENGLISH).lines
        for name in LANGUAGES[1:]:
            said = visit_text(visit, language_of((name,))).lines
            assert len(said) == len(english)
            assert all(ours != theirs for ours, theirs in zip(said, english, strict=True))
        for line in visit_text(visit, language_of((PSEUDO_NAME,))).lines:
            assert line.startswith("["), line


@pytest.mark.parametrize(("roles", "told"), [(("device",), "device"), (("device", "technician"), "both")])
def test_who_signed_the_receipt_is_told(tmp_path: Path, roles: tuple[str, ...], told: str) -> None:
    device, technician = acme().device(), acme().technician("dana")
    log = AuditLog(tmp_path / "audit.jsonl")
    records = [
        log.append(AuditEvent(kind, "dana", str(device.subject_id), session_id, True, facts))
        for kind, session_id, facts in ONE
    ]
    trail = trail_of(records, "s1")
    mark = trail.mark
    assert mark is not None
    parties = Parties(acme().organisation_id, "s1", str(device.subject_id), "Desk", "dana", "Dana Meyer")
    body = make_body(parties, trail, is_truncated=len(roles) == 1)
    signers = {"device": device, "technician": technician}
    receipt = Receipt(body, [sign(body, mark, signers[role]) for role in roles])
    ReceiptBook(tmp_path / "receipts").keep("dana", receipt)
    [visit] = read_visits(tmp_path / "audit.jsonl", tmp_path / "receipts", 5)
    assert visit.receipt == told
    assert visit_text(visit, ENGLISH).lines[-1] == RECEIPTS[told]
