"""CRT-15: what counts as the organisation's root in a release, after its recovery kit was used.

Every bundle goes to all who judge it: `protocol.release`, `verify.sh` with openssl, and `verify.ps1`.
"""

import base64
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.certificate_profile import ROOT_OID, encode_root_terms, utf8_string
from protocol.certificates import RootTerms, make_root, spki
from protocol.dsse import pre_authentication_encoding
from protocol.errors import ErrorCode, SupportError
from protocol.release import Bundle, Release, ReleaseFile, sign_release
from protocol.succession import SUCCESSOR_TYPE, RootLine, recovery_terms, root_fingerprint
from technician_client.organisation import Root
from technician_client.release_bundle import pack_bundle
from tests.support.mac_programs import verified
from tests.support.organisation import Organisation, der, new_key
from tests.support.releases import made_release_of
from tests.support.verify_ps1 import verified_by_powershell

VERIFY = Path(__file__).parents[2] / "scripts" / "install" / "verify.sh"
NOW = datetime.now(UTC).replace(microsecond=0)
FIRST = Organisation("Acme", now=NOW)
SECOND, TO_SECOND = FIRST.successor()
THIRD, TO_THIRD = SECOND.successor()
OTHER = Organisation("Other", now=NOW)
OTHER_SECOND, TO_OTHER_SECOND = OTHER.successor()


@dataclass(frozen=True)
class Offered:
    """What a bundle is put together from. `signer` signs the manifest."""

    root: x509.Certificate
    steps: tuple[bytes, ...]
    signer: ec.EllipticCurvePrivateKey
    organisation_id: str = FIRST.organisation_id


TRUE = Offered(FIRST.root, (TO_SECOND, TO_THIRD), THIRD.root_key)


def bundle_of(offered: Offered) -> bytes:
    """A bundle with one file, rightly made in everything but what is offered."""
    content = b"a wheel"
    file = ReleaseFile("a.whl", hashes_of(content), len(content))
    release = Release(
        1, "agent", "1.2.3", offered.organisation_id, "linux", "x86_64", ["3.11"], NOW, NOW, [file]
    )
    manifest, signature = sign_release(release, offered.signer)
    head = {
        "release.json": manifest,
        "release.sig": signature,
        "organisation.pem": offered.root.public_bytes(Encoding.PEM),
        "successors.json": msgspec.json.encode(offered.steps),
    }
    return pack_bundle(head | {"a.whl": content}, NOW)


def hashes_of(content: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(content)
    return digest.finalize().hex()


def judged(folder: Path, bundle: bytes, fingerprint: str) -> bool:
    """Whether it is the organisation's; all judges have to say the same."""
    path = folder / "agent.bundle"
    path.write_bytes(bundle)
    try:
        with Bundle.open(path, fingerprint):
            code = None
    except SupportError as exc:
        code = exc.code
    shell = verified(VERIFY, path, fingerprint)
    assert (code, shell) in {(None, 0), (ErrorCode.E_RELEASE_SIGNATURE, 5)}, shell
    assert verified_by_powershell(path, fingerprint) == shell
    return code is None


def fingerprint_of(organisation: Organisation) -> str:
    return root_fingerprint(organisation.root_der)


pytestmark = [pytest.mark.real, pytest.mark.beside]


@pytest.mark.parametrize("known", [FIRST, SECOND, THIRD], ids=["first", "second", "newest"])
def test_crt_15_control_a_successor_roots_release_is_believed_from_any_root_before(
    tmp_path: Path, known: Organisation
) -> None:
    assert judged(tmp_path, bundle_of(TRUE), fingerprint_of(known))


def test_crt_15_a_release_made_after_a_recovery_carries_its_line(tmp_path: Path) -> None:
    roots = RootLine(SECOND.root_der)
    roots.take([TO_SECOND])
    made = made_release_of(roots, Root(SECOND.root, SECOND.root_key), tmp_path)
    bundle = (tmp_path / "release" / "files" / made.bundle_sha256).read_bytes()
    assert made.release.organisation_id == FIRST.organisation_id
    assert judged(tmp_path, bundle, FIRST.organisation_id)
    assert not judged(tmp_path, bundle, OTHER.organisation_id)


def test_crt_15_a_release_without_the_steps_from_the_first_root_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SupportError) as caught:
        made_release_of(RootLine(SECOND.root_der), Root(SECOND.root, SECOND.root_key), tmp_path)
    assert caught.value.code is ErrorCode.E_RELEASE_SIGNATURE
    assert not (tmp_path / "release" / "index.json").exists()


def self_made() -> Offered:
    """A root of the attacker's that names the organisation, the root before and a kit of its own."""
    terms = RootTerms("0" * 64, 1, FIRST.organisation_id, hashes_of(FIRST.root_der))
    root, key = make_root("Acme", now=NOW, terms=terms)
    return Offered(root, (), key)


def self_made_step() -> Offered:
    """The same behind the true first root, by a step that a kit of the attacker's signs."""
    stranger = Organisation("Acme", now=NOW)
    terms = RootTerms("0" * 64, 1, FIRST.organisation_id, hashes_of(FIRST.root_der))
    root, key = make_root("Acme", now=NOW, terms=terms)
    return replace(TRUE, steps=(bent_step(TO_SECOND, stranger.recovery_key, root=der(root)),), signer=key)


