"""The policy: strict, signed, rising, expiring."""

import json
from datetime import UTC, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.certificates import Role
from protocol.envelope import sign_envelope
from protocol.errors import DocumentRefused, ErrorCode
from protocol.grantables import Grantable
from protocol.limits import POLICY_LIMIT_BYTES
from protocol.policy import POLICY_TYPE, Consent, PolicyMark, open_policy, parse_policy
from protocol.private_windows import PrivateWindow
from tests.support.organisation import acme, intruders


def payload(**changes):
    return json.dumps(acme().policy_document(**changes)).encode()


def opened(envelope, *, now=None, newest_version=0, newest_sha256=""):
    return open_policy(
        envelope,
        acme().root_der,
        now=now or acme().now,
        newest=PolicyMark(newest_version, newest_sha256),
    )


def refusal_of(envelope, **terms):
    with pytest.raises(DocumentRefused) as refusal:
        opened(envelope, **terms)
    return refusal.value.code


def format_refusal(document):
    with pytest.raises(DocumentRefused) as refusal:
        parse_policy(document)
    assert refusal.value.code is ErrorCode.E_POLICY_FORMAT
    return refusal.value.detail


def test_the_default_policy_asks_for_everything_and_lets_technicians_ask_for_all():
    policy = opened(acme().policy_envelope())
    assert policy.consent_for("default") is Consent.ASK
    assert policy.grantables_for(Role.TECHNICIAN) == frozenset(Grantable)
    assert policy.version == 1
    assert policy.technician_lifetime_days_limit == 7
    assert len(policy.catalogue.entries) >= 8
    assert policy.expires_at_utc.tzinfo is UTC


def test_private_windows_are_none_where_nothing_is_said_and_otherwise_those_that_are():
    assert opened(acme().policy_envelope()).private_windows == ()
    named = [{"window_class": "keepassxc"}, {"title": "*bank*"}]
    assert opened(acme().policy_envelope(private_windows=named)).private_windows == (
        PrivateWindow(window_class="keepassxc"),
        PrivateWindow(title="*bank*"),
    )


def test_a_group_that_is_not_named_is_asked_and_a_role_that_is_not_named_gets_nothing():
    policy = opened(acme().policy_envelope(groups={"servers": "unattended"}, roles={}))
    assert policy.consent_for("servers") is Consent.UNATTENDED
    assert policy.consent_for("default") is Consent.ASK
    assert policy.consent_for("Servers") is Consent.ASK
    assert policy.grantables_for("technician") == frozenset()
    assert policy.grantables_for("superuser") == frozenset()


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"groups": {"default": "unseen"}}, "$.groups[...]"),
        ({"groups": {"default": True}}, "$.groups[...]"),
        ({"groups": {"De fault": "ask"}}, "$.groups"),
        ({"groups": {"default\n": "ask"}}, "$.groups"),
        ({"roles": {"technician": ["screen.hide"]}}, "$.roles[...][0]"),
        ({"roles": {"device": []}}, "$.roles"),
        ({"version": 0}, "$.version"),
        ({"version": "1"}, "$.version"),
        ({"version": 1.5}, "$.version"),
        ({"format": "alongside-policy/2"}, "$.format"),
        ({"organisation_id": "acme"}, "$.organisation_id"),
        ({"technician_lifetime_days_limit": 31}, "$.technician_lifetime_days_limit"),
        ({"technician_lifetime_days_limit": 0}, "$.technician_lifetime_days_limit"),
        ({"expires_at_utc": "2020-01-01T00:00:00Z"}, "expires_at_utc"),
        ({"expires_at_utc": "2099-01-01T00:00:00"}, "$.expires_at_utc"),
        ({"expires_at_utc": "tomorrow"}, "$.expires_at_utc"),
        ({"more": 1}, "more"),
        ({"private_windows": [{"title": "x" * 129}]}, "$.private_windows[0].title"),
        ({"private_windows": [{"window_class": "x" * 65}]}, "$.private_windows[0].window_class"),
        ({"private_windows": [{}]}, "$.private_windows[0]"),
        ({"private_windows": [{"title": "x", "regex": "y"}]}, "regex"),
        ({"private_windows": [{"title": "x"}] * 33}, "$.private_windows"),
        ({"catalogue": {"commands": [{"command_id": "x"}]}}, "$.catalogue.commands[0]"),
        ({"catalogue": {}}, "$.catalogue"),
    ],
)
def test_what_is_wrong_in_a_policy_is_named_by_its_path(changes, where):
    assert where in format_refusal(payload(**changes))


