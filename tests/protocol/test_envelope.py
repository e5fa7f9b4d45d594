"""Signed documents: the exact bytes that were signed, or nothing."""

import base64
import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.certificates import Role
from protocol.envelope import (
    ENVELOPE_LIMIT_BYTES,
    open_envelope,
    pre_authentication_encoding,
    sign_envelope,
)
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode, SupportError
from protocol.limits import POLICY_LIMIT_BYTES
from tests.support.organisation import acme, intruders

KIND = "application/vnd.alongside.test"
PAYLOAD = b'{"a": 1}  \n'
SIGNER = acme().policy_signer()
ENVELOPE = sign_envelope(KIND, PAYLOAD, SIGNER)


def opened(envelope, kind=KIND, *, roles=(Role.POLICY,), now=None):
    return open_envelope(envelope, kind, acme().root_der, roles=roles, now=now or acme().now)


def code_of(envelope, kind=KIND, **terms):
    with pytest.raises(SupportError) as refusal:
        opened(envelope, kind, **terms)
    return refusal.value.code


def changed(**members):
    return json.dumps({**json.loads(ENVELOPE), **members}).encode()


def test_the_exact_payload_comes_back_with_its_signer():
    payload, signer = opened(ENVELOPE)
    assert payload == PAYLOAD
    assert (signer.role, signer.subject_id) == (Role.POLICY, "policy")


def test_the_encoding_is_the_one_of_the_dsse_specification():
    # the example of protocol.md
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pre_authentication_encoding("http://example.com/HelloWorld", b"hello world") == expected


def test_the_envelope_is_dsse_json():
    envelope = json.loads(ENVELOPE)
    assert base64.b64decode(envelope["payload"]) == PAYLOAD
    assert envelope["payloadType"] == KIND
    assert set(envelope["signatures"][0]) == {"keyid", "sig", "chain"}


@settings(max_examples=50)
@given(st.binary(max_size=500))
def test_any_payload_comes_back_as_it_was(payload):
    assert opened(sign_envelope(KIND, payload, SIGNER))[0] == payload


def test_cmd_11_another_payload_under_the_same_signature_is_refused():
    other = base64.b64encode(b'{"a": 2}').decode()
    assert code_of(changed(payload=other)) is ErrorCode.E_POLICY_SIGNATURE


def test_a_document_of_another_type_is_refused():
    assert code_of(ENVELOPE, "application/other") is ErrorCode.E_POLICY_SIGNATURE
    assert code_of(changed(payloadType="application/other"), "application/other") is (
        ErrorCode.E_POLICY_SIGNATURE
    )


def test_a_signer_of_another_role_is_refused():
    assert code_of(sign_envelope(KIND, PAYLOAD, acme().technician())) is ErrorCode.E_CERT_ROLE


def test_a_signer_of_another_organisation_is_refused():
    assert code_of(sign_envelope(KIND, PAYLOAD, intruders().policy_signer())) is ErrorCode.E_CERT_ORG


def test_a_signer_whose_time_is_over_is_refused():
    with pytest.raises(CertificateRefused) as refusal:
        opened(ENVELOPE, now=acme().now + timedelta(days=400))
    assert refusal.value.code is ErrorCode.E_CERT_EXPIRED


def test_the_chain_of_somebody_else_is_refused():
    other = json.loads(sign_envelope(KIND, PAYLOAD, acme().policy_signer()))["signatures"][0]
    mine = json.loads(ENVELOPE)["signatures"][0]
    mixed = changed(signatures=[{**mine, "chain": other["chain"]}])
    assert code_of(mixed) is ErrorCode.E_POLICY_SIGNATURE


def test_cmd_11_the_key_id_is_only_a_hint():
    mine = json.loads(ENVELOPE)["signatures"][0]
    assert opened(changed(signatures=[{**mine, "keyid": "whoever"}]))[0] == PAYLOAD


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"a":' * 5000,
        changed(signatures=[]),
        changed(signatures=json.loads(ENVELOPE)["signatures"] * 2),
        changed(more=1),
        changed(payload="not base64!"),
        changed(payload=1),
        changed(signatures=[{"keyid": "", "sig": ""}]),
        changed(signatures=[{"keyid": "", "sig": "", "chain": []}]),
    ],
)
def test_cmd_11_what_is_not_an_envelope_is_refused(envelope):
    assert code_of(envelope) is ErrorCode.E_POLICY_SIGNATURE


def test_a_document_that_is_too_large_is_neither_signed_nor_read():
    with pytest.raises(DocumentRefused):
        sign_envelope(KIND, bytes(POLICY_LIMIT_BYTES + 1), SIGNER)
    assert code_of(bytes(ENVELOPE_LIMIT_BYTES + 1)) is ErrorCode.E_POLICY_SIGNATURE
    largest = sign_envelope(KIND, bytes(POLICY_LIMIT_BYTES), SIGNER)
    assert len(opened(largest)[0]) == POLICY_LIMIT_BYTES


@settings(max_examples=250)
@given(st.integers(0, 10**4), st.integers(1, 255))
def test_cmd_11_one_changed_byte_never_changes_the_payload(position, difference):
    envelope = bytearray(ENVELOPE)
    envelope[position % len(envelope)] ^= difference
    try:
        payload, signer = opened(bytes(envelope))
    except SupportError:
        return
    assert (payload, signer.subject_id) == (PAYLOAD, "policy")  # a change of the hint, or of unused bits


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_noise_is_refused(noise):
    assert code_of(noise) is ErrorCode.E_POLICY_SIGNATURE
