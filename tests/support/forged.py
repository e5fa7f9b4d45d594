"""Certificates that our own issuing would refuse to make."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from protocol.certificate_profile import ROLE_OIDS, TLS_USAGES, spki
from protocol.certificates import Role
from protocol.identity import Identity
from protocol.ids import device_id
from tests.support.organisation import Organisation, der, new_key


@dataclass(frozen=True)
class Forgery:
    """What goes into the certificate; change members with `dataclasses.replace`."""

    uris: tuple[str, ...]
    usages: tuple[x509.ObjectIdentifier, ...]
    not_before: datetime
    not_after: datetime
    name: str = "Somebody"
    is_authority: bool = False
    path_length: int | None = None
    may_sign_certificates: bool = False
    may_sign: bool = True
    issuer_name: x509.Name | None = None
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    hash_algorithm: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)

    def sign(self, issuer: x509.Certificate, issuer_key: Any, public_key: Any) -> bytes:
        """The certificate as DER."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = (
            x509.CertificateBuilder(subject_name=name, issuer_name=self.issuer_name or issuer.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
            .add_extension(x509.BasicConstraints(self.is_authority, self.path_length), critical=True)
            .add_extension(self._key_usage(), critical=True)
        )
        if self.usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.usages), critical=False)
        if self.uris:
            uris = [x509.UniformResourceIdentifier(uri) for uri in self.uris]
            builder = builder.add_extension(x509.SubjectAlternativeName(uris), critical=False)
        given = {type(extension) for extension, _ in self.extensions}
        identifiers = [one for one in key_identifiers(issuer_key, public_key) if type(one[0]) not in given]
        for extension, is_critical in (*identifiers, *self.extensions):
            builder = builder.add_extension(extension, critical=is_critical)
        return builder.sign(issuer_key, self.hash_algorithm).public_bytes(Encoding.DER)

    def _key_usage(self) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=self.may_sign,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=self.may_sign_certificates,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )


def person(organisation: Organisation, role: Role = Role.TECHNICIAN, subject: str = "ada") -> Forgery:
    """A forgery that is right in everything, for a person signed by the root."""
    return Forgery(
        uris=(f"alongside://{organisation.organisation_id}/{role}/{subject}",),
        usages=(TLS_USAGES[role], ROLE_OIDS[role]),
        not_before=organisation.now - timedelta(minutes=1),
        not_after=organisation.now + timedelta(days=1),
    )


def device(organisation: Organisation, key: ec.EllipticCurvePrivateKey) -> Forgery:
    """A forgery that is right in everything, for a device signed by an enroller."""
    return person(organisation, Role.DEVICE, device_id(spki(key.public_key())))


def signed_by_root(organisation: Organisation, forgery: Forgery, key: Any = None) -> bytes:
    """The forgery with the root's real signature, for this key or a fresh one."""
    key = key or new_key()
    return forgery.sign(organisation.root, organisation.root_key, key.public_key())


def authority(organisation: Organisation, forgery: Forgery) -> Forgery:
    """The same forgery as a CA that may sign one level."""
    return replace(
        forgery, is_authority=True, path_length=0, may_sign_certificates=True, may_sign=False, name="CA"
    )


def resigned(certificate_der: bytes, old: bytes, new: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The certificate with bytes of its signed part replaced (same length) and a right signature again."""
    certificate = x509.load_der_x509_certificate(certificate_der)
    tbs = certificate.tbs_certificate_bytes
    assert len(old) == len(new)
    assert tbs.count(old) == 1
    changed = tbs.replace(old, new)
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    signature = b"\0" + key.sign(changed, ec.ECDSA(hashes.SHA256()))
    return _tlv(0x30, changed + algorithm + _tlv(0x03, signature))


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes((tag, length)) + content
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(encoded))) + encoded + content


def key_identifiers(issuer_key: Any, public_key: Any) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    """The two extensions without which a certificate is refused for their sake alone."""
    return (
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
    )


def expired_technician(organisation: Organisation) -> Identity:
    """A technician whose certificate was good until yesterday."""
    key = new_key()
    forgery = _over(person(organisation))
    return Identity(key, (signed_by_root(organisation, forgery, key),), organisation.root_der)


def expired_device(organisation: Organisation) -> Identity:
    """A device whose certificate was good until yesterday, with an enroller that still is."""
    enroller, key = organisation.enroller(), new_key()
    forgery = _over(device(organisation, key))
    signed = forgery.sign(enroller.certificate, enroller.key, key.public_key())
    return Identity(key, (signed, der(enroller.certificate)), organisation.root_der)


def _over(forgery: Forgery) -> Forgery:
    return replace(
        forgery,
        not_before=forgery.not_before - timedelta(days=3),
        not_after=forgery.not_before - timedelta(days=1),
    )
