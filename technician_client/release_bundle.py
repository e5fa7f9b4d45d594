"""Makes a release: the signed bundle of one kind of computer, and the folder that a relay serves."""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.errors import EnvironmentFault, UsageError
from protocol.platforms import SCRIPT_PATHS, Platform
from protocol.private_files import sync_folder
from protocol.published import (
    FILES_FOLDER,
    INDEX_NAME,
    RELEASE_PATH,
    PublishedFile,
    PublishedIndex,
    is_of_updates,
)
from protocol.release import (
    MANIFEST_NAME,
    ROOT_NAME,
    SIGNATURE_NAME,
    STEPS_NAME,
    Bundle,
    Release,
    ReleaseFile,
    release_time,
    sign_release,
)
from protocol.succession import RootLine
from protocol.update_offer import UPDATE_ROOT_NAME
from technician_client.organisation import Root
from technician_client.release_script import one_script
from technician_client.release_wheels import Wheel, fitting_pythons, parts_list, release_version

PARTS_LIST_NAME = "parts.cdx.json"
BUNDLE_ENDING = ".bundle"
# what a system starts the agent by: units of systemd, job descriptions of launchd, tasks of Windows
_UNIT_ENDINGS: Mapping[Platform, frozenset[str]] = {
    "linux": frozenset({".service", ".socket", ".slice", ".timer"}),
    "macos": frozenset({".plist"}),
    "windows": frozenset({".xml"}),
}
_PUBLIC_FILE = 0o644
_PUBLIC_FOLDER = 0o755


@dataclass(frozen=True, slots=True)
class ReleaseTerms:
    """What a new release is made of. `scripts` is the folder `scripts/install` of the same sources.

    `roots` are the organisation's, from its first to the one that signs; `update_root` is what the computers
    that install it believe about updates, b"" for none.
    """

    roots: RootLine
    wheels: list[Wheel]
    scripts: Path
    platform: Platform
    machine: str
    days: int
    now: datetime
    update_root: bytes = b""


@dataclass(frozen=True, slots=True)
class MadeRelease:
    """What was made. `script_sha256` is "" where the sources have no install script for this system."""

    release: Release
    bundle_sha256: str
    script_sha256: str


def create_release(root: Root, terms: ReleaseTerms, folder: Path) -> MadeRelease:
    """Sign a release and lay it out in the folder; the index is exchanged last, in one step.

    Raises:
        UsageError: the wheels, or the scripts, are not complete. EnvironmentFault: E_DATA_DISK.
        DocumentRefused: E_RELEASE_SIGNATURE, this root is not the newest of a whole line.
    """
    contents = _contents(terms)
    moment = release_time(terms.now)
    release = Release(
        format=1,
        product="agent",
        version=release_version(terms.wheels),
        organisation_id=terms.roots.organisation_id,
        platform=terms.platform,
        machine=terms.machine,
        pythons=fitting_pythons(terms.wheels, terms.platform, terms.machine),
        released_at_utc=moment,
        expires_at_utc=moment + timedelta(days=terms.days),
        files=[
            ReleaseFile(name, hashlib.sha256(content).hexdigest(), len(content))
            for name, content in contents.items()
        ],
    )
    manifest, signature = sign_release(release, root.key)
    head = {
        MANIFEST_NAME: manifest,
        SIGNATURE_NAME: signature,
        ROOT_NAME: x509.load_der_x509_certificate(terms.roots.all[-1]).public_bytes(Encoding.PEM),
        STEPS_NAME: msgspec.json.encode(terms.roots.steps),
    }
    script = one_script(terms.scripts, terms.platform)
    try:
        return _lay_out(folder, release, head | contents, script)
    except OSError as exc:
        raise EnvironmentFault(str(exc)) from None


def _contents(terms: ReleaseTerms) -> dict[str, bytes]:
    units = sorted((terms.scripts / terms.platform).glob("alongside-agent*.*"))
    contents = {wheel.path.name: wheel.path.read_bytes() for wheel in terms.wheels}
    contents |= {
        unit.name: unit.read_bytes() for unit in units if unit.suffix in _UNIT_ENDINGS[terms.platform]
    }
    parts = parts_list(terms.wheels, release_version(terms.wheels), release_time(terms.now))
    updates = {UPDATE_ROOT_NAME: terms.update_root} if terms.update_root else {}
    return contents | {PARTS_LIST_NAME: parts} | updates


