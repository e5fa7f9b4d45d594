"""Successor roots: who may put another root in the place of one, and the only line that is believed.

Each root names, by a hash in its certificate, the key of its recovery kit. That key signs one thing, a step
from this root to the next one; the next root names the root before it, and the next kit. A step therefore
proves by itself that it is one; whether it starts from a root of ours is what `RootLine` decides. The kit is
used once: two steps from one root are a fork, and an alarm.

A step travels as a DSSE envelope (see `protocol.envelope`) whose one signature carries the kit's public key
in place of a chain.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Meta

from protocol.certificate_profile import read_certificate
from protocol.certificates import RootTerms, make_root, organisation_of_root, read_root, spki
from protocol.dsse import pre_authentication_encoding
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.ids import OrganisationId, organisation_id
from protocol.limits import CERTIFICATE_LIMIT_BYTES, SUCCESSOR_LIMIT_BYTES, SUCCESSORS_LIMIT

SUCCESSOR_TYPE: Final = "application/vnd.alongside.successor+json"

_Der = Annotated[bytes, Meta(max_length=CERTIFICATE_LIMIT_BYTES)]


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: Literal["alongside-successor/1"]
    previous: _Der
    root: _Der


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: Annotated[str, Meta(max_length=128)]
    sig: Annotated[bytes, Meta(max_length=256)]
    key: Annotated[bytes, Meta(max_length=256)]


class _Envelope(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"payload_type": "payloadType"}
):
    payload: Annotated[bytes, Meta(max_length=SUCCESSOR_LIMIT_BYTES)]
    payload_type: Annotated[str, Meta(max_length=128)]
    signatures: Annotated[list[_Signature], Meta(min_length=1, max_length=1)]


_ENVELOPE = msgspec.json.Decoder(_Envelope, strict=True)
_PAYLOAD = msgspec.json.Decoder(_Payload, strict=True)


@dataclass(frozen=True, slots=True)
class Step:
    """From one root to the next, signed by the key that the first one names. `generation` is the second's."""

    previous: bytes
    root: bytes
    generation: int
    envelope: bytes


def root_fingerprint(root_der: bytes) -> str:
    """SHA-256 (hex) of a root's public key; the first root's is the organisation's id."""
    return organisation_id(read_root(root_der).spki_der)


def recovery_terms(recovery_key: ec.EllipticCurvePublicKey) -> RootTerms:
    """The terms of an organisation's first root, whose successor this key may sign."""
    return RootTerms(_sha256(spki(recovery_key)))


