"""The offline check: small, alone, and blind to nothing that can be done to a log."""

import ast
import json
import shutil
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocol import audit_check
from protocol.audit import AuditEvent, AuditKind, next_record, read_record, verify_records
from protocol.audit_check import Found, check_anchor, check_receipt
from protocol.certificates import Role
from protocol.errors import CertificateRefused, UsageError
from protocol.receipt import Half, LogMark, Receipt, check_half, make_anchor, sign
from protocol.succession import RootLine
from technician_client.audit_files import named_roots
from tests.support.audit_sets import audit_set, chained, roots, session_events
from tests.support.organisation import acme, intruders

SOURCE = Path(audit_check.__file__)


def found_in(lines):
    """What the check finds in these lines of a log."""
    log = Found("log")
    log.kind = "log"
    for number, line in enumerate(lines, 1):
        try:
            log.take(json.loads(line), line)
        except audit_check.MALFORMED as exc:
            log.faults.append(f"record {number}: {exc}")
            break
    return log


def claims_of(whole, *, receipts=True, anchor=True):
    """The claims of a set's receipts and anchor."""
    claims = Found("claims")
    if receipts:
        for receipt in whole.receipts:
            claims.claims += check_receipt(json.loads(receipt.line), roots())
    if anchor:
        claims.claims += check_anchor(whole.device.subject_id, whole.anchor)
    return claims


def faults(lines, claims, keeper=""):
    log = found_in(lines)
    log.compare([claims], keeper)
    return log.faults


CLAIMS = claims_of(audit_set())
ANCHOR = claims_of(audit_set(), receipts=False)
DEVICE_ID = audit_set().device.subject_id


# what it is made of


def test_the_check_is_under_150_lines_and_needs_nothing_but_cryptography_and_python():
    text = SOURCE.read_text("utf-8")
    assert len(text.splitlines()) < 150
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add((node.module or "").partition(".")[0])
    assert names - {"cryptography"} <= sys.stdlib_module_names
    assert "cryptography" in names


@pytest.mark.real
def test_an_outsider_runs_it_alone(tmp_path):
    whole = audit_set()
    program = shutil.copy(SOURCE, tmp_path / "audit_check.py")
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b"".join(whole.lines))
    (tmp_path / "root.pem").write_bytes(acme().root.public_bytes(Encoding.PEM))
    (tmp_path / "receipts.jsonl").write_bytes(b"".join(each.line + b"\n" for each in whole.receipts))
    anchor = {"device_id": DEVICE_ID, "at_utc": "", "anchor": b64encode(whole.anchor).decode()}
    (tmp_path / "anchors.jsonl").write_text(json.dumps(anchor) + "\n")

    def status():
        names = ("audit.jsonl", "receipts.jsonl", "anchors.jsonl", "root.pem")
        command = [sys.executable, "-I", str(program), *(str(tmp_path / name) for name in names)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)

    good = status()
    assert good.returncode == 0, good
    assert DEVICE_ID.encode() in good.stdout
    log.write_bytes(b"".join(whole.lines[:-1]))
    assert status().returncode == 5


# what it finds


def test_a_log_with_its_receipts_and_anchor_holds():
    assert faults(audit_set().lines, CLAIMS) == []
    assert faults(audit_set().lines, CLAIMS, DEVICE_ID) == []
    more = chained(session_events(DEVICE_ID, 7), audit_set().records)
    assert faults([record.line + b"\n" for record in more], CLAIMS) == []


def rechained(records):
    """The same events with every hash made right again, as one with the file in his hands can do."""
    made = []
    for record in records:
        kind = AuditKind(record.kind)
        event = AuditEvent(
            kind, record.actor, record.device_id, record.session_id, record.succeeded, record.facts
        )
        made.append(next_record(made[-1] if made else None, event, record.at_utc, record.monotonic_ms))
    return [record.line + b"\n" for record in made]


LENGTH = len(audit_set().records)