def _lay_out(folder: Path, release: Release, contents: dict[str, bytes], script: bytes) -> MadeRelease:
    """Beside the bundles of the same version for other computers; those of another version go."""
    files = folder / FILES_FOLDER
    files.mkdir(mode=_PUBLIC_FOLDER, parents=True, exist_ok=True)
    bundle = pack_bundle(contents, release.released_at_utc)
    parts_path = f"{RELEASE_PATH}parts-{release.platform}-{release.machine}.cdx.json"
    made = [_publish(files, RELEASE_PATH + release.bundle_name, bundle)]
    made.append(_publish(files, parts_path, contents[PARTS_LIST_NAME]))
    script_path = SCRIPT_PATHS[release.platform]
    if script:
        made.append(_publish(files, script_path, script))
    replaced = {script_path, *(each.path for each in made)}
    kept = [each for each in _kept(folder, release.version) if each.path not in replaced]
    bundle_sha256 = made[0].sha256
    with Bundle.open(files / bundle_sha256, release.organisation_id) as opened:
        assert opened.release == release  # what was written can be read, by the rules of whoever installs it
    _write_index(folder, PublishedIndex(1, release.version, made + kept))
    return MadeRelease(release, bundle_sha256, hashlib.sha256(script).hexdigest() if script else "")


def _kept(folder: Path, version: str) -> list[PublishedFile]:
    """What stays when a release of this version is made: what is offered, and the same version's files."""
    if not (folder / INDEX_NAME).exists():
        return []
    index = read_published(folder)
    return [each for each in index.files if index.version == version or is_of_updates(each.path)]


def _write_index(folder: Path, index: PublishedIndex) -> None:
    _write(folder / INDEX_NAME, msgspec.json.format(msgspec.json.encode(index), indent=2) + b"\n")


def publish_updates(folder: Path, listed: dict[str, bytes], bundles: Iterable[PublishedFile]) -> None:
    """Put the list of updates and the bundles that it names in the place of the former ones.

    Raises:
        UsageError: the folder holds no release. EnvironmentFault: E_DATA_DISK.
    """
    index = read_published(folder)
    try:
        files = [
            _publish(folder / FILES_FOLDER, RELEASE_PATH + name, content) for name, content in listed.items()
        ]
    except OSError as exc:
        raise EnvironmentFault(str(exc)) from None
    for each in bundles:
        name = each.path.removeprefix(RELEASE_PATH)
        files.append(PublishedFile(f"{RELEASE_PATH}{each.sha256}.{name}", each.sha256, each.length_bytes))
    others = [each for each in index.files if not is_of_updates(each.path)]
    _write_index(folder, PublishedIndex(1, index.version, others + files))


def offered_bundles(folder: Path, offered: Collection[str]) -> list[PublishedFile]:
    """The bundles of this folder with these hashes, under their plain names.

    Raises:
        UsageError: one of them is not there, or the folder holds no release.
    """
    found: dict[str, PublishedFile] = {}
    for each in read_published(folder).files:
        name = each.path.removeprefix(RELEASE_PATH).removeprefix(f"{each.sha256}.")
        if each.sha256 in offered and name.endswith(BUNDLE_ENDING):
            found[each.sha256] = PublishedFile(RELEASE_PATH + name, each.sha256, each.length_bytes)
    if len(found) != len(set(offered)):
        raise UsageError(f"{folder} does not hold every bundle that is offered")
    return list(found.values())


def pack_bundle(contents: dict[str, bytes], moment: datetime) -> bytes:
    """One archive of these files in this order; nothing but content and moment decides its bytes."""
    target = BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in contents.items():
            facts = tarfile.TarInfo(name)
            facts.size, facts.mode, facts.mtime = len(content), _PUBLIC_FILE, int(moment.timestamp())
            archive.addfile(facts, BytesIO(content))
    return target.getvalue()


def _publish(files: Path, path: str, content: bytes) -> PublishedFile:
    digest = hashlib.sha256(content).hexdigest()
    _write(files / digest, content)
    return PublishedFile(path, digest, len(content))


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and readable by the relay's own user."""
    aside = path.with_name(f".{path.name}.new")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.chmod(_PUBLIC_FILE)
    aside.replace(path)
    sync_folder(path.parent)


def read_published(folder: Path) -> PublishedIndex:
    """The index of a folder that was laid out here.

    Raises:
        UsageError: there is none, or it is malformed.
    """
    try:
        return msgspec.json.decode((folder / INDEX_NAME).read_bytes(), type=PublishedIndex, strict=True)
    except (OSError, msgspec.MsgspecError) as exc:
        raise UsageError(f"{folder / INDEX_NAME}: {exc}"[:300]) from None


def export_bundle(folder: Path, target: Path) -> Iterable[Path]:
    """Copy bundles and install scripts out under their own names, for computers without a relay to ask."""
    for each in read_published(folder).files:
        if is_of_updates(each.path):
            continue
        copied = target / each.path.rpartition("/")[2]
        try:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / FILES_FOLDER / each.sha256, copied)
        except OSError as exc:
            raise EnvironmentFault(str(exc)) from None
        yield copied
