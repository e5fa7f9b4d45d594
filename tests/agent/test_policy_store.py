"""The policy in force: it only rises, and a stored one that does not hold refuses instead of falling back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.policy_store import PolicyStore
from protocol.errors import DocumentRefused, ErrorCode
from protocol.grantables import Grantable
from protocol.policy import Consent
from tests.support.organisation import acme, intruders
from tests.support.policies import signed_policy

NOW = datetime.now(UTC)


def store(folder: Path) -> PolicyStore:
    """A store of this folder, loaded."""
    made = PolicyStore(folder / "policy.dsse", acme().root_der)
    made.load(NOW)
    return made


def test_without_a_policy_the_person_is_asked_and_there_is_no_catalogue(tmp_path: Path) -> None:
    rules = store(tmp_path).rules("default", "technician", NOW)
    assert (rules.consent, rules.grantables) == (Consent.ASK, frozenset(Grantable))
    assert rules.policy is None


def test_an_accepted_policy_is_still_there_after_a_restart(tmp_path: Path) -> None:
    assert store(tmp_path).accept(signed_policy(acme(), version=3, groups={"kiosks": "unattended"}), NOW)
    again = store(tmp_path)
    assert again.version == 3
    assert again.rules("kiosks", "technician", NOW).consent is Consent.UNATTENDED
    assert again.rules("default", "technician", NOW).consent is Consent.ASK
    assert (tmp_path / "policy.dsse").stat().st_mode & 0o777 == 0o600


def test_the_same_policy_again_is_no_change(tmp_path: Path) -> None:
    policies, envelope = store(tmp_path), signed_policy(acme())
    assert policies.accept(envelope, NOW)
    assert not policies.accept(envelope, NOW)


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (signed_policy(acme(), version=2), ErrorCode.E_POLICY_VERSION),
        (signed_policy(acme(), version=3, groups={"a": "unattended"}), ErrorCode.E_POLICY_EQUIVOCATION),
        (signed_policy(intruders(), version=9), ErrorCode.E_POLICY_SIGNATURE),
        (signed_policy(acme(), version=9, groups={"a": "unseen"}), ErrorCode.E_POLICY_FORMAT),
        (b"garbage", ErrorCode.E_POLICY_SIGNATURE),
    ],
    ids=["older", "same version, other text", "another organisation", "unseen", "garbage"],
)
def test_a_policy_that_may_not_be_put_in_force_leaves_the_old_one(
    tmp_path: Path, envelope: bytes, code: ErrorCode
) -> None:
    policies = store(tmp_path)
    policies.accept(signed_policy(acme(), version=3), NOW)
    with pytest.raises(DocumentRefused) as caught:
        policies.accept(envelope, NOW)
    assert caught.value.code in (code, ErrorCode.E_POLICY_FORMAT)
    assert policies.version == 3
    assert store(tmp_path).version == 3


def test_a_stored_policy_that_has_ended_refuses_sessions_and_keeps_its_version(tmp_path: Path) -> None:
    store(tmp_path).accept(signed_policy(acme(), version=3), NOW)
    later = NOW + timedelta(days=366)
    policies = PolicyStore(tmp_path / "policy.dsse", acme().root_der)
    policies.load(later)
    with pytest.raises(DocumentRefused):
        policies.rules("default", "technician", later)
    assert policies.version == 3


def test_a_policy_that_ends_while_the_agent_runs_refuses_sessions(tmp_path: Path) -> None:
    policies = store(tmp_path)
    policies.accept(signed_policy(acme()), NOW)
    with pytest.raises(DocumentRefused) as caught:
        policies.rules("default", "technician", NOW + timedelta(days=366))
    assert caught.value.code is ErrorCode.E_POLICY_EXPIRED


def test_a_stored_policy_that_was_tampered_with_is_never_replaced_by_the_minimum(tmp_path: Path) -> None:
    store(tmp_path).accept(signed_policy(acme()), NOW)
    path = tmp_path / "policy.dsse"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DocumentRefused):
        store(tmp_path).rules("default", "technician", NOW)
