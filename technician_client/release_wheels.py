"""The wheels of a release: which interpreters they fit, and the list of what is in them (CycloneDX)."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.parser import BytesHeaderParser
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5
from zipfile import BadZipFile, ZipFile

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from protocol.errors import ErrorCode, UsageError
from protocol.platforms import Platform
from protocol.release import version_order

OURS = "alongside"
INSTALLER = "pip"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
METADATA_LIMIT_BYTES = 1 << 20
# how the platform of a wheel's tag begins (PEP 425, 600 and 656)
_TAGS: Mapping[Platform, tuple[str, ...]] = {
    "linux": ("linux_", "manylinux", "musllinux"),
    "macos": ("macosx_",),
    "windows": ("win_",),
}
_EVERY_MAC = "_universal2"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel file, and what its name says."""

    path: Path
    name: str
    version: str
    tags: frozenset[Tag]

    @property
    def sha256(self) -> str:
        """The file's hash."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def read_wheels(folder: Path) -> list[Wheel]:
    """The wheels of this folder, by name.

    Raises:
        UsageError: it holds none of ours, no pip, or something else.
    """
    wheels = [_read(path) for path in sorted(folder.glob("*.whl"))]
    for needed in (OURS, INSTALLER):
        if needed not in {wheel.name for wheel in wheels}:
            raise UsageError(
                f"{folder} holds no wheel of {needed}; collect them with: pip wheel -w DIR '.[agent]' pip"
            )
    return wheels


def _read(path: Path) -> Wheel:
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as exc:
        raise UsageError(str(exc)) from None
    return Wheel(path, str(name), str(version), tags)


def release_version(wheels: Iterable[Wheel]) -> str:
    """The version of our own wheel.

    Raises:
        UsageError: there are two. DocumentRefused: E_RELEASE_FORMAT, it is none that can be compared.
    """
    versions = {wheel.version for wheel in wheels if wheel.name == OURS}
    if len(versions) != 1:
        raise UsageError(f"wheels of several versions of {OURS}: {', '.join(sorted(versions))}")
    [version] = versions
    version_order(version)
    return version


def fitting_pythons(wheels: Iterable[Wheel], platform: Platform, machine: str) -> list[str]:
    """The interpreters for which every distribution has a wheel that installs on such computers.

    Raises:
        UsageError: E_RELEASE_PLATFORM, a wheel is for none of them; E_CONFIG, there is no interpreter.
    """
    every = list(wheels)
    platforms = {
        tag.platform for wheel in every for tag in wheel.tags if _is_for(tag.platform, platform, machine)
    }
    wrong = [
        wheel.path.name for wheel in every if not {tag.platform for tag in wheel.tags} & {"any", *platforms}
    ]
    if wrong:
        raise UsageError(
            f"not for {platform} on {machine}: {', '.join(wrong)}"[:500], code=ErrorCode.E_RELEASE_PLATFORM
        )
    found = [python for python in PYTHONS if _fits(every, python, platforms)]
    if not found:
        raise UsageError(
            f"no Python of {', '.join(PYTHONS)} can use all these wheels", code=ErrorCode.E_CONFIG
        )
    return found


def _is_for(tag: str, platform: Platform, machine: str) -> bool:
    is_every_mac = platform == "macos" and tag.endswith(_EVERY_MAC)
    return tag.startswith(_TAGS[platform]) and (tag.endswith(f"_{machine}") or is_every_mac)


def _fits(wheels: list[Wheel], python: str, platforms: set[str]) -> bool:
    platforms = platforms or {"any"}  # without any the library would take this computer's own
    minor = (3, int(python.partition(".")[2]))
    good = {*cpython_tags(minor, platforms=platforms), *compatible_tags(minor, platforms=platforms)}
    return {wheel.name for wheel in wheels} == {wheel.name for wheel in wheels if wheel.tags & good}


def parts_list(wheels: Iterable[Wheel], version: str, released_at: datetime) -> bytes:
    """What is in the release, as CycloneDX 1.6 JSON; the same wheels at the same time give the same bytes."""
    every = list(wheels)
    whole = Component(
        name="alongside-agent", version=version, type=ComponentType.APPLICATION, bom_ref="agent"
    )
    seed = "".join(wheel.sha256 for wheel in every)
    bom = Bom(
        components=[_component(wheel) for wheel in every],
        metadata=BomMetaData(component=whole, timestamp=released_at),
        serial_number=uuid5(NAMESPACE_URL, seed),
    )
    bom.register_dependency(whole, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=1).encode() + b"\n"


def _component(wheel: Wheel) -> Component:
    return Component(
        name=wheel.name,
        version=wheel.version,
        bom_ref=wheel.path.name,
        description=_summary(wheel.path),
        purl=PackageURL(
            "pypi", None, canonicalize_name(wheel.name), wheel.version, {"file_name": wheel.path.name}
        ),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
    )


def _summary(path: Path) -> str:
    try:
        with ZipFile(path) as archive:
            [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
            if archive.getinfo(name).file_size > METADATA_LIMIT_BYTES:
                return ""
            return str(BytesHeaderParser().parsebytes(archive.read(name)).get("Summary", ""))
    except (BadZipFile, ValueError, OSError):
        raise UsageError(f"{path} is not a wheel") from None
