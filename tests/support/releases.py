"""Small signed releases: real wheels in form, with nothing in them."""

from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile

from protocol.succession import RootLine
from technician_client.organisation import OrganisationFolder, Root, create_organisation
from technician_client.release_bundle import MadeRelease, ReleaseTerms, create_release
from technician_client.release_wheels import read_wheels
from tests.support.organisation import new_key

PASSPHRASE = b"correct horse"


def stub_wheel(folder: Path, name: str, version: str, tag: str = "py3-none-any") -> Path:
    """A wheel that installs one empty module."""
    path = folder / f"{name}-{version}-{tag}.whl"
    facts = f"{name}-{version}.dist-info"
    with ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(
            f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: a stub\n"
        )
        archive.writestr(f"{facts}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{facts}/RECORD", "")
    return path


def stub_wheels(folder: Path, version: str = "1.2.3") -> Path:
    """A folder with what a release needs at least."""
    folder.mkdir()
    stub_wheel(folder, "alongside", version)
    stub_wheel(folder, "pip", "26.0")
    return folder


def new_root(folder: Path) -> Root:
    """The root of a new organisation."""
    now = datetime.now(UTC)
    kit = new_key().public_key()
    return create_organisation(OrganisationFolder(folder / "org"), "Example", PASSPHRASE, kit, now=now)


def made_release(root: Root, folder: Path, version: str = "1.2.3") -> MadeRelease:
    """A release of an organisation whose first root this is, in `folder / "release"`."""
    return made_release_of(RootLine(root.der), root, folder, version)


def made_release_of(roots: RootLine, root: Root, folder: Path, version: str = "1.2.3") -> MadeRelease:
    """A release that this root signs and that carries these roots, in `folder / "release"`."""
    scripts = folder / "scripts"
    (scripts / "linux").mkdir(parents=True)
    (scripts / "linux" / "install.sh").write_text("#!/bin/sh\n")
    wheels = read_wheels(stub_wheels(folder / "wheels", version))
    terms = ReleaseTerms(roots, wheels, scripts, "x86_64", 30, datetime.now(UTC))
    return create_release(root, terms, folder / "release")