def test_a_missing_member_is_named():
    document = acme().policy_document()
    del document["groups"]
    assert "groups" in format_refusal(json.dumps(document).encode())


def test_cmd_11_a_setting_that_is_there_twice_is_refused():
    double = payload().replace(b'"groups": {', b'"groups": {"default": "unattended", ', 1)
    assert "'default'" in format_refusal(double)


def test_a_policy_that_is_too_large_is_not_read():
    assert "bytes" in format_refusal(b" " * (POLICY_LIMIT_BYTES + 1))


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(repr).map(str.encode))
def test_noise_is_refused(noise):
    format_refusal(noise)


def test_a_deeply_nested_document_is_refused():
    format_refusal(b'{"groups":' * 20_000)


def test_cmd_08_a_policy_signed_by_a_technician_or_an_admin_is_refused():
    for signer in (acme().technician(), acme().admin(), acme().device()):
        envelope = sign_envelope(POLICY_TYPE, payload(), signer)
        assert refusal_of(envelope) is ErrorCode.E_POLICY_SIGNATURE


def test_a_policy_of_another_organisation_is_refused():
    assert refusal_of(intruders().policy_envelope()) is ErrorCode.E_POLICY_SIGNATURE


def test_a_policy_for_another_organisation_is_refused_although_ours_signed_it():
    envelope = acme().policy_envelope(organisation_id=intruders().organisation_id)
    assert refusal_of(envelope) is ErrorCode.E_POLICY_SIGNATURE


def test_an_envelope_of_another_type_is_not_a_policy():
    envelope = sign_envelope("application/other", payload(), acme().policy_signer())
    assert refusal_of(envelope) is ErrorCode.E_POLICY_SIGNATURE


def test_cmd_11_the_signature_is_judged_before_the_document_is_read():
    envelope = sign_envelope(POLICY_TYPE, b"not even JSON", intruders().policy_signer())
    assert refusal_of(envelope) is ErrorCode.E_POLICY_SIGNATURE
    envelope = sign_envelope(POLICY_TYPE, b"not even JSON", acme().policy_signer())
    assert refusal_of(envelope) is ErrorCode.E_POLICY_FORMAT


def test_cmd_09_an_older_version_is_refused_and_the_same_one_again_is_not():
    envelope = acme().policy_envelope(version=4)
    assert opened(envelope, newest_version=4).version == 4
    assert refusal_of(envelope, newest_version=5) is ErrorCode.E_POLICY_VERSION


def test_a_second_document_of_the_same_version_is_refused():
    one = opened(acme().policy_envelope(version=4))
    other = acme().policy_envelope(version=4, groups={"default": "unattended"})
    code = refusal_of(other, newest_version=4, newest_sha256=one.sha256)
    assert code is ErrorCode.E_POLICY_EQUIVOCATION
    again = acme().policy_envelope(version=4)
    assert opened(again, newest_version=4, newest_sha256=one.sha256).sha256 == one.sha256


def test_cmd_10_an_expired_policy_is_refused():
    expires = opened(acme().policy_envelope()).expires_at_utc
    signer = acme().person(Role.POLICY, "policy", lifetime=timedelta(days=3000))
    envelope = sign_envelope(POLICY_TYPE, payload(), signer)
    assert opened(envelope, now=expires).version == 1
    assert refusal_of(envelope, now=expires + timedelta(minutes=6)) is ErrorCode.E_POLICY_EXPIRED
