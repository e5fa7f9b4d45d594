"""The newest policy at the technician: its version only rises, also over a restart."""

from datetime import UTC, datetime, timedelta

import pytest

from protocol.errors import ErrorCode, SupportError
from technician_client.config import TechnicianConfig
from technician_client.policies import PolicyStore
from technician_client.session_audit import SessionAudit
from tests.support.audit_sink import RecordingSink
from tests.support.organisation import acme
from tests.support.signed_policy import signed_policy

NOW = datetime.now(UTC)


def store(folder) -> PolicyStore:
    opened = PolicyStore(TechnicianConfig(folder), acme().root_der)
    opened.load(now=NOW)
    return opened


def code_of(call) -> ErrorCode:
    with pytest.raises(SupportError) as caught:
        call()
    return caught.value.code


def test_an_accepted_policy_is_there_after_a_restart(tmp_path):
    store(tmp_path).accept(signed_policy(acme(), version=4), now=NOW)
    assert store(tmp_path).require(now=NOW).version == 4


def test_an_older_version_is_refused_also_after_a_restart(tmp_path):
    store(tmp_path).accept(signed_policy(acme(), version=4), now=NOW)
    again = store(tmp_path)
    older = signed_policy(acme(), version=3)
    assert code_of(lambda: again.accept(older, now=NOW)) == ErrorCode.E_POLICY_VERSION
    assert again.require(now=NOW).version == 4


def test_another_policy_with_the_same_version_is_refused(tmp_path):
    opened = store(tmp_path)
    opened.accept(signed_policy(acme(), version=4), now=NOW)
    other = signed_policy(acme(), version=4, groups={"default": "unattended"})
    assert code_of(lambda: opened.accept(other, now=NOW)) == ErrorCode.E_POLICY_EQUIVOCATION


def test_the_version_floor_outlives_the_expiry_of_the_policy(tmp_path):
    store(tmp_path).accept(signed_policy(acme(), version=4), now=NOW)
    later = NOW + timedelta(days=400)
    opened = PolicyStore(TechnicianConfig(tmp_path), acme().root_der)
    opened.load(now=later)
    assert code_of(lambda: opened.require(now=later)) in {
        ErrorCode.E_POLICY_EXPIRED,
        ErrorCode.E_POLICY_SIGNATURE,
    }
    older = signed_policy(acme(), version=3)
    assert code_of(lambda: opened.accept(older, now=NOW)) == ErrorCode.E_POLICY_VERSION


def test_a_damaged_file_on_disk_is_reported_and_not_used(tmp_path):
    store(tmp_path).accept(signed_policy(acme(), version=4), now=NOW)
    (tmp_path / "policy.dsse").write_bytes(b"{}")
    assert code_of(lambda: store(tmp_path).require(now=NOW)) == ErrorCode.E_POLICY_SIGNATURE


def test_without_any_policy_its_absence_has_a_code(tmp_path):
    assert code_of(lambda: store(tmp_path).require(now=NOW)) == ErrorCode.E_POLICY_MISSING


def test_what_is_accepted_and_what_is_refused_is_recorded_once_each(tmp_path):
    sink = RecordingSink()
    audit = SessionAudit(sink, actor="ada", device_id="", session_id="")
    opened = PolicyStore(TechnicianConfig(tmp_path), acme().root_der, audit=audit)
    envelope = signed_policy(acme(), version=4)
    opened.accept(envelope, now=NOW)
    opened.accept(envelope, now=NOW)
    code_of(lambda: opened.accept(signed_policy(acme(), version=3), now=NOW))
    assert sink.kinds == ["policy.accepted", "policy.refused"]
