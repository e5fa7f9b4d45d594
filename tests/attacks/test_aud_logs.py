"""AUD: what can be done to a log on a disk, and that the offline check notices it."""

import json
import multiprocessing
import shutil
import subprocess
import sys
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from protocol import audit_check
from protocol.aio.audit_log import AuditLog
from protocol.aio.audit_reading import newest_first, newest_record, record_at
from protocol.audit import AuditEvent, AuditKind, read_record, verify_records
from protocol.certificates import RootTerms, make_root, organisation_of_root
from protocol.errors import EnvironmentFault, ErrorCode
from protocol.identity import Identity
from protocol.receipt import Receipt, sign
from tests.support.audit_sets import audit_set, chained, roots, session_events
from tests.support.organisation import Organisation, acme, der
from tests.support.said import Said, said_here

pytestmark = pytest.mark.beside

DEVICE_ID = audit_set().device.subject_id
LENGTH = len(audit_set().records)


class Evidence:
    """A device's log, its receipts, and the relay's anchors, as files; `verify` is the real command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "audit.jsonl"
        self.lines = audit_set().lines
        (folder / "receipts").mkdir()
        receipts = b"".join(each.line + b"\n" for each in audit_set().receipts)
        (folder / "receipts" / "ada.jsonl").write_bytes(receipts)
        anchor = {"device_id": DEVICE_ID, "at_utc": "", "anchor": b64encode(audit_set().anchor).decode()}
        self.anchors = folder / "anchors.jsonl"
        self.anchors.write_text(json.dumps(anchor) + "\n")
        self.root = folder / "root.pem"
        self.root.write_bytes(acme().root.public_bytes(Encoding.PEM))
        self.write(self.lines)

    def write(self, lines: list[bytes]) -> None:
        """Put this in the log's place."""
        self.log.write_bytes(b"".join(lines))

    def verify(self, *paths: Path) -> Said:
        """`alongside audit verify` with these files, or with all there are."""
        given = paths or (self.folder, self.anchors, self.root)
        return said_here(
            "alongside", "audit", "verify", *map(str, given), "--json", "--data", str(self.folder / "none")
        )

    def detail(self, *paths: Path) -> str:
        """Why it is refused."""
        said = self.verify(*paths)
        assert said.status == 5, said
        assert said.documents()[-1]["error"]["code"] == ErrorCode.E_AUDIT_CHAIN
        return str(said.documents()[-1]["error"]["detail"])


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Fresh files; untouched they hold, which is every test's control."""
    made = Evidence(tmp_path)
    control = made.verify()
    assert control.status == 0, control
    return made


