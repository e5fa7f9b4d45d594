"""Join tokens: whole or refused; and what a device makes of one."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.certificates import DEVICE_LIFETIME, Role, verify_chain
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.join_token import PREFIX, _checksum, join, read_token
from protocol.limits import JOIN_TOKEN_LIMIT_CHARS
from tests.support.organisation import acme, der, intruders

TOKEN = acme().token(group="front-desk", uses_limit=25, is_bulk=True)


def code_of(text, now=None):
    with pytest.raises(DocumentRefused) as refusal:
        read_token(text, now=now or acme().now)
    return refusal.value.code


def repacked(change, text=TOKEN):
    """The token with its list of members changed and its checksum right again."""
    encoded = text.removeprefix(PREFIX)
    members = msgspec.msgpack.decode(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))[8:])
    change(members)
    packed = msgspec.msgpack.encode(members)
    return PREFIX + urlsafe_b64encode(_checksum(packed) + packed).decode().rstrip("=")


def test_a_token_says_where_to_go_and_on_which_terms():
    token = read_token(TOKEN, now=acme().now)
    assert (token.relay_url, token.relay_id) == ("https://relay.example", "relay-1")
    assert (token.group, token.uses_limit, token.is_bulk) == ("front-desk", 25, True)
    assert token.join_until == acme().now.replace(microsecond=0) + timedelta(days=1)
    assert (token.organisation_id, token.organisation_name) == (acme().organisation_id, "Acme")
    assert len(TOKEN) < JOIN_TOKEN_LIMIT_CHARS


def test_a_device_joins_with_a_key_of_its_own_and_is_verified():
    token = read_token(TOKEN, now=acme().now)
    one, two = (join(token, "reception-pc", now=acme().now) for _ in range(2))
    assert one.subject_id != two.subject_id
    peer = verify_chain(one.chain, acme().root_der, roles={Role.DEVICE}, now=acme().now)
    assert (peer.name, peer.group, peer.subject_id) == ("reception-pc", "front-desk", one.subject_id)
    assert peer.enroller is not None
    assert (peer.enroller.serial, peer.enroller.uses_limit) == (token.serial, 25)


def test_a_device_that_joins_at_the_last_moment_lives_for_two_years():
    now = acme().now + timedelta(days=1)
    device = join(read_token(TOKEN, now=now), "late-pc", now=now)
    assert device.not_after == now.replace(microsecond=0) + DEVICE_LIFETIME
    verify_chain(device.chain, acme().root_der, roles={Role.DEVICE}, now=device.not_after - timedelta(days=1))


def test_a_token_wrapped_by_a_mail_program_is_read():
    wrapped = "\n".join(TOKEN[start : start + 76] for start in range(0, len(TOKEN), 76))
    assert read_token(f"  {wrapped}\r\n", now=acme().now).group == "front-desk"


def test_a_token_is_refused_after_its_last_day():
    assert code_of(TOKEN, acme().now + timedelta(days=1, minutes=6)) is ErrorCode.E_TOKEN_EXPIRED
    assert code_of(TOKEN, acme().now + timedelta(days=5000)) is ErrorCode.E_TOKEN_EXPIRED


def test_a_clock_far_in_the_past_is_not_a_reason_to_trust_a_token():
    assert code_of(TOKEN, acme().now - timedelta(days=400)) is ErrorCode.E_TOKEN_FORMAT


def test_joining_after_the_last_day_is_refused_even_with_a_token_that_was_read_in_time():
    token = read_token(TOKEN, now=acme().now)
    with pytest.raises(CertificateRefused) as refusal:
        join(token, "late-pc", now=acme().now + timedelta(days=2))
    assert refusal.value.code is ErrorCode.E_CERT_LIFETIME


@pytest.mark.parametrize(
    "text",
    ["", "hello", PREFIX, PREFIX + "AAAA", PREFIX + "ä" * 50, TOKEN + "AAAA", TOKEN.upper(), "x" * 10**6],
)
def test_what_is_not_a_token_is_refused(text):
    assert code_of(text) is ErrorCode.E_TOKEN_FORMAT


@settings(max_examples=200)
@given(st.integers(0, len(TOKEN) - 1))
def test_a_cut_token_is_refused(cut):
    assert code_of(TOKEN[:cut]) is ErrorCode.E_TOKEN_FORMAT


@settings(max_examples=200)
@given(
    st.integers(0, len(TOKEN) - 1), st.characters(codec="utf-8", exclude_categories=["Zs", "Cc", "Zl", "Zp"])
)
def test_a_token_with_one_other_character_is_refused(position, character):
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    if changed != TOKEN:
        assert code_of(changed) is ErrorCode.E_TOKEN_FORMAT


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_noise_with_a_right_checksum_is_refused(noise):
    text = PREFIX + urlsafe_b64encode(_checksum(noise) + noise).decode().rstrip("=")
    assert code_of(text) is ErrorCode.E_TOKEN_FORMAT


@pytest.mark.parametrize(
    ("member", "value"),
    [
        (0, 2),
        (1, "file:///etc/passwd"),
        (1, "https://user:secret@relay.example"),
        (1, "https://relay.example/?x=1"),
        (1, "https://relay.example:99999"),
        (1, "https://[broken"),
        (1, "https://relay.example/\n"),
        (3, intruders().root_der),
        (4, der(intruders().enroller().certificate)),
        (5, bytes(32)),
        (5, b"\xff" * 32),
        (5, b"\x01" * 32),
    ],
)
def test_a_token_whose_members_do_not_fit_is_refused(member, value):
    assert code_of(repacked(lambda members: members.__setitem__(member, value))) is ErrorCode.E_TOKEN_FORMAT


def test_a_token_around_a_person_instead_of_an_enroller_is_refused():
    ada = acme().technician()
    key = ada.key.private_numbers().private_value.to_bytes(32, "big")

    def change(members):
        members[4:6] = [ada.chain[0], key]

    assert code_of(repacked(change)) is ErrorCode.E_TOKEN_FORMAT


def test_a_token_for_a_malformed_address_is_not_made():
    with pytest.raises(DocumentRefused):
        acme().token(relay_url="relay.example")


def test_the_key_does_not_show_in_a_printed_token():
    assert "key" not in repr(read_token(TOKEN, now=acme().now))