@st.composite
def attacks(draw):
    """One attack on a log's records: an edit, a deletion, an insertion, another order, a cut."""
    records = list(audit_set().records)
    at = draw(st.integers(0, LENGTH - 1))
    match draw(st.sampled_from(["edit", "delete", "insert", "swap", "cut", "fresh"])):
        case "edit":
            change = draw(st.sampled_from(["actor", "succeeded", "session_id", "at_utc"]))
            old = records[at]
            value = {
                "actor": "eve" + old.actor,
                "succeeded": not old.succeeded,
                "session_id": old.session_id + "x",
                "at_utc": old.at_utc.replace(year=2020),
            }[change]
            records[at] = msgspec.structs.replace(old, **{change: value})
        case "delete":
            del records[at]
        case "insert":
            records.insert(at, records[draw(st.integers(0, LENGTH - 1))])
        case "swap":
            other = draw(st.integers(0, LENGTH - 1).filter(lambda other: other != at))
            records[at], records[other] = records[other], records[at]
        case "cut":
            del records[at:]
        case "fresh":
            records = [record for record in records if record.kind == "agent.started"] * draw(
                st.integers(1, 3)
            )
    return records


@settings(max_examples=150)
@given(attacks(), st.booleans())
def test_any_one_change_of_a_log_is_found_by_its_anchor_whatever_is_made_right_again(records, is_rechained):
    lines = rechained(records) if is_rechained else [record.line + b"\n" for record in records]
    # what is added behind the anchored record is how a log grows; the next anchor covers it
    assume(lines[:LENGTH] != audit_set().lines)
    assert faults(lines, ANCHOR)
    assert faults(lines, ANCHOR, DEVICE_ID)


@settings(max_examples=100)
@given(st.integers(0, LENGTH - 1), st.booleans())
def test_a_log_rolled_back_to_a_snapshot_and_gone_on_from_is_found(at, is_receipts):
    snapshot = list(audit_set().records[:at])
    grown = chained(session_events(DEVICE_ID, 5) * 3, snapshot)
    claims = claims_of(audit_set(), receipts=is_receipts, anchor=not is_receipts)
    assert faults([record.line + b"\n" for record in grown], claims)


@settings(max_examples=300)
@given(st.integers(0, LENGTH - 1), st.integers(0, 10**4), st.integers(1, 255))
def test_both_checks_say_the_same_of_a_changed_byte(number, position, difference):
    lines = audit_set().lines
    changed = bytearray(lines[number])
    changed[position % len(changed)] ^= difference
    lines[number] = bytes(changed)
    split = b"".join(lines).splitlines(keepends=True)
    report = verify_records(b"".join(lines).splitlines(keepends=True))
    assert not report.is_intact
    assert found_in(split).faults
    assert len(found_in(split).hashes) == report.records == number


@settings(max_examples=200)
@given(st.lists(st.sampled_from(audit_set().lines), max_size=20) | st.just(audit_set().lines))
def test_both_checks_say_the_same_of_any_order_of_records(lines):
    report, log = verify_records(lines), found_in(lines)
    assert report.is_intact == (not log.faults)
    assert report.records == len(log.hashes)


@settings(max_examples=60)
@given(st.text(max_size=400), st.text(max_size=100))
def test_both_checks_read_the_same_texts(text, name):
    event = AuditEvent(AuditKind.COMMAND_REFUSED, name, "", "", False, {"detail": text})
    line = next_record(None, event, audit_set().records[0].at_utc).line + b"\n"
    assert verify_records([line]).is_intact
    assert not found_in([line]).faults


# receipts


def test_a_receipt_of_another_organisation_or_without_its_root_does_not_hold():
    document = json.loads(audit_set().receipts[0].line)
    for known in ({}, named_roots([RootLine(intruders().root_der)])):
        with pytest.raises(audit_check.MALFORMED):
            check_receipt(document, known)


def test_a_receipt_signed_by_somebody_else_does_not_hold():
    receipt = audit_set().receipts[0]
    half = receipt.half("device")
    for signer in (acme().device(), acme().technician("bob"), acme().admin()):
        forged = Receipt(
            receipt.body, [msgspec.structs.replace(sign(receipt.body, half.log, signer), role="device")]
        )
        with pytest.raises(audit_check.MALFORMED):
            check_receipt(json.loads(forged.line), roots())


