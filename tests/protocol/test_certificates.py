"""The one verifier: what it accepts, and every way in which it refuses (THREATS.md, CRT)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.certificate_profile import ENROLLER_OID, ROLE_OIDS, TLS_USAGES, utf8_string
from protocol.certificates import (
    Role,
    Scope,
    VerifiedPeer,
    make_root,
    organisation_of_root,
    verify_chain,
)
from protocol.errors import CertificateRefused, ErrorCode, WrongState
from protocol.grantables import Grantable
from tests.support import forged
from tests.support.organisation import Organisation, acme, der, intruders, new_key
from tests.support.verifying import code_of, verify

C = ErrorCode
PEOPLE = [Role.ADMIN, Role.TECHNICIAN, Role.POLICY]


# what is accepted


def test_a_device_is_verified_with_the_group_and_terms_of_its_enroller():
    device = acme().device("reception-pc", group="front-desk")
    peer = verify(device.chain)
    assert (peer.role, peer.subject_id, peer.name) == (Role.DEVICE, device.subject_id, "reception-pc")
    assert peer.group == "front-desk"
    assert peer.enroller is not None
    assert peer.enroller.join_until == acme().now.replace(microsecond=0) + timedelta(days=1)
    assert peer.organisation_id == acme().organisation_id


def test_a_technician_is_verified_with_name_and_scope():
    scope = Scope(frozenset({"front-desk"}), frozenset({"screen.view"}))
    peer = verify(acme().technician("ada", scope=scope).chain)
    assert (peer.subject_id, peer.name, peer.group, peer.enroller) == ("ada", "Ada", "", None)
    assert peer.scope.covers_group("front-desk")
    assert not peer.scope.covers_group("servers")
    assert peer.scope.covers(Grantable.SCREEN_VIEW)
    assert not peer.scope.covers(Grantable.INPUT_CONTROL)


def test_a_star_covers_everything_and_no_scope_covers_nothing():
    everything, nothing = Scope(frozenset("*"), frozenset("*")), Scope()
    assert everything.covers_group("any")
    assert everything.covers(Grantable.COMMANDS_RUN)
    assert not nothing.covers_group("any")
    assert not nothing.covers(Grantable.COMMANDS_RUN)


def test_a_verified_peer_checks_signatures_of_its_key_alone():
    ada, bob = acme().technician("ada"), acme().technician("bob")
    peer = verify(ada.chain)
    assert peer.verify_signature(ada.sign(b"nonce"), b"nonce")
    assert not peer.verify_signature(ada.sign(b"nonce"), b"other")
    assert not peer.verify_signature(bob.sign(b"nonce"), b"nonce")
    assert not peer.verify_signature(b"\x30garbage", b"nonce")


def test_only_the_verifier_makes_a_verified_peer():
    peer = verify(acme().technician().chain)
    with pytest.raises(WrongState):
        replace(peer, role=Role.ADMIN)
    with pytest.raises(WrongState):
        VerifiedPeer(**{name: getattr(peer, name) for name in VerifiedPeer.__slots__ if hasattr(peer, name)})


def test_a_root_tells_its_organisation_and_its_name():
    assert organisation_of_root(acme().root_der) == (acme().organisation_id, "Acme")


# roles (CRT-02)


@pytest.mark.parametrize("wanted", list(Role))
@pytest.mark.parametrize("role", PEOPLE)
def test_crt_02_only_the_role_that_was_asked_for_passes(role, wanted):
    identity = acme().person(role)
    if role is wanted:
        assert verify(identity.chain, roles={wanted}).role is role
    else:
        assert code_of(identity.chain, roles={wanted}) is C.E_CERT_ROLE


@pytest.mark.parametrize("wanted", PEOPLE)
def test_crt_02_a_device_does_not_pass_as_a_person(wanted):
    assert code_of(acme().device().chain, roles={wanted}) is C.E_CERT_ROLE


def test_crt_02_a_uri_of_another_role_than_the_key_usages_is_refused():
    lie = replace(forged.person(acme()), usages=(TLS_USAGES[Role.ADMIN], ROLE_OIDS[Role.ADMIN]))
    assert code_of([forged.signed_by_root(acme(), lie)]) is C.E_CERT_ROLE


@pytest.mark.parametrize(
    "usages",
    [
        (),
        (ExtendedKeyUsageOID.CLIENT_AUTH,),
        (ROLE_OIDS[Role.TECHNICIAN],),
        (ExtendedKeyUsageOID.SERVER_AUTH, ROLE_OIDS[Role.TECHNICIAN]),
        (ExtendedKeyUsageOID.CLIENT_AUTH, ROLE_OIDS[Role.TECHNICIAN], ROLE_OIDS[Role.ADMIN]),
        (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE),
    ],
    ids=["none", "tls-alone", "role-alone", "wrong-tls-side", "two-roles", "any-usage"],
)
def test_key_usages_that_are_not_exactly_one_roles_are_refused(usages):
    forgery = replace(forged.person(acme()), usages=usages)
    assert code_of([forged.signed_by_root(acme(), forgery)]) is C.E_CERT_ROLE


def test_an_enroller_cannot_make_a_technician():
    enroller = acme().enroller()
    made = forged.person(acme()).sign(enroller.certificate, enroller.key, new_key().public_key())
    assert code_of([made, der(enroller.certificate)]) is C.E_CERT_ROLE


def test_a_device_signed_by_the_root_itself_is_refused():
    key = new_key()
    made = forged.signed_by_root(acme(), forged.device(acme(), key), key)
    assert code_of([made]) is C.E_CERT_CHAIN


def test_a_technician_cannot_sign_anybody():
    ada, key = acme().technician("ada"), new_key()
    issuer = x509.load_der_x509_certificate(ada.chain[0])
    made = forged.device(acme(), key).sign(issuer, ada.key, key.public_key())
    assert code_of([made, *ada.chain]) is C.E_CERT_ROLE


def test_a_device_cannot_sign_another_device():
    device, key = acme().device(), new_key()
    issuer = x509.load_der_x509_certificate(device.chain[0])
    made = forged.device(acme(), key).sign(issuer, device.key, key.public_key())
    assert code_of([made, *device.chain]) is C.E_CERT_ROLE


# organisations (CRT-03)


@pytest.mark.parametrize("role", PEOPLE)
def test_crt_03_another_organisation_with_the_same_display_name_is_refused(role):
    assert intruders().display_name == acme().display_name
    assert code_of(intruders().person(role).chain) is C.E_CERT_ORG


def test_crt_03_a_device_of_another_organisation_is_refused():
    assert code_of(intruders().device().chain) is C.E_CERT_ORG


def test_crt_03_a_uri_that_claims_our_organisation_under_another_root_is_refused():
    assert code_of([forged.signed_by_root(intruders(), forged.person(acme()))]) is C.E_CERT_CHAIN


def test_crt_03_a_uri_of_another_organisation_under_our_root_is_refused():
    assert code_of([forged.signed_by_root(acme(), forged.person(intruders()))]) is C.E_CERT_ORG


# time (CRT-01, CRT-06, CRT-13)


@pytest.mark.parametrize("make", [Organisation.technician, Organisation.admin, Organisation.device])
@pytest.mark.parametrize(
    ("late_s", "code"), [(0, None), (300, None), (301, C.E_CERT_EXPIRED), (86_400, C.E_CERT_EXPIRED)]
)
def test_crt_01_a_certificate_is_refused_once_it_is_over_by_more_than_the_skew(make, late_s, code):
    identity = make(acme())
    now = identity.not_after + timedelta(seconds=late_s)
    if code is None:
        assert verify(identity.chain, now=now).subject_id == identity.subject_id
    else:
        assert code_of(identity.chain, now=now) is code


@pytest.mark.parametrize(("early_s", "code"), [(300, None), (301, C.E_CERT_NOT_YET)])
def test_crt_06_a_certificate_is_refused_before_its_start_less_the_skew(early_s, code):
    start = acme().now.replace(microsecond=0) + timedelta(hours=1)
    forgery = replace(forged.person(acme()), not_before=start)
    chain = [forged.signed_by_root(acme(), forgery)]
    now = start - timedelta(seconds=early_s)
    if code is None:
        assert verify(chain, now=now).not_before == start
    else:
        assert code_of(chain, now=now) is code


@pytest.mark.parametrize("year", [2038, 2049, 2050, 9999])
def test_crt_06_far_away_ends_are_read_and_bounded_by_the_lifetime_limit(year):
    forgery = replace(forged.person(acme()), not_after=datetime(year, 12, 31, tzinfo=UTC))
    chain = [forged.signed_by_root(acme(), forgery)]
    assert verify(chain).not_after.year == year
    assert code_of(chain, lifetime_limit=timedelta(days=30)) is C.E_CERT_LIFETIME


def test_a_technician_of_exactly_the_longest_life_passes():
    chain = acme().technician(lifetime=timedelta(days=7)).chain
    assert verify(chain, lifetime_limit=timedelta(days=7)).role is Role.TECHNICIAN
    assert code_of(chain, lifetime_limit=timedelta(days=6)) is C.E_CERT_LIFETIME


def test_a_device_whose_start_is_after_the_tokens_last_day_is_refused():
    until = acme().now + timedelta(hours=1)
    enroller, key = acme().enroller(join_until=until), new_key()
    late = replace(
        forged.device(acme(), key),
        not_before=until + timedelta(seconds=2),
        not_after=until + timedelta(days=9),
    )
    made = late.sign(enroller.certificate, enroller.key, key.public_key())
    assert code_of([made, der(enroller.certificate)], now=until + timedelta(days=1)) is C.E_CERT_LIFETIME


def test_a_device_goes_on_long_after_its_tokens_last_day():
    device = acme().device(enroller=acme().enroller(join_until=acme().now + timedelta(hours=1)))
    assert verify(device.chain, now=acme().now + timedelta(days=700)).role is Role.DEVICE


def test_a_device_that_gives_itself_more_than_two_years_is_refused():
    enroller, key = acme().enroller(), new_key()
    greedy = replace(forged.device(acme(), key), not_after=acme().now + timedelta(days=1000))
    made = greedy.sign(enroller.certificate, enroller.key, key.public_key())
    assert code_of([made, der(enroller.certificate)]) is C.E_CERT_LIFETIME


def test_everything_ends_with_the_root():
    old = Organisation(now=acme().now - timedelta(days=21 * 366))
    chain = [forged.signed_by_root(old, replace(forged.person(old), not_after=datetime(9999, 1, 1)))]
    assert code_of(chain, old, now=acme().now) is C.E_CERT_EXPIRED


# chains (CRT-09)


def test_crt_12_a_device_with_the_key_of_its_enroller_is_refused():
    enroller = acme().enroller()
    made = forged.device(acme(), enroller.key).sign(
        enroller.certificate, enroller.key, enroller.key.public_key()
    )
    assert code_of([made, der(enroller.certificate)]) is C.E_CERT_ROLE


def test_an_empty_chain_is_refused():
    assert code_of([]) is C.E_CERT_CHAIN


def test_crt_09_a_chain_of_a_hundred_is_refused_before_any_of_it_is_read():
    assert code_of([b"not even a certificate"] * 100) is C.E_CERT_CHAIN


def test_crt_09_a_huge_certificate_is_refused():
    assert code_of([b"\x30\x84\x00\xa0\x00\x00" + bytes(10_000)]) is C.E_CERT_FORMAT


def test_the_device_without_its_enroller_is_refused():
    assert code_of(acme().device().chain[:1]) is C.E_CERT_CHAIN


def test_crt_09_the_enroller_of_another_device_is_refused():
    one, two = acme().device(), acme().device()
    assert code_of([one.chain[0], two.chain[1]]) is C.E_CERT_CHAIN


@pytest.mark.parametrize("extra", [1, 2])
def test_crt_09_certificates_beyond_the_chain_are_refused(extra):
    device = acme().device()
    assert code_of([*device.chain, *[device.chain[1]] * extra]) is C.E_CERT_CHAIN
    assert code_of([*acme().technician().chain, device.chain[1]]) is C.E_CERT_CHAIN


def test_a_root_within_the_chain_is_refused():
    assert code_of([*acme().device().chain, acme().root_der]) is C.E_CERT_CHAIN
    assert code_of([acme().root_der]) is C.E_CERT_CHAIN


@pytest.mark.parametrize("path_length", [None, 1])
def test_an_enroller_of_a_longer_path_is_refused(path_length):
    key, device_key = new_key(), new_key()
    terms = utf8_string(b'{"group":"default","is_bulk":false,"join_until_s":4000000000,"uses_limit":0}')
    forgery = replace(
        forged.authority(acme(), forged.person(acme(), Role.ENROLLER, "e-1")),
        path_length=path_length,
        extensions=((x509.UnrecognizedExtension(ENROLLER_OID, terms), False),),
    )
    enroller = x509.load_der_x509_certificate(forged.signed_by_root(acme(), forgery, key))
    made = forged.device(acme(), device_key).sign(enroller, key, device_key.public_key())
    assert code_of([made, der(enroller)]) in (C.E_CERT_ROLE, C.E_CERT_FORMAT)


def test_an_enroller_without_terms_is_refused():
    key, device_key = new_key(), new_key()
    forgery = forged.authority(acme(), forged.person(acme(), Role.ENROLLER, "e-1"))
    enroller = x509.load_der_x509_certificate(forged.signed_by_root(acme(), forgery, key))
    made = forged.device(acme(), device_key).sign(enroller, key, device_key.public_key())
    assert code_of([made, der(enroller)]) is C.E_CERT_ROLE


def test_a_root_that_did_not_sign_itself_is_refused():
    other, _ = make_root("Acme", now=acme().now)
    forgery = forged.authority(acme(), replace(forged.person(acme()), uris=(), usages=()))
    crossed = replace(forgery, path_length=1).sign(other, acme().root_key, new_key().public_key())
    with pytest.raises(CertificateRefused):
        organisation_of_root(crossed)


# garbage


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=400), max_size=6))
def test_crt_11_noise_is_refused_and_never_crashes_the_verifier(chain):
    with pytest.raises(CertificateRefused):
        verify(chain)


FLIPPED = acme().device()


@settings(max_examples=400)
@given(st.data())
def test_crt_11_every_single_changed_byte_of_a_valid_chain_is_refused(data):
    index = data.draw(st.integers(0, 1))
    chain = [bytearray(certificate) for certificate in FLIPPED.chain]
    position = data.draw(st.integers(0, len(chain[index]) - 1))
    chain[index][position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CertificateRefused):
        verify([bytes(certificate) for certificate in chain])


@settings(max_examples=150)
@given(st.data())
def test_every_single_changed_byte_of_the_root_refuses_everybody(data):
    root = bytearray(acme().root_der)
    root[data.draw(st.integers(0, len(root) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CertificateRefused):
        verify_chain(FLIPPED.chain, bytes(root), roles=set(Role), now=acme().now)


@settings(max_examples=150)
@given(st.data())
def test_a_cut_certificate_is_refused(data):
    leaf, enroller = FLIPPED.chain
    cut = data.draw(st.integers(0, len(leaf) - 1))
    with pytest.raises(CertificateRefused):
        verify([leaf[:cut], enroller])
