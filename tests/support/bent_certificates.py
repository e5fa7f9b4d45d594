"""Chains that can be bent anywhere and are signed anew, byte for byte the same for the same seed.

Real certificates of ours are the templates: made by `issue`, taken apart, given fixed keys and serials.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol.certificates import (
    DEVICE_LIFETIME,
    EnrollerTerms,
    Role,
    RootTerms,
    Scope,
    Subject,
    issue,
    make_root,
    spki,
)
from protocol.ids import SubjectId, device_id, organisation_id
from tests.support import der
from tests.support.der import Node
from tests.support.organisation import der as der_of

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
FIRST, LATER, TWIN = "acme", "acme later", "twin"
CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ECDSA_SHA256 = der.constructed(der.SEQUENCE, der.oid("1.2.840.10045.4.3.2"))

SKI, KEY_USAGE, SAN, BASIC = "2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19"
AKI, EKU = "2.5.29.35", "2.5.29.37"


def fixed_key(name: str) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of this name."""
    secret = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") % (CURVE_ORDER - 1) + 1
    return ec.derive_private_key(secret, ec.SECP256R1())


def signature_over(key: Any, signed: bytes) -> bytes:
    """The same signature each time."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(signed)
    return signature_over(fixed_key("another"), signed)


@dataclass
class Bent:
    """One certificate as a tree. `signer` signs it when it is rendered, unless `signature` is set.

    `after_signing` change the bytes; `in_signed_part` change the bytes that are signed.
    """

    tree: Node
    key: Any
    signer: Any
    signature: bytes | None = None
    in_signed_part: list[Callable[[bytes], bytes]] = field(default_factory=list)
    bend_signature: list[Callable[[bytes], bytes]] = field(default_factory=list)
    after_signing: list[Callable[[bytes], bytes]] = field(default_factory=list)

    def copy(self) -> "Bent":
        """A copy that can be bent by itself."""
        return Bent(self.tree.copy(), self.key, self.signer, self.signature)

    @property
    def signed_part(self) -> Node:
        """TBSCertificate (RFC 5280, 4.1)."""
        return self.tree.parts[0]

    @property
    def members(self) -> list[Node]:
        """version, serial, algorithm, issuer, validity, subject, key, extensions."""
        return self.signed_part.parts

    @property
    def extensions(self) -> list[Node]:
        """Each of them a sequence of an identifier, perhaps a boolean, and the value."""
        return self.members[-1].parts[0].parts

    def extension(self, dotted: str) -> Node | None:
        """The first extension with this identifier."""
        wanted = der.oid(dotted).content
        return next((one for one in self.extensions if one.parts[0].content == wanted), None)

    def set_extension(self, dotted: str, value: bytes, *, is_critical: bool | None = None) -> None:
        """Replace the extension, or add it at the end; None keeps the criticality that it had."""
        there = self.extension(dotted)
        if there is None:
            there = der.constructed(der.SEQUENCE, der.oid(dotted), Node(der.OCTET_STRING))
            self.extensions.append(there)
        there.parts[-1] = Node(der.OCTET_STRING, value)
        if is_critical is not None:
            flag = [Node(der.BOOLEAN, b"\xff")] if is_critical else []
            there.parts = [there.parts[0], *flag, there.parts[-1]]

    def drop_extension(self, dotted: str) -> None:
        """Take it away."""
        wanted = der.oid(dotted).content
        self.extensions[:] = [one for one in self.extensions if one.parts[0].content != wanted]

    def set_key(self, key: Any) -> None:
        """Another key, with the identifier that belongs to it."""
        self.key = key
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.members[6] = der.read(public)
        if self.extension(SKI) is not None:
            self.set_extension(SKI, bytes((der.OCTET_STRING, 20)) + key_identifier(public))

    def render(self) -> bytes:
        """The certificate as bytes."""
        signed = self.signed_part.encode()
        for change in self.in_signed_part:
            signed = change(signed)
        signature = signature_over(self.signer, signed) if self.signature is None else self.signature
        for change in self.bend_signature:
            signature = change(signature)
        algorithm = self.tree.parts[1].encode()
        whole = Node(self.tree.tag | der.CONSTRUCTED, length_form=self.tree.length_form)
        inner = signed + algorithm + Node(der.BIT_STRING, b"\0" + signature).encode()
        encoded = _wrapped(whole, inner)
        for change in self.after_signing:
            encoded = change(encoded)
        return encoded


def _wrapped(outer: Node, inner: bytes) -> bytes:
    """The inner bytes as they are, in an element of the outer's tag and form of length."""
    primitive = Node(outer.tag & ~der.CONSTRUCTED, inner, length_form=outer.length_form)
    encoded = primitive.encode()
    return bytes((outer.tag,)) + encoded[1:]


def key_identifier(spki_der: bytes) -> bytes:
    """RFC 5280, 4.2.1.2, method 1."""
    bits = der.read(spki_der).parts[1].content[1:]
    return hashlib.sha1(bits, usedforsecurity=False).digest()


