"""What is made for Macs beside the install script: the privacy profile and the package."""

import os
import plistlib
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.succession import root_fingerprint
from technician_client.release_bundle import export_bundle
from tests.support.releases import made_release, new_root

pytestmark = pytest.mark.beside

FOLDER = Path(__file__).parents[2] / "scripts" / "install" / "macos"
# writes down its words, and keeps the folder of scripts that it is given
PACKER = """#!/bin/sh
echo "$(basename "$0") $*" >>{folder}/told
for last; do :; done
while [ "$#" -gt 1 ]; do
  [ "$1" != --scripts ] || cp -R "$2" {folder}/kept
  shift
done
echo package >"$last"
"""


def profiled(*words: str) -> "subprocess.CompletedProcess[bytes]":
    made = [sys.executable, "-I", str(FOLDER / "make_profile.py"), *words]
    return subprocess.run(made, capture_output=True, timeout=60, check=False)


def test_the_profile_allows_control_and_leaves_the_screen_to_the_person() -> None:
    words = ["--identifier", "com.example.alongside", "--team", "ABCDE12345", "--organisation", "Example"]
    done = profiled(*words)
    assert done.returncode == 0, done.stderr
    assert profiled(*words).stdout == done.stdout, "the same words give the same profile"
    profile = plistlib.loads(done.stdout)
    [payload] = profile["PayloadContent"]
    assert payload["PayloadType"] == "com.apple.TCC.configuration-profile-policy"
    words_of = {name: each["Authorization"] for name, [each] in payload["Services"].items()}
    assert words_of == {
        "Accessibility": "Allow",
        "PostEvent": "Allow",
        "ScreenCapture": "AllowStandardUserToSetSystemService",
        "ListenEvent": "AllowStandardUserToSetSystemService",
    }
    for [each] in payload["Services"].values():
        assert each["IdentifierType"] == "bundleID"
        assert 'identifier "com.example.alongside"' in each["CodeRequirement"]
        assert 'certificate leaf[subject.OU] = "ABCDE12345"' in each["CodeRequirement"]
        assert "Allowed" not in each, "either this or Authorization"


@pytest.mark.parametrize(
    ("identifier", "team"),
    [
        ("org.python.python", "ABCDE12345"),
        ("com.apple.Terminal", "ABCDE12345"),
        ('com.example" or anchor apple', "ABCDE12345"),
        ("com.example.alongside", 'A" or "'),
        ("alongside", "ABCDE12345"),
    ],
)
def test_a_profile_for_more_than_one_application_is_not_made(identifier: str, team: str) -> None:
    done = profiled("--identifier", identifier, "--team", team)
    assert (done.returncode, done.stdout) == (2, b"")


def packed(folder: Path, fingerprint: str, *more: str) -> "subprocess.CompletedProcess[str]":
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("pkgbuild", "productbuild"):
        (programs / name).write_text(PACKER.format(folder=folder))
        (programs / name).chmod(0o755)
    words = [
        "--fingerprint",
        fingerprint,
        "--from",
        str(folder / "stick"),
        "--out",
        str(folder / "a.pkg"),
        *more,
    ]
    return subprocess.run(
        ["bash", FOLDER / "make-pkg.sh", *words],
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.real
def test_a_package_carries_a_checked_bundle_and_a_script_that_checks_it_again(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    made_release(root, tmp_path, platform="macos")
    list(export_bundle(tmp_path / "release", tmp_path / "stick"))
    fingerprint = root_fingerprint(root.der)
    done = packed(tmp_path, fingerprint, "--sign", "Developer ID Installer: Example")
    assert done.returncode == 0, done.stderr
    first, second = (tmp_path / "told").read_text().splitlines()
    assert "--nopayload" in first
    assert "--version 1.2.3" in first
    assert "--sign Developer ID Installer: Example" in second
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        "agent.bundle",
        "install.sh",
        "postinstall",
    ]
    after = (tmp_path / "kept" / "postinstall").read_text()
    assert f'--fingerprint {fingerprint} --offline "$here/agent.bundle" --no-join' in after
    assert subprocess.run(["bash", "-n", tmp_path / "kept" / "postinstall"], check=False).returncode == 0


@pytest.mark.real
def test_a_package_is_not_made_of_what_is_not_signed_or_not_for_macs(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    made_release(root, tmp_path, platform="macos")
    list(export_bundle(tmp_path / "release", tmp_path / "stick"))
    assert packed(tmp_path, "0" * 64).returncode == 5
    assert packed(tmp_path, "0").returncode == 2
    (tmp_path / "elsewhere").mkdir()
    made_release(root, tmp_path / "elsewhere")
    list(export_bundle(tmp_path / "elsewhere" / "release", tmp_path / "elsewhere" / "stick"))
    linux = tmp_path / "elsewhere" / "stick" / "agent-linux-x86_64.bundle"
    linux.rename(tmp_path / "stick" / "agent-macos-x86_64.bundle")
    done = packed(tmp_path, root_fingerprint(root.der))
    assert (done.returncode, "E_RELEASE_PLATFORM" in done.stderr) == (5, True)
    (tmp_path / "stick" / "install-macos.sh").unlink()
    assert packed(tmp_path, root_fingerprint(root.der)).returncode == 6
    assert not (tmp_path / "told").exists()