def test_a_technician_cannot_make_himself_a_device_with_his_own_certificate_as_the_authority():
    receipt = audit_set().receipts[0]
    device, technician = audit_set().device, audit_set().technician
    half = sign(receipt.body, receipt.signatures[0].log, technician)
    forged = Half("device", half.log, half.signature, [technician.chain[0], device.chain[1]])
    with pytest.raises(audit_check.MALFORMED):
        check_receipt(json.loads(Receipt(receipt.body, [forged]).line), roots())


def test_a_receipt_of_a_device_and_a_technician_of_two_roots_of_one_line_holds():
    later, step = acme().successor()
    line = RootLine(later.root_der)
    assert line.take([step])
    receipt = audit_set().receipts[0]
    half = sign(receipt.body, receipt.signatures[1].log, later.technician("ada"))
    mixed = Receipt(receipt.body, [receipt.signatures[0], half])
    document = json.loads(mixed.line)
    assert len(check_receipt(document, named_roots([line]))) == 2
    for known in (roots(), named_roots([RootLine(later.root_der)])):
        with pytest.raises(audit_check.MALFORMED):
            check_receipt(document, known)
    for role in (Role.DEVICE, Role.TECHNICIAN):
        assert check_half(mixed, role, [later.root_der, acme().root_der]).role == role.value
    with pytest.raises(CertificateRefused):
        check_half(mixed, Role.TECHNICIAN, [acme().root_der])


def test_roots_of_two_organisations_are_not_taken_together():
    with pytest.raises(UsageError):
        named_roots([RootLine(acme().root_der), RootLine(intruders().root_der)])


@settings(max_examples=100)
@given(st.integers(0, 10**4), st.integers(1, 255))
def test_a_changed_byte_of_a_receipts_body_does_not_hold(position, difference):
    receipt = audit_set().receipts[0]
    body = bytearray(receipt.body)
    body[position % len(body)] ^= difference
    with pytest.raises(audit_check.MALFORMED):
        check_receipt(json.loads(Receipt(bytes(body), receipt.signatures).line), roots())


def test_a_receipt_whose_mark_was_changed_does_not_hold():
    receipt = audit_set().receipts[0]
    first = receipt.signatures[0]
    mark = LogMark(first.log.seq + 1, first.log.sha256, first.log.records, first.log.session_sha256)
    changed = Receipt(receipt.body, [msgspec.structs.replace(first, log=mark)])
    with pytest.raises(audit_check.MALFORMED):
        check_receipt(json.loads(changed.line), roots())


def test_a_session_whose_records_were_thinned_out_does_not_fit_its_receipt():
    """A signer's mark is over all of the session's records, and not over the last one alone."""
    whole = audit_set()
    log = found_in(whole.lines)
    log.sessions[whole.receipts[0].facts().session_id].pop(1)
    log.compare([claims_of(whole, anchor=False)])
    assert log.faults


# anchors


def test_an_anchor_of_another_device_or_with_another_hash_does_not_hold():
    whole, other = audit_set(), acme().device()
    with pytest.raises(audit_check.MALFORMED):
        check_anchor(other.subject_id, whole.anchor)
    with pytest.raises(audit_check.MALFORMED):
        check_anchor(DEVICE_ID, make_anchor("ab" * 32, other))
    for at in (0, 91, 122, 125):
        changed = bytearray(whole.anchor)
        changed[at] ^= 1
        with pytest.raises(audit_check.MALFORMED):
            check_anchor(DEVICE_ID, bytes(changed))


def test_an_anchor_holds_no_name_and_no_number():
    whole = audit_set()
    for secret in (
        b"ada",
        b"Ada",
        b"reception",
        DEVICE_ID.encode(),
        whole.receipts[0].facts().session_id.encode(),
    ):
        assert secret not in whole.anchor
    assert read_record(whole.lines[-1].rstrip()).sha256 == whole.anchor[91:123].hex()