@pytest.mark.parametrize("number", range(1, LENGTH + 1, 3))
def test_aud_01_a_flipped_byte_is_found_and_its_record_is_named(evidence: Evidence, number: int) -> None:
    changed = bytearray(evidence.lines[number - 1])
    changed[len(changed) // 2] ^= 1
    evidence.lines[number - 1] = bytes(changed)
    evidence.write(evidence.lines)
    assert f"record {number}:" in evidence.detail(evidence.log)


@pytest.mark.parametrize("what", ["delete", "insert", "reorder"])
def test_aud_02_a_record_taken_out_put_in_or_moved_is_found(evidence: Evidence, what: str) -> None:
    lines = evidence.lines
    if what == "delete":
        del lines[4]
    elif what == "insert":
        lines.insert(4, lines[2])
    else:
        lines[4], lines[5] = lines[5], lines[4]
    evidence.write(lines)
    assert "record 5:" in evidence.detail(evidence.log)


def test_aud_03_a_tail_that_was_cut_off_shows_against_receipts_and_against_the_anchor(
    evidence: Evidence,
) -> None:
    evidence.write(evidence.lines[:-2])
    assert evidence.verify(evidence.log).status == 0, "by itself such a log holds: nobody can see it there"
    assert "a record is gone" in evidence.detail(evidence.log, evidence.anchors)
    receipts = evidence.folder / "receipts" / "ada.jsonl"
    assert "a record is gone" in evidence.detail(evidence.log, receipts, evidence.root)


@pytest.mark.parametrize("lines", ["none", "same events anew"])
def test_aud_04_a_fresh_chain_in_the_logs_place_does_not_fit_the_anchor(
    evidence: Evidence, lines: str
) -> None:
    fresh = chained(session_events(DEVICE_ID, 0)) if lines != "none" else []
    evidence.write([record.line + b"\n" for record in fresh])
    assert evidence.verify(evidence.log).status == 0
    assert "a record is gone" in evidence.detail(evidence.log, evidence.anchors)


def test_aud_04_a_log_that_is_not_there_at_all_does_not_fit_either(evidence: Evidence) -> None:
    evidence.log.unlink()
    assert "a record is gone" in evidence.detail()


def test_aud_04_a_file_that_is_no_log_does_not_pass_for_one(evidence: Evidence) -> None:
    shutil.copy(evidence.folder / "receipts" / "ada.jsonl", evidence.log)
    assert "not an audit log" in evidence.detail()


def test_aud_05_a_log_rolled_back_to_a_snapshot_and_written_on_is_found(evidence: Evidence) -> None:
    snapshot = audit_set().records[:6]
    grown = chained(session_events(DEVICE_ID, 8) + session_events(DEVICE_ID, 9), snapshot)
    assert len(grown) > LENGTH
    evidence.write([record.line + b"\n" for record in grown])
    assert evidence.verify(evidence.log).status == 0
    assert "a record is gone" in evidence.detail(evidence.log, evidence.anchors)


HOSTILE = [
    "a\nb",
    "\x1b[2J\x1b]0;x\x07",
    "=cmd|'/c calc'!A0",
    '","kind":"grant.given',
    "a|b=c\\n",
    "\u202eabc",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_aud_06_no_text_ends_a_record_adds_a_member_or_moves_a_cursor(tmp_path: Path, text: str) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    facts = {"command_id": text, "parameters": f"name={text}"}
    log.append(AuditEvent(AuditKind.COMMAND_REQUESTED, text, text, text, True, facts))
    content = log.path.read_bytes()
    assert content.count(b"\n") == 1
    assert not set(content) & {*range(10), *range(11, 32), 127}
    record = json.loads(content)
    assert (record["kind"], set(record["facts"])) == ("command.requested", {"command_id", "parameters"})
    assert verify_records([content]).is_intact
    shown = said_here("alongside", "audit", "show", "--data", str(tmp_path))
    assert not set(shown.output) & {chr(code) for code in (*range(10), *range(11, 32), 127, 0x202E)}


def _takes(log: AuditLog, event: AuditEvent) -> bool:
    try:
        log.append(event)
    except EnvironmentFault:
        return False
    return True


@pytest.mark.real
def test_aud_07_a_disk_that_is_really_full_refuses_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs root and mount(2), for a file system of 64 KiB")
    try:
        log = AuditLog(place / "audit.jsonl")
        log.append(AuditEvent(AuditKind.AGENT_STARTED, "agent", "d-1", "", True))
        (place / "filler").write_bytes(b"")
        with (place / "filler").open("ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass
        event = AuditEvent(AuditKind.COMMAND_REQUESTED, "ada", "d-1", "", True, {"parameters": "x" * 300})
        # the page that is half full takes some first
        written = next(number for number in range(2, 100) if not _takes(log, event))
        with pytest.raises(EnvironmentFault) as refusal:
            log.append(event)
        assert refusal.value.code is ErrorCode.E_AUDIT_WRITE
        assert verify_records(log.path.read_bytes().splitlines(keepends=True)).is_intact
        (place / "filler").unlink()
        assert log.append(event).seq == written
        assert verify_records(log.path.read_bytes().splitlines(keepends=True)).is_intact
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("cut_bytes", [1, 20, 200])
def test_aud_08_a_torn_record_is_kept_aside_marked_and_the_chain_goes_on(
    evidence: Evidence, cut_bytes: int
) -> None:
    whole = b"".join(evidence.lines)
    evidence.log.write_bytes(whole + evidence.lines[-1][:cut_bytes])
    assert f"record {LENGTH + 1}:" in evidence.detail(evidence.log)
    AuditLog(evidence.log).append(AuditEvent(AuditKind.AGENT_STARTED, "agent", DEVICE_ID, "", True))
    assert evidence.verify().status == 0
    assert evidence.log.read_bytes().startswith(whole)
    kinds = [read_record(line).kind for line in evidence.log.read_bytes().splitlines()[LENGTH:]]
    assert kinds == ["audit.recovered", "agent.started"]


def _append(path: Path, count: int) -> None:
    for _ in range(count):
        AuditLog(path).append(AuditEvent(AuditKind.AGENT_STARTED, "agent", DEVICE_ID, "", True))


@pytest.mark.real
def test_aud_09_two_programs_that_append_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(path, 30)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    report = verify_records(path.read_bytes().splitlines(keepends=True))
    assert report.is_intact
    assert report.records == 60


def test_aud_10_a_clock_that_goes_back_leaves_the_order_and_shows_beside_the_monotonic_one(
    tmp_path: Path,
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    times = iter([now, now - timedelta(days=300), now])
    log = AuditLog(tmp_path / "audit.jsonl", clock=lambda: next(times))
    made = [log.append(AuditEvent(AuditKind.AGENT_STARTED, "agent", DEVICE_ID, "", True)) for _ in range(3)]
    assert [record.seq for record in made] == [1, 2, 3]
    assert made[1].at_utc < made[0].at_utc
    ticks = [record.monotonic_ms for record in made]
    assert ticks == sorted(tick for tick in ticks if isinstance(tick, int))
    assert verify_records(log.path.read_bytes().splitlines(keepends=True)).is_intact


def test_aud_12_the_independent_check_and_ours_say_the_same_of_every_attack(evidence: Evidence) -> None:
    """`tests/protocol/test_audit_check.py` says it of any; here of the named ones, through the command."""
    lines = evidence.lines
    attacks = [
        lines[:4] + lines[5:],
        [*lines[:4], lines[2], *lines[4:]],
        [lines[1], lines[0], *lines[2:]],
        lines,
    ]
    for attacked in attacks:
        evidence.write(attacked)
        said = evidence.verify(evidence.log)
        assert (said.status == 0) == verify_records(attacked).is_intact


def test_aud_12_a_receipt_needs_the_organisations_root_and_no_other(evidence: Evidence) -> None:
    receipts = evidence.folder / "receipts" / "ada.jsonl"
    assert "root certificate" in evidence.detail(evidence.log, receipts)
    forged = msgspec.json.decode(receipts.read_bytes().splitlines()[0])
    forged["signatures"][0]["signature"] = forged["signatures"][1]["signature"]
    receipts.write_bytes(json.dumps(forged).encode() + b"\n")
    assert "InvalidSignature" in evidence.detail(evidence.log, receipts, evidence.root)
    assert len(roots()) == 1


def standalone(*paths: Path) -> tuple[int, str]:
    """What an outsider's run of the check says."""
    ran = subprocess.run(
        [sys.executable, "-I", audit_check.__file__, *paths], capture_output=True, text=True, check=False
    )
    return ran.returncode, ran.stdout


def one_sided_receipt(evidence: Evidence, technician: Identity) -> Path:
    """A receipt of the first session that this technician alone signed."""
    whole = audit_set().receipts[0]
    half = sign(whole.body, whole.half("technician").log, technician)
    path = evidence.folder / "one-sided.jsonl"
    path.write_bytes(Receipt(whole.body, [half]).line + b"\n")
    return path


def pem_file(evidence: Evidence, root: x509.Certificate) -> Path:
    path = evidence.folder / "other-root.pem"
    path.write_bytes(root.public_bytes(Encoding.PEM))
    return path


@pytest.mark.real
def test_aud_12_crt_15_a_self_made_root_that_names_our_organisation_proves_no_receipt(
    evidence: Evidence,
) -> None:
    thief = Organisation("Acme")
    claims = RootTerms("0" * 64, 1, acme().organisation_id, "1" * 64)
    thief.root, thief.root_key = make_root("Acme", now=thief.now, terms=claims)
    thief.root_der = der(thief.root)
    forged = one_sided_receipt(evidence, thief.technician("ada"))
    self_made = pem_file(evidence, thief.root)
    assert organisation_of_root(thief.root_der)[0] == acme().organisation_id, "it says so of itself"
    for roots_given in ([self_made], [evidence.root, self_made], [self_made, evidence.root]):
        said = evidence.verify(evidence.log, forged, *roots_given)
        assert (said.status, said.documents()[-1]["error"]["code"]) == (5, ErrorCode.E_ROOT_SUCCESSOR)
        status, text = standalone(evidence.log, forged, *roots_given)
        assert status == 5
        assert acme().organisation_id in text
    # the control: the same receipt, signed by a technician of the root whose key is the organisation's id
    true = one_sided_receipt(evidence, acme().technician("ada"))
    assert evidence.verify(evidence.log, true, evidence.root).status == 0
    assert standalone(evidence.log, true, evidence.root)[0] == 0


def test_aud_12_crt_15_a_successor_root_proves_receipts_with_the_steps_that_lead_to_it(
    evidence: Evidence,
) -> None:
    later, step = acme().successor()
    _, rival_step = Organisation("Acme").successor()
    receipt = one_sided_receipt(evidence, later.technician("ada"))
    root = pem_file(evidence, later.root)
    assert evidence.verify(evidence.log, receipt, root).documents()[-1]["error"]["code"] == (
        ErrorCode.E_ROOT_SUCCESSOR
    )
    steps = evidence.folder / "successors.json"
    steps.write_bytes(msgspec.json.encode([rival_step]))
    assert evidence.verify(evidence.log, receipt, root, steps).documents()[-1]["error"]["code"] == (
        ErrorCode.E_ROOT_SUCCESSOR
    )
    steps.write_bytes(msgspec.json.encode([step]))
    for given in (root, evidence.root):
        assert evidence.verify(evidence.log, receipt, given, steps).status == 0
    for odd in (b"[1", b'["\xff\xff"]', b"[" * 100_000):
        steps.write_bytes(odd)
        assert evidence.verify(evidence.log, receipt, root, steps).status == 2


def test_looking_up_a_record_finds_each_one_and_none_that_is_not_there(evidence: Evidence) -> None:
    for record in audit_set().records:
        assert record_at(evidence.log, record.seq) == record
    assert record_at(evidence.log, LENGTH + 1) is None
    assert record_at(evidence.log, 10**9) is None
    assert newest_record(evidence.log) == audit_set().records[-1]
    assert list(newest_first(evidence.log)) == list(reversed(audit_set().records))
    evidence.log.write_bytes(b"")
    assert newest_record(evidence.log) is None
    assert record_at(evidence.log, 1) is None
