"""Makes a version's folder out of a checked bundle, beside the one that runs; its stamp says: whole."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from agent.update.host import CLEAN_ENVIRONMENT
from agent.update.places import STAMP, UpdatePlaces
from protocol.errors import DocumentRefused, EnvironmentFault, ErrorCode
from protocol.names import shown_text
from protocol.private_files import sync_folder
from protocol.release import Bundle, ReleaseFile

PYTHON: Final = "/usr/bin/python3"
_STEP_LIMIT_S: Final = 900.0
_READABLE: Final = 0o022


def stage(places: UpdatePlaces, bundle: Bundle) -> str:
    """The name of this version's folder, which is whole now.

    Raises:
        DocumentRefused: a file is not the one that was signed.
        EnvironmentFault: E_DATA_DISK, no room or no Python; E_UPDATE_FAILED, the program does not start.
    """
    name = bundle.folder_name
    here = places.versions / name
    if places.is_whole(name):
        return name
    try:
        shutil.rmtree(here, ignore_errors=True)
        with TemporaryDirectory(dir=places.folder, prefix=".staging-") as work:
            _install(bundle, here, Path(work))
        _check_starts(here, bundle.release.version)
        os.sync()  # hundreds of files: all of them before the stamp
        (here / STAMP).touch(0o644)
        sync_folder(here)
        sync_folder(places.versions)
    except BaseException as exc:
        shutil.rmtree(here, ignore_errors=True)
        if isinstance(exc, OSError):
            raise EnvironmentFault(str(exc), code=ErrorCode.E_DATA_DISK) from None
        raise
    return name


def _install(bundle: Bundle, here: Path, work: Path) -> None:
    _do(PYTHON, "-I", "-m", "venv", "--without-pip", str(here))
    units = here / "units"
    units.mkdir(0o755)
    wanted, pip = [], None
    for file in bundle.release.files:
        if file.name.endswith(".whl"):
            path = _copy(bundle, file, work)
            if file.name.startswith("pip-"):
                pip = path
            else:
                wanted.append(f"{path} --hash=sha256:{file.sha256}\n")
        elif file.name.startswith("alongside-agent") and not file.name.endswith(".json"):
            _copy(bundle, file, units)
    if pip is None:
        raise DocumentRefused("it has no installer", code=ErrorCode.E_RELEASE_FORMAT)
    requirements = work / "requirements.txt"
    requirements.write_text("".join(wanted))
    words = ["--isolated", "--quiet", "--disable-pip-version-check", "--no-input", "install", "--no-index"]
    words += ["--no-deps", "--no-cache-dir", "--require-hashes", "--requirement", str(requirements)]
    _do(str(here / "bin/python"), "-I", f"{pip}/pip", *words)


def _copy(bundle: Bundle, file: ReleaseFile, folder: Path) -> Path:
    path = folder / file.name
    with path.open("xb") as target:
        bundle.copy(file, target)
    return path


def _check_starts(here: Path, version: str) -> None:
    """Before anything is switched: a program that cannot say its version here is none to switch to."""
    said = _do(str(here / "bin/alongside-agent"), "--version", code=ErrorCode.E_UPDATE_FAILED)
    if version not in said.split():
        raise EnvironmentFault(
            f"it calls itself {shown_text(said, 40)!r}, not {version}", code=ErrorCode.E_UPDATE_FAILED
        )


def _do(*words: str, code: ErrorCode = ErrorCode.E_DATA_DISK) -> str:
    try:
        done = subprocess.run(  # noqa: S603 -- our own words, or a program of a checked bundle; no shell
            words,
            env=CLEAN_ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_STEP_LIMIT_S,
            umask=_READABLE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(f"{Path(words[0]).name} took too long", code=code) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise EnvironmentFault(f"{Path(words[0]).name}: {shown_text(last, 160)}", code=code)
    return done.stdout


def drop_old(places: UpdatePlaces, kept: set[str]) -> None:
    """Remove the versions that are neither kept nor led to."""
    kept = kept | {places.current_name}
    with suppress(OSError):
        kept.add(places.updater.readlink().name)
    for each in places.versions.iterdir():
        if each.name not in kept:
            shutil.rmtree(each, ignore_errors=True)