def bent_step(
    envelope: bytes,
    kit: ec.EllipticCurvePrivateKey,
    *,
    root: bytes,
    signs: bool = True,
    previous: bytes | None = None,
) -> bytes:
    """A step to another root: signed by this kit, or with the signature that was there."""
    read = json.loads(envelope)
    payload = json.loads(base64.b64decode(read["payload"]))
    payload["root"] = base64.b64encode(root).decode()
    if previous is not None:
        payload["previous"] = base64.b64encode(previous).decode()
    changed = msgspec.json.encode(payload)
    read["payload"] = base64.b64encode(changed).decode()
    if signs:
        signed = pre_authentication_encoding(SUCCESSOR_TYPE, changed)
        entry = read["signatures"][0]
        entry["sig"] = base64.b64encode(kit.sign(signed, ec.ECDSA(hashes.SHA256()))).decode()
        entry["key"] = base64.b64encode(spki(kit.public_key())).decode()
    return msgspec.json.encode(read)


def re_made_first_root() -> Offered:
    """The true public key in a certificate that names the attacker's kit and was not signed by that key."""
    kit = new_key()
    true = FIRST.root
    builder = x509.CertificateBuilder(
        true.subject, true.subject, true.public_key(), 7, NOW, true.not_valid_after_utc
    )
    for extension in true.extensions:
        if extension.oid != ROOT_OID:
            builder = builder.add_extension(extension.value, extension.critical)
    terms = x509.UnrecognizedExtension(
        ROOT_OID, utf8_string(encode_root_terms(recovery_terms(kit.public_key())))
    )
    root = builder.add_extension(terms, critical=False).sign(new_key(), hashes.SHA256())
    later = RootTerms("0" * 64, 1, FIRST.organisation_id, hashes_of(der(root)))
    successor, key = make_root("Acme", now=NOW, terms=later)
    read = json.loads(TO_SECOND)
    payload = json.loads(base64.b64decode(read["payload"]))
    payload["previous"] = base64.b64encode(der(root)).decode()
    read["payload"] = base64.b64encode(msgspec.json.encode(payload)).decode()
    step = bent_step(msgspec.json.encode(read), kit, root=der(successor))
    return Offered(root, (step,), key)


ATTACKS = {
    "a self-made successor alone": self_made,
    "a self-made successor behind the true root": self_made_step,
    "another successor under the true step's signature": lambda: replace(
        TRUE,
        steps=(bent_step(TO_SECOND, FIRST.recovery_key, root=THIRD.root_der, signs=False),),
    ),
    "a first root re-made around the same key": re_made_first_root,
    "another organisation's successor": lambda: Offered(
        OTHER.root, (TO_OTHER_SECOND,), OTHER_SECOND.root_key
    ),
    "another organisation's step behind the true root": lambda: replace(
        TRUE, steps=(TO_OTHER_SECOND,), signer=OTHER_SECOND.root_key
    ),
    "the true kit's step that says to start from another root": lambda: Offered(
        FIRST.root,
        (bent_step(TO_SECOND, FIRST.recovery_key, root=SECOND.root_der, previous=OTHER.root_der),),
        SECOND.root_key,
    ),
    "the true kit's step to a root that follows another one": lambda: Offered(
        FIRST.root,
        (bent_step(TO_SECOND, FIRST.recovery_key, root=OTHER_SECOND.root_der),),
        OTHER_SECOND.root_key,
    ),
    "a line cut at its end": lambda: replace(TRUE, steps=(TO_SECOND,)),
    "a line cut at its beginning": lambda: replace(TRUE, steps=(TO_THIRD,)),
    "a line that begins later": lambda: Offered(SECOND.root, (TO_THIRD,), THIRD.root_key),
    "no line": lambda: replace(TRUE, steps=()),
    "a line out of order": lambda: replace(TRUE, steps=(TO_THIRD, TO_SECOND)),
    "the first root after the recovery": lambda: replace(TRUE, signer=FIRST.root_key),
    "the second root after the second recovery": lambda: replace(TRUE, signer=SECOND.root_key),
    "the recovery kit itself": lambda: replace(TRUE, signer=THIRD.recovery_key),
    "a release of another organisation": lambda: replace(TRUE, organisation_id=OTHER.organisation_id),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_crt_15_a_release_is_refused_that_is_signed_by(tmp_path: Path, attack: str) -> None:
    assert not judged(tmp_path, bundle_of(ATTACKS[attack]()), FIRST.organisation_id)


def test_crt_15_a_thief_of_a_former_root_who_hides_the_recovery_is_refused_by_who_knows_the_newer_root(
    tmp_path: Path,
) -> None:
    stolen = bundle_of(Offered(FIRST.root, (), FIRST.root_key))
    assert not judged(tmp_path, stolen, fingerprint_of(THIRD))
    assert not judged(tmp_path, stolen, fingerprint_of(SECOND))
    # and this is why the newest fingerprint is the one to tell: nothing in a file shows what came later
    assert judged(tmp_path, stolen, FIRST.organisation_id)
