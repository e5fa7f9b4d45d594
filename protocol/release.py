"""Releases of the agent: what the organisation's root signed, and the one file that carries it.

A bundle (decision 0023) is a tar file: `release.json` (the manifest, exact bytes signed), `release.sig`
(ECDSA P-256 with SHA-256 over DSSE's pre-authentication encoding, DER), `organisation.pem` (the first root's
certificate), `successors.json` (the steps to the root that signed, see `protocol.succession`), then the
manifest's files. Nothing is unpacked by the archive's own names: each file that the manifest names is read
and hashed.
"""

import hashlib
import re
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Final, Self

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.certificates import read_root
from protocol.envelope import pre_authentication_encoding
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.limits import (
    CERTIFICATE_LIMIT_BYTES,
    RELEASE_FILE_LIMIT_BYTES,
    RELEASE_FILES_LIMIT,
    RELEASE_MANIFEST_LIMIT_BYTES,
    SUCCESSOR_LIMIT_BYTES,
    SUCCESSORS_LIMIT,
)
from protocol.platforms import Platform
from protocol.succession import RootLine, root_fingerprint

RELEASE_TYPE: Final = "application/vnd.alongside.release+json"
MANIFEST_NAME: Final = "release.json"
SIGNATURE_NAME: Final = "release.sig"
ROOT_NAME: Final = "organisation.pem"
STEPS_NAME: Final = "successors.json"
_HEAD: Final = (MANIFEST_NAME, SIGNATURE_NAME, ROOT_NAME, STEPS_NAME)
_SIGNATURE_LIMIT_BYTES: Final = 256
_STEPS_LIMIT_BYTES: Final = 4 * SUCCESSORS_LIMIT * SUCCESSOR_LIMIT_BYTES
_CHUNK_BYTES: Final = 1 << 20
FOLDER_HASH_DIGITS: Final = 12
_VERSION: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){2}")


class ReleaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a release; its name is a plain one, never a path."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+@-]{0,199}\Z")]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    length_bytes: Annotated[int, msgspec.Meta(ge=0, le=RELEASE_FILE_LIMIT_BYTES)]


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The manifest, for one kind of computer, since wheels differ by system and machine.

    `pythons` are the interpreters that the wheels fit, such as "3.11".
    """

    format: Annotated[int, msgspec.Meta(ge=1, le=1)]
    product: Annotated[str, msgspec.Meta(pattern=r"^agent\Z")]
    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6}){2}\Z")]
    organisation_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    platform: Platform
    machine: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{1,20}\Z")]
    pythons: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"^3\.[0-9]{1,3}\Z")]],
        msgspec.Meta(min_length=1, max_length=8),
    ]
    released_at_utc: datetime
    expires_at_utc: datetime
    files: Annotated[list[ReleaseFile], msgspec.Meta(min_length=1, max_length=RELEASE_FILES_LIMIT)]

    @property
    def bundle_name(self) -> str:
        """What its bundle is called where it is served."""
        return f"agent-{self.platform}-{self.machine}.bundle"


_DECODER = msgspec.json.Decoder(Release, strict=True)
_STEPS = msgspec.json.Decoder(list[bytes], strict=True)


def version_order(version: str) -> tuple[int, ...]:
    """What versions are compared by.

    Raises:
        DocumentRefused: E_RELEASE_FORMAT.
    """
    if not _VERSION.fullmatch(version):
        raise _malformed(f"{version[:40]!r} is no version such as 1.2.3")
    return tuple(int(part) for part in version.split("."))


def sign_release(release: Release, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    """The manifest's bytes and the root's signature over them; the same for the same release (RFC 6979)."""
    manifest = msgspec.json.encode(release)
    signed = pre_authentication_encoding(RELEASE_TYPE, manifest)
    return manifest, key.sign(signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def release_roots(root_pem: bytes, steps: bytes, fingerprint: str) -> RootLine:
    """The roots that a bundle carries, proved from the first one on; one of them has this fingerprint.

    Whoever was told the newest root's fingerprint is safe from a former root's thief too. Who knows only an
    older one believes a line that ends there, since nothing in a file shows what came later.

    Raises:
        DocumentRefused: E_RELEASE_SIGNATURE, another organisation's roots, or no line.
    """
    try:
        first = x509.load_pem_x509_certificate(root_pem).public_bytes(Encoding.DER)
        roots = RootLine(first)
        roots.take(_STEPS.decode(steps))
        fingerprints = [root_fingerprint(root) for root in roots.all]
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise _unsigned("its organisation's roots cannot be read") from None
    except (DocumentRefused, CertificateRefused) as exc:
        raise _unsigned(f"its roots: {exc.detail}") from None
    # not what a root says of itself: the first one's key is the organisation, the steps prove the others
    if roots.all[-1] != first or fingerprints[-1] != roots.organisation_id:
        raise _unsigned("its first root is not an organisation's first")
    if fingerprint not in fingerprints:
        raise _unsigned("it is another organisation's, or of before the root was replaced")
    return roots


def open_release(manifest: bytes, signature: bytes, roots: RootLine) -> Release:
    """The release that the newest of these roots signed. Its dates are not judged; see `check_release_time`.

    Raises:
        DocumentRefused: E_RELEASE_SIGNATURE (another root or signature) or E_RELEASE_FORMAT.
    """
    key = read_root(roots.newest).public_key
    try:
        signed = pre_authentication_encoding(RELEASE_TYPE, manifest)
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise _unsigned("the manifest is not what was signed") from None
    try:
        release = _DECODER.decode(manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise _malformed(str(exc)[:200]) from None
    names = [each.name for each in release.files]
    if len(set(names)) != len(names) or set(names) & set(_HEAD):
        raise _malformed("a name stands there twice")
    if release.organisation_id != roots.organisation_id:
        raise _unsigned("it names another organisation")
    return release


def check_release_time(release: Release, *, now: datetime) -> None:
    """Raises DocumentRefused, E_RELEASE_EXPIRED: too old to be installed anew."""
    if now > release.expires_at_utc:
        raise DocumentRefused(f"{release.expires_at_utc:%Y-%m-%d}", code=ErrorCode.E_RELEASE_EXPIRED)


def check_release_kind(release: Release, platform: str, machine: str) -> None:
    """Raises DocumentRefused, E_RELEASE_PLATFORM: it is for another kind of computer than this one."""
    if (release.platform, release.machine) != (platform, machine):
        raise DocumentRefused(
            f"it is for {release.platform} on {release.machine}", code=ErrorCode.E_RELEASE_PLATFORM
        )


class Bundle:
    """An open bundle whose manifest was verified; files are handed out only when their hash fits."""

    def __init__(self, archive: tarfile.TarFile, release: Release, manifest: bytes) -> None:
        self._archive = archive
        self.release = release
        self.folder_name = f"{release.version}-{hashlib.sha256(manifest).hexdigest()[:FOLDER_HASH_DIGITS]}"
        """What the folder of the installed version is called."""

    @classmethod
    @contextmanager
    def open(cls, path: Path, fingerprint: str) -> Iterator[Self]:
        """The bundle in this file, for who knows this fingerprint of the organisation's newest root.

        Raises:
            DocumentRefused: as `release_roots` and `open_release`; E_RELEASE_FORMAT, it is no bundle.
        """
        with ExitStack() as opened:
            try:
                archive = opened.enter_context(tarfile.open(path, "r:"))
            except (OSError, tarfile.TarError) as exc:
                raise _malformed(f"{path.name}: {exc}"[:200]) from None
            manifest = _member(archive, MANIFEST_NAME, RELEASE_MANIFEST_LIMIT_BYTES)
            signature = _member(archive, SIGNATURE_NAME, _SIGNATURE_LIMIT_BYTES)
            root_pem = _member(archive, ROOT_NAME, 2 * CERTIFICATE_LIMIT_BYTES)
            steps = _member(archive, STEPS_NAME, _STEPS_LIMIT_BYTES)
            roots = release_roots(root_pem, steps, fingerprint)
            yield cls(archive, open_release(manifest, signature, roots), manifest)

    def copy(self, file: ReleaseFile, target: IO[bytes]) -> None:
        """Write this file out; what was written counts only when this returns.

        Raises:
            DocumentRefused: E_RELEASE_SIGNATURE, it is not the file that was signed.
        """
        seen, digest = 0, hashlib.sha256()
        for chunk in _chunks(self._archive, file.name, file.length_bytes):
            seen += len(chunk)
            digest.update(chunk)
            target.write(chunk)
        if seen != file.length_bytes or digest.hexdigest() != file.sha256:
            raise _unsigned(f"{file.name} is not the file that was signed")


def _member(archive: tarfile.TarFile, name: str, limit_bytes: int) -> bytes:
    return b"".join(_chunks(archive, name, limit_bytes))


def _chunks(archive: tarfile.TarFile, name: str, limit_bytes: int) -> Iterator[bytes]:
    try:
        facts = archive.getmember(name)
        if not facts.isreg() or facts.size > limit_bytes:
            raise _malformed(f"{name} is no plain file of at most {limit_bytes} bytes")
        file = archive.extractfile(facts)
        assert file is not None
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
    except (KeyError, OSError, tarfile.TarError) as exc:
        raise _malformed(f"{name}: {exc}"[:200]) from None


def release_time(moment: datetime) -> datetime:
    """A moment as manifests carry it: UTC, whole seconds."""
    return moment.astimezone(UTC).replace(microsecond=0)


def _unsigned(why: str) -> DocumentRefused:
    return DocumentRefused(why, code=ErrorCode.E_RELEASE_SIGNATURE)


def _malformed(why: str) -> DocumentRefused:
    return DocumentRefused(why, code=ErrorCode.E_RELEASE_FORMAT)
