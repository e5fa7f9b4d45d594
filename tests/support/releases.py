"""Small signed releases: real wheels in form, with nothing in them."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile

from protocol.platforms import Platform
from protocol.succession import RootLine
from technician_client.organisation import OrganisationFolder, Root, create_organisation
from technician_client.release_bundle import MadeRelease, ReleaseTerms, create_release
from technician_client.release_wheels import read_wheels
from tests.support.organisation import new_key

SCRIPTS = Path(__file__).parents[2] / "scripts" / "install"
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


STUB_AGENT = """import sys
from pathlib import Path


def main():
    words = sys.argv[1:]
    if words[:1] == ["join"]:
        data, token = Path(words[words.index("--data") + 1]), sys.stdin.read()
        seen = Path("/proc/self/cmdline").read_text() + Path("/proc/self/environ").read_text()
        (data / "heard").write_text(seen + "|" + token)
        if token != "right":
            sys.exit("E_TOKEN_INVALID")
        (data / "identity.pem").write_text("joined")
    if words[:1] == ["--version"]:
        print(VERSION)
"""


def installable_wheels(folder: Path, version: str) -> Path:
    """A folder with Debian's own pip, and an agent that only pretends."""
    folder.mkdir()
    (pip,) = Path("/usr/share/python-wheels").glob("pip-*.whl")
    shutil.copy(pip, folder)
    wheel = stub_wheel(folder, "alongside", version)
    with ZipFile(wheel, "a") as archive:
        archive.writestr("alongside/stub.py", f"VERSION = {version!r}\n{STUB_AGENT}")
        scripts = "[console_scripts]\nalongside-agent = alongside.stub:main\n"
        archive.writestr(f"alongside-{version}.dist-info/entry_points.txt", scripts)
    return folder


def installable_release(
    root: Root,
    folder: Path,
    version: str,
    machine: str,
    update_root: bytes = b"",
    platform: Platform = "linux",
) -> tuple[Path, Path]:
    """A release with the real scripts and units: its bundle, and its one-file install script."""
    folder.mkdir()
    wheels = read_wheels(installable_wheels(folder / "wheels", version))
    roots, now = RootLine(root.der), datetime.now(UTC)
    terms = ReleaseTerms(roots, wheels, SCRIPTS, platform, machine, 30, now, update_root)
    made = create_release(root, terms, folder / "release")
    files = folder / "release" / "files"
    return files / made.bundle_sha256, files / made.script_sha256


def made_release(
    root: Root, folder: Path, version: str = "1.2.3", platform: Platform = "linux"
) -> MadeRelease:
    """A release of an organisation whose first root this is, in `folder / "release"`."""
    return made_release_of(RootLine(root.der), root, folder, version, platform)


def made_release_of(
    roots: RootLine, root: Root, folder: Path, version: str = "1.2.3", platform: Platform = "linux"
) -> MadeRelease:
    """A release that this root signs and that carries these roots, in `folder / "release"`."""
    scripts = folder / "scripts"
    (scripts / platform).mkdir(parents=True)
    (scripts / platform / ("install.ps1" if platform == "windows" else "install.sh")).write_text("# one\n")
    wheels = read_wheels(stub_wheels(folder / "wheels", version))
    terms = ReleaseTerms(roots, wheels, scripts, platform, "x86_64", 30, datetime.now(UTC))
    return create_release(root, terms, folder / "release")