def make_successor(
    previous_der: bytes,
    recovery_key: ec.EllipticCurvePrivateKey,
    next_recovery_key: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The next root and its key; `sign_step` makes it believed.

    Raises:
        DocumentRefused: E_ROOT_SUCCESSOR, the kit is not this root's, or the line is at its end.
    """
    before = read_root(previous_der).root_terms
    if before is None or before.recovery_sha256 != _sha256(spki(recovery_key.public_key())):
        raise _refused("this recovery kit is not of that root")
    if before.generation >= SUCCESSORS_LIMIT:
        raise _refused(f"a root has at most {SUCCESSORS_LIMIT} successors")
    organisation, name = organisation_of_root(previous_der)
    terms = RootTerms(
        _sha256(spki(next_recovery_key)), before.generation + 1, organisation, _sha256(previous_der)
    )
    return make_root(name, now=now, terms=terms)


def sign_step(previous_der: bytes, root_der: bytes, recovery_key: ec.EllipticCurvePrivateKey) -> Step:
    """The step between two roots; raises DocumentRefused E_ROOT_SUCCESSOR when it is none."""
    payload = msgspec.json.encode(
        _Payload(format="alongside-successor/1", previous=previous_der, root=root_der)
    )
    signed = pre_authentication_encoding(SUCCESSOR_TYPE, payload)
    signature = recovery_key.sign(signed, ec.ECDSA(hashes.SHA256()))
    entry = _Signature(keyid="recovery", sig=signature, key=spki(recovery_key.public_key()))
    return read_step(msgspec.json.encode(_Envelope(payload, SUCCESSOR_TYPE, [entry])))


def read_step(envelope: bytes) -> Step:
    """The step in an envelope, proved to be one.

    Raises:
        DocumentRefused: E_ROOT_SUCCESSOR.
    """
    try:
        read = _ENVELOPE.decode(envelope)
        if read.payload_type != SUCCESSOR_TYPE:
            raise _refused(f"an envelope of {read.payload_type[:60]!r}")
        entry = read.signatures[0]
        key = load_der_public_key(entry.key)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise _refused("its key is not P-256")
        key.verify(
            entry.sig, pre_authentication_encoding(SUCCESSOR_TYPE, read.payload), ec.ECDSA(hashes.SHA256())
        )
        payload = _PAYLOAD.decode(read.payload)
        before, after = read_root(payload.previous), read_root(payload.root)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, UnsupportedAlgorithm) as exc:
        raise _refused(f"not a step: {exc}") from None
    except InvalidSignature:
        raise _refused("its signature is wrong") from None
    except CertificateRefused as exc:
        raise _refused(f"a root in it: {exc}") from None
    if before.root_terms is None or after.root_terms is None:
        raise _refused("a root in it has no line")
    if before.root_terms.recovery_sha256 != _sha256(entry.key):
        raise _refused("it is not signed by the recovery kit of the root before")
    follows = (
        after.root_terms.generation == before.root_terms.generation + 1
        and after.root_terms.previous_sha256 == _sha256(payload.previous)
        and after.root_terms.organisation_id == organisation_of_root(payload.previous)[0]
    )
    if not follows:
        raise _refused("its root does not follow the one before")
    return Step(payload.previous, payload.root, after.root_terms.generation, bytes(envelope))


class RootLine:
    """The roots of one organisation, from the oldest that is known here to the newest. It only grows."""

    def __init__(self, pinned_der: bytes) -> None:
        terms = _terms(pinned_der)
        self._roots = {terms.generation if terms else 0: bytes(pinned_der)}
        self._steps: dict[int, Step] = {}

    @property
    def newest(self) -> bytes:
        """The root that people's certificates come from (DER)."""
        return self._roots[max(self._roots)]

    @property
    def generation(self) -> int:
        """Of the newest root."""
        return max(self._roots)

    @property
    def all(self) -> list[bytes]:
        """Every root, the newest first (DER)."""
        return [self._roots[generation] for generation in sorted(self._roots, reverse=True)]

    @property
    def steps(self) -> list[bytes]:
        """The envelopes of the steps between them, oldest first."""
        return [self._steps[generation].envelope for generation in sorted(self._steps)]

    @property
    def organisation_id(self) -> OrganisationId:
        """The same for every root of the line."""
        return organisation_of_root(self.newest)[0]

    def take(self, envelopes: Sequence[bytes]) -> bool:
        """Follow these steps (oldest first); True when something was learnt. All of them, or none.

        A step forward has to start from the newest root; a step backward has to end at the oldest, which
        names the root before it.

        Raises:
            DocumentRefused: E_ROOT_FORK, two steps from one root; E_ROOT_SUCCESSOR, not of this line.
        """
        if len(envelopes) > SUCCESSORS_LIMIT:
            raise _refused(f"{len(envelopes)} steps")
        roots, steps = dict(self._roots), dict(self._steps)
        behind: list[Step] = []
        for envelope in envelopes:
            step = read_step(envelope)
            if step.generation <= min(self._roots):
                behind.append(step)
            else:  # at once: what a stranger says behind a step that does not fit is not worth reading
                _follow(step, roots, steps)
        for step in reversed(behind):
            if step.generation == min(roots) and roots[step.generation] == step.root:
                roots[step.generation - 1] = step.previous
                steps[step.generation] = step
        for step in behind:
            _follow(step, roots, steps)
        is_news = roots != self._roots
        self._roots, self._steps = roots, steps
        return is_news


def _follow(step: Step, roots: dict[int, bytes], steps: dict[int, Step]) -> None:
    """Put it behind the root that it starts from."""
    if roots.get(step.generation - 1) != step.previous:
        raise _refused(f"a step to generation {step.generation} that does not start from our root")
    if roots.setdefault(step.generation, step.root) != step.root:
        kept, other = _sha256(roots[step.generation]), _sha256(step.root)
        detail = f"two roots of generation {step.generation}: {kept[:16]} and {other[:16]}"
        raise DocumentRefused(detail, code=ErrorCode.E_ROOT_FORK)
    steps.setdefault(step.generation, step)


def _terms(pinned_der: bytes) -> RootTerms | None:
    # not read_root: a visitor's own certificate is all there is above it, and it has no line
    return read_certificate(bytes(pinned_der)).root_terms


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refused(why: str) -> DocumentRefused:
    return DocumentRefused(why[:300], code=ErrorCode.E_ROOT_SUCCESSOR)
