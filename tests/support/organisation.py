"""A throw-away organisation with one identity of every role, and more on request."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.certificates import (
    DEVICE_LIFETIME,
    EnrollerTerms,
    Role,
    Scope,
    Subject,
    issue,
    make_root,
    spki,
)
from protocol.envelope import sign_envelope
from protocol.identity import Identity
from protocol.ids import OrganisationId, SubjectId, device_id, organisation_id
from protocol.join_token import TokenTerms, join, make_token, read_token
from protocol.policy import POLICY_TYPE, default_policy
from protocol.succession import make_successor, recovery_terms, sign_step

EVERYTHING = Scope(frozenset({"*"}), frozenset({"*"}))
PEOPLE_LIFETIME = timedelta(days=7)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def der(certificate: x509.Certificate) -> bytes:
    """The certificate as DER."""
    return certificate.public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Enroller:
    """What a join token carries: a certificate that signs devices, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Organisation:
    """Root and issuing. `now` is when everything was made; it is the real time unless given."""

    def __init__(self, display_name: str = "Acme", *, now: datetime | None = None) -> None:
        self.now = now or datetime.now(UTC)
        self.display_name = display_name
        self.recovery_key = new_key()
        terms = recovery_terms(self.recovery_key.public_key())
        self.root, self.root_key = make_root(display_name, now=self.now, terms=terms)
        self.root_der = der(self.root)
        self.organisation_id: OrganisationId = organisation_id(spki(self.root_key.public_key()))

    def successor(self, *, now: datetime | None = None) -> tuple["Organisation", bytes]:
        """The same organisation after its recovery kit was used, and the step to its new root."""
        later = Organisation(self.display_name, now=now or self.now)
        later.root, later.root_key = make_successor(
            self.root_der, self.recovery_key, later.recovery_key.public_key(), now=later.now
        )
        later.root_der, later.organisation_id = der(later.root), self.organisation_id
        return later, sign_step(self.root_der, later.root_der, self.recovery_key).envelope

    def person(
        self,
        role: Role,
        name: str = "ada",
        *,
        scope: Scope = EVERYTHING,
        now: datetime | None = None,
        lifetime: timedelta = PEOPLE_LIFETIME,
    ) -> Identity:
        """An admin, technician or policy identity."""
        key = new_key()
        subject = Subject(role, SubjectId(name), name.title(), scope)
        made = issue(
            self.root, self.root_key, subject, key.public_key(), now=now or self.now, lifetime=lifetime
        )
        return Identity(key, (der(made),), self.root_der)

    def technician(self, name: str = "ada", **terms: object) -> Identity:
        """A technician who may ask for everything everywhere, unless `scope` says less."""
        return self.person(Role.TECHNICIAN, name, **terms)  # type: ignore[arg-type]  # keywords of `person`

    def admin(self, name: str = "olga") -> Identity:
        """An admin."""
        return self.person(Role.ADMIN, name)

    def policy_signer(self) -> Identity:
        """The identity that signs policies."""
        return self.person(Role.POLICY, "policy", lifetime=timedelta(days=365))

    def enroller(
        self,
        group: str = "default",
        *,
        uses_limit: int = 0,
        is_bulk: bool = False,
        join_until: datetime | None = None,
    ) -> Enroller:
        """What a join token is made around."""
        key = new_key()
        terms = EnrollerTerms(join_until or self.now + timedelta(days=1), uses_limit, is_bulk, group)
        subject = Subject(Role.ENROLLER, SubjectId("e-test"), "Join token", enroller=terms)
        made = issue(
            self.root,
            self.root_key,
            subject,
            key.public_key(),
            now=self.now,
            lifetime=timedelta(days=3000),
        )
        return Enroller(made, key)

    def device(
        self, name: str = "reception-pc", *, enroller: Enroller | None = None, group: str = "default"
    ) -> Identity:
        """A device, joined under this enroller or under a fresh one of the group."""
        enroller = enroller or self.enroller(group)
        key = new_key()
        subject = Subject(Role.DEVICE, SubjectId(device_id(spki(key.public_key()))), name)
        made = issue(
            enroller.certificate,
            enroller.key,
            subject,
            key.public_key(),
            now=self.now,
            lifetime=DEVICE_LIFETIME,
        )
        return Identity(key, (der(made), der(enroller.certificate)), self.root_der)

    def token_terms(self, **changes: object) -> TokenTerms:
        """Terms of a token for one device within a day, unless something else is said."""
        terms = TokenTerms("https://relay.example", "relay-1", "default", self.now + timedelta(days=1))
        return replace(terms, **changes)  # type: ignore[arg-type]  # members of `TokenTerms`

    def token(self, **changes: object) -> str:
        """A join token, as an admin hands it out."""
        return make_token(self.root, self.root_key, self.token_terms(**changes), now=self.now)

    def joined_device(self, name: str = "reception-pc", **changes: object) -> Identity:
        """A device that went the whole way: token, reading it, joining with it."""
        return join(read_token(self.token(**changes), now=self.now), name, now=self.now)

    def policy_document(self, **changes: object) -> dict[str, Any]:
        """The default policy as JSON values, with some members changed."""
        return {**default_policy(self.organisation_id, now=self.now), **changes}

    def policy_envelope(self, **changes: object) -> bytes:
        """The default policy, signed, with some members changed: `groups={"default": "unattended"}`."""
        document = json.dumps(self.policy_document(**changes)).encode()
        return sign_envelope(POLICY_TYPE, document, self.policy_signer())


@cache
def acme() -> Organisation:
    """One organisation for all tests that only read it (about 5 ms to make)."""
    return Organisation("Acme")


@cache
def intruders() -> Organisation:
    """Another organisation with the very same display name."""
    return Organisation("Acme")
