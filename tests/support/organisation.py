"""A throw-away organisation with one identity of every role, and more on request."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

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
from protocol.identity import Identity
from protocol.ids import OrganisationId, SubjectId, device_id, organisation_id

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
        self.root, self.root_key = make_root(display_name, now=self.now)
        self.root_der = der(self.root)
        self.organisation_id: OrganisationId = organisation_id(spki(self.root_key.public_key()))

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


@cache
def acme() -> Organisation:
    """One organisation for all tests that only read it (about 5 ms to make)."""
    return Organisation("Acme")


@cache
def intruders() -> Organisation:
    """Another organisation with the very same display name."""
    return Organisation("Acme")