@dataclass
class Case:
    """A chain to be judged: leaf first, then authorities; the root beside it."""

    role: Role
    chain: list[Bent]
    root: Bent
    now: datetime = NOW
    labels: list[str] = field(default_factory=list)
    rendered: Callable[[list[bytes]], list[bytes]] | None = None

    def copy(self) -> "Case":
        """A copy that can be bent by itself."""
        return Case(self.role, [bent.copy() for bent in self.chain], self.root.copy())

    def chain_der(self) -> tuple[bytes, ...]:
        """The chain as it is sent."""
        certificates = [bent.render() for bent in self.chain]
        return tuple(self.rendered(certificates) if self.rendered else certificates)

    def parts(self) -> list[Bent]:
        """All certificates, leaf first, root last."""
        return [*self.chain, self.root]


class Company:
    """An organisation with fixed keys; every certificate of it is a template to be copied."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root_key = fixed_key(f"{name} root")
        before = company(FIRST) if name == LATER else None
        template, template_key = make_root("Acme", now=NOW - timedelta(days=30), terms=_terms(name, before))
        root = Bent(der.read(der_of(template)), template_key, template_key)
        root.set_key(self.root_key)
        root.signer = self.root_key
        own = key_identifier(spki(self.root_key.public_key()))
        root.set_extension(AKI, bytes((der.SEQUENCE, 22, 0x80, 20)) + own)
        self.root = self._fixed(root, "root")
        self.root_certificate = x509.load_der_x509_certificate(self.root.render())

    def _fixed(self, bent: Bent, name: str) -> Bent:
        digest = hashlib.sha256(f"{self.name} {name} serial".encode()).digest()
        bent.members[1] = der.integer(int.from_bytes(digest[:15], "big") | 1)
        return bent

    def _issued(
        self, subject: Subject, key: Any, issuer: x509.Certificate, issuer_key: Any, lifetime: timedelta
    ) -> Bent:
        made = issue(issuer, issuer_key, subject, key.public_key(), now=NOW, lifetime=lifetime)
        return self._fixed(
            Bent(der.read(der_of(made)), key, issuer_key), f"{subject.role} {subject.subject_id}"
        )

    def person(self, role: Role) -> Case:
        """An admin, technician or policy signer, with a scope where the role has one."""
        return _template(self.name, role).copy()

    def enroller(self) -> Bent:
        """What a join token carries."""
        return _template(self.name, Role.ENROLLER).chain[0].copy()

    def device(self) -> Case:
        """A device under its enroller."""
        return _template(self.name, Role.DEVICE).copy()

    def _person(self, role: Role) -> Case:
        key = fixed_key(f"{self.name} {role}")
        scope = Scope(frozenset({"front-desk", "servers"}), frozenset({"screen.view", "input.control"}))
        subject = Subject(role, SubjectId("ada"), "Ada", scope if role is Role.TECHNICIAN else Scope())
        made = self._issued(subject, key, self.root_certificate, self.root_key, timedelta(days=7))
        return Case(role, [made], self.root.copy())

    def _enroller(self) -> Case:
        key = fixed_key(f"{self.name} enroller")
        terms = EnrollerTerms(NOW + timedelta(days=1), 5, is_bulk=False, group="front-desk")
        subject = Subject(Role.ENROLLER, SubjectId("e-1"), "Join token", enroller=terms)
        made = self._issued(subject, key, self.root_certificate, self.root_key, timedelta(days=800))
        return Case(Role.ENROLLER, [made], self.root.copy())

    def _device(self) -> Case:
        enroller = self.enroller()
        key = fixed_key(f"{self.name} device")
        subject = Subject(Role.DEVICE, SubjectId(device_id(spki(key.public_key()))), "reception-pc")
        above = x509.load_der_x509_certificate(enroller.render())
        leaf = self._issued(subject, key, above, enroller.key, DEVICE_LIFETIME)
        return Case(Role.DEVICE, [leaf, enroller], self.root.copy())

    def make(self, role: Role) -> Case:
        """A template of this role."""
        return {Role.DEVICE: self._device, Role.ENROLLER: self._enroller}.get(
            role, lambda: self._person(role)
        )()


def _terms(name: str, before: Company | None) -> RootTerms:
    recovery = hashlib.sha256(spki(fixed_key(f"{name} kit").public_key())).hexdigest()
    if before is None:
        return RootTerms(recovery)
    root = before.root_certificate.public_bytes(Encoding.DER)
    organisation = organisation_id(spki(before.root_key.public_key()))
    return RootTerms(recovery, 1, organisation, hashlib.sha256(root).hexdigest())


@cache
def company(name: str = FIRST) -> Company:
    """ "acme", its successor root "acme later", and "twin", which bears the same display name."""
    return Company(name)


@cache
def _template(name: str, role: Role) -> Case:
    return company(name).make(role)


def fresh_case(rng: Random) -> Case:
    """A right chain of a role, under the first root or the later one, to be bent."""
    role = rng.choice([*Role, Role.DEVICE])
    return _template(rng.choice([FIRST, LATER]), role).copy()
