"""The shape of a certificate: one spelling of each, and nothing that another verifier reads differently."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import crypto

from protocol.certificate_profile import ROLE_OIDS, SCOPE_OID, TLS_USAGES, utf8_string
from protocol.certificates import EnrollerTerms, Role, Scope, Subject, issue, spki
from protocol.errors import CertificateRefused, ErrorCode
from protocol.ids import SubjectId, device_id
from tests.support import forged
from tests.support.organisation import acme, der, new_key
from tests.support.verifying import code_of, verify

C = ErrorCode


# shapes (CRT-10, CRT-11, CRT-12)


def uri_of(organisation, rest):
    return f"alongside://{organisation.organisation_id}/{rest}"


@pytest.mark.parametrize(
    "uris",
    [
        (),
        (uri_of(acme(), "technician/ada"), uri_of(acme(), "technician/bob")),
        (uri_of(acme(), "technician/ada"), uri_of(acme(), "technician/ada")),
        ("https://example.com/technician/ada",),
        (uri_of(acme(), "technician/ada\0.evil"),),
        (uri_of(acme(), "technician/*"),),
        (uri_of(acme(), "technician/Ada"),),
        (uri_of(acme(), "technician/ada/more"),),
        (uri_of(acme(), "superuser/ada"),),
        (uri_of(acme(), "technician/ada\n"),),
        (uri_of(acme(), "technician/" + "a" * 65),),
    ],
)
def test_crt_10_anything_but_exactly_one_uri_of_ours_is_refused(uris):
    forgery = replace(forged.person(acme()), uris=uris)
    assert code_of([forged.signed_by_root(acme(), forgery)]) is C.E_CERT_FORMAT


def test_crt_10_a_dns_name_beside_the_uri_is_refused():
    names = [
        x509.UniformResourceIdentifier(uri_of(acme(), "technician/ada")),
        x509.DNSName("ada.example"),
    ]
    forgery = replace(
        forged.person(acme()), uris=(), extensions=((x509.SubjectAlternativeName(names), False),)
    )
    assert code_of([forged.signed_by_root(acme(), forgery)]) is C.E_CERT_FORMAT


def test_crt_10_the_same_extension_twice_is_refused():
    stand_in = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.99"), b"\x30\x00")
    once = forged.signed_by_root(acme(), replace(forged.person(acme()), extensions=((stand_in, False),)))
    twice = forged.resigned(once, bytes.fromhex("0603551d63"), bytes.fromhex("0603551d11"), acme().root_key)
    assert code_of([twice]) is C.E_CERT_FORMAT


@pytest.mark.parametrize(("is_critical", "is_accepted"), [(True, False), (False, True)])
def test_crt_10_an_unknown_private_extension_is_refused_when_it_is_critical(is_critical, is_accepted):
    extension = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    forgery = replace(forged.person(acme()), extensions=((extension, is_critical),))
    chain = [forged.signed_by_root(acme(), forgery)]
    if is_accepted:
        assert verify(chain).subject_id == "ada"
    else:
        assert code_of(chain) is C.E_CERT_FORMAT


def test_a_standard_extension_that_others_would_enforce_is_refused():
    constraints = x509.NameConstraints([x509.DNSName("example.com")], None)
    forgery = replace(forged.person(acme()), extensions=((constraints, False),))
    assert code_of([forged.signed_by_root(acme(), forgery)]) is C.E_CERT_FORMAT


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["p384", "rsa"],
)
def test_a_key_that_is_not_p256_is_refused(key):
    assert code_of([forged.signed_by_root(acme(), forged.person(acme()), key)]) is C.E_CERT_FORMAT


def test_a_signature_with_another_hash_is_refused():
    forgery = replace(forged.person(acme()), hash_algorithm=hashes.SHA384())
    assert code_of([forged.signed_by_root(acme(), forgery)]) is C.E_CERT_FORMAT


@pytest.mark.parametrize(
    "changes",
    [
        {"is_authority": True, "path_length": 0, "may_sign_certificates": True, "may_sign": False},
        {"may_sign_certificates": True},
        {"may_sign": False},
    ],
    ids=["ca", "cert-sign", "no-signature"],
)
def test_a_person_with_the_key_usage_of_an_authority_is_refused(changes):
    forgery = replace(forged.person(acme()), **changes)
    assert code_of([forged.signed_by_root(acme(), forgery)]) in (C.E_CERT_FORMAT, C.E_CERT_ROLE)


def test_crt_11_a_negative_serial_is_refused():
    good = forged.signed_by_root(acme(), forged.person(acme()))
    serial = x509.load_der_x509_certificate(good).serial_number
    encoded = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    negative = bytes([encoded[0] | 0x80]) + encoded[1:]
    assert code_of([forged.resigned(good, encoded, negative, acme().root_key)]) is C.E_CERT_FORMAT


def test_crt_11_bytes_after_the_certificate_are_refused():
    leaf, *rest = acme().device().chain
    assert code_of([leaf + b"\0", *rest]) is C.E_CERT_FORMAT


def test_crt_11_an_indefinite_length_is_refused():
    leaf, *rest = acme().device().chain
    assert code_of([b"\x30\x80" + leaf[4:] + b"\0\0", *rest]) is C.E_CERT_FORMAT


def test_crt_11_a_signature_that_leaves_its_last_bit_out_is_refused():
    chains = (acme().device().chain for _ in range(200))
    leaf, *rest = next(chain for chain in chains if chain[0][-1] % 2 == 0)
    signature = x509.load_der_x509_certificate(leaf).signature
    spelled_otherwise = leaf[: -len(signature) - 1] + b"\x01" + signature
    assert x509.load_der_x509_certificate(spelled_otherwise).signature == signature
    assert code_of([spelled_otherwise, *rest]) is C.E_CERT_FORMAT


@pytest.mark.parametrize(
    "content",
    [
        b'{"grantables":[],"groups":["a"],"more":1}',
        b'{"grantables":[], "groups":["a"]}',
        b'{"groups":["a"],"grantables":[]}',
        b'{"grantables":[],"groups":["b"],"groups":["a"]}',
        b'{"grantables":[],"groups":["b","a"]}',
        b'{"grantables":[],"groups":["../etc"]}',
        b"[]",
        b"\xff",
        b"",
    ],
)
def test_a_scope_that_is_not_the_one_canonical_spelling_is_refused(content):
    extension = x509.UnrecognizedExtension(SCOPE_OID, utf8_string(content))
    forgery = replace(forged.person(acme()), extensions=((extension, False),))
    assert code_of([forged.signed_by_root(acme(), forgery)]) in (C.E_CERT_FORMAT, C.E_CERT_SCOPE)


def test_a_device_that_gives_itself_a_scope_is_refused():
    enroller, key = acme().enroller(), new_key()
    content = utf8_string(b'{"grantables":["*"],"groups":["*"]}')
    forgery = replace(
        forged.device(acme(), key),
        extensions=((x509.UnrecognizedExtension(SCOPE_OID, content), False),),
    )
    made = forgery.sign(enroller.certificate, enroller.key, key.public_key())
    assert code_of([made, der(enroller.certificate)]) is C.E_CERT_SCOPE


def test_crt_12_a_device_with_the_id_of_another_key_is_refused():
    enroller, key = acme().enroller(), new_key()
    made = forged.device(acme(), new_key()).sign(enroller.certificate, enroller.key, key.public_key())
    assert code_of([made, der(enroller.certificate)]) is C.E_CERT_SUBJECT


# issuing refuses what verifying would refuse


def test_crt_12_a_key_cannot_be_given_a_second_role_by_itself():
    subject = Subject(Role.TECHNICIAN, SubjectId("ada"), "Ada")
    with pytest.raises(CertificateRefused):
        issue(
            acme().root,
            acme().root_key,
            subject,
            acme().root_key.public_key(),
            now=acme().now,
            lifetime=timedelta(days=1),
        )


@pytest.mark.parametrize(
    "subject",
    [
        Subject(Role.DEVICE, SubjectId("d-" + "a" * 20), "PC"),
        Subject(Role.ENROLLER, SubjectId("e-1"), "Token"),
        Subject(Role.TECHNICIAN, SubjectId("Ada Lovelace"), "Ada"),
        Subject(Role.TECHNICIAN, SubjectId("ada"), "Ada", Scope(frozenset({"no such/group"}))),
        Subject(
            Role.TECHNICIAN,
            SubjectId("ada"),
            "Ada",
            enroller=EnrollerTerms(acme().now, 1, False, "default"),
        ),
    ],
)
def test_the_root_issues_nothing_that_would_not_be_accepted(subject):
    with pytest.raises(CertificateRefused):
        issue(
            acme().root,
            acme().root_key,
            subject,
            new_key().public_key(),
            now=acme().now,
            lifetime=timedelta(days=1),
        )


def test_a_device_certificate_ends_with_its_enroller_at_the_latest():
    enroller, key = acme().enroller(), new_key()
    subject = Subject(Role.DEVICE, SubjectId(device_id(spki(key.public_key()))), "PC")
    made = issue(
        enroller.certificate,
        enroller.key,
        subject,
        key.public_key(),
        now=acme().now,
        lifetime=timedelta(days=99_999),
    )
    assert made.not_valid_after_utc == enroller.certificate.not_valid_after_utc


def test_a_name_with_direction_tricks_is_shown_plainly():
    assert verify(acme().device("pc\u202egnp.exe").chain).name == "pc\ufffdgnp.exe"


# beside OpenSSL (CRT-18)


def openssl_accepts(chain):
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(acme().root))
    store.set_time(acme().now)
    leaf, *authorities = [
        crypto.X509.from_cryptography(x509.load_der_x509_certificate(certificate)) for certificate in chain
    ]
    try:
        crypto.X509StoreContext(store, leaf, authorities).verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True


DAYS = st.integers(-3, 3)
VARIANTS = st.fixed_dictionaries(
    {},
    optional={
        "not_before": DAYS.map(lambda days: acme().now + timedelta(days=days - 3)),
        "not_after": DAYS.map(lambda days: acme().now + timedelta(days=days + 3, hours=1)),
        "is_authority": st.booleans(),
        "may_sign_certificates": st.booleans(),
        "may_sign": st.booleans(),
        "usages": st.lists(
            st.sampled_from([*ROLE_OIDS.values(), *set(TLS_USAGES.values())]), max_size=3, unique=True
        ).map(tuple),
    },
)


@settings(max_examples=200)
@given(VARIANTS, st.sampled_from(list(Role)), st.sampled_from(["root", "enroller", "person", "device"]))
def test_ours_never_accepts_what_openssl_refuses(changes, role, issued_by):
    key = new_key()
    forgery = forged.device(acme(), key) if role is Role.DEVICE else forged.person(acme(), role)
    issuer, issuer_key, above = ISSUERS[issued_by]
    made = replace(forgery, **changes).sign(issuer, issuer_key, key.public_key())
    try:
        verify([made, *above])
    except CertificateRefused:
        return
    assert openssl_accepts([made, *above])


def _issuers():
    enroller, person, device = acme().enroller(), acme().technician(), acme().device()
    load = x509.load_der_x509_certificate
    return {
        "root": (acme().root, acme().root_key, ()),
        "enroller": (enroller.certificate, enroller.key, (der(enroller.certificate),)),
        "person": (load(person.chain[0]), person.key, person.chain),
        "device": (load(device.chain[0]), device.key, device.chain),
    }


ISSUERS = _issuers()


@pytest.mark.parametrize("role", [Role.ADMIN, Role.TECHNICIAN, Role.POLICY])
def test_what_we_issue_is_accepted_by_openssl_too(role):
    assert openssl_accepts(acme().person(role).chain)
    assert openssl_accepts(acme().device().chain)
