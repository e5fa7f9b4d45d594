"""Making a release: which Pythons it fits, what its parts list says, what the command writes."""

import json
import os
import shutil
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from protocol.errors import DocumentRefused, ErrorCode, UsageError
from protocol.platforms import PLATFORMS, Platform, machine_name, platform_name
from protocol.release import Bundle, check_release_kind
from protocol.succession import root_fingerprint
from technician_client.cli.program import main
from technician_client.release_wheels import fitting_pythons, parts_list, read_wheels
from tests.support.releases import PASSPHRASE, new_root, stub_wheel, stub_wheels
from tests.support.said import said_here


def test_a_release_fits_the_pythons_that_every_wheel_fits(tmp_path: Path) -> None:
    folder = stub_wheels(tmp_path / "wheels")
    assert fitting_pythons(read_wheels(folder), "linux", "x86_64") == ["3.11", "3.12", "3.13", "3.14"]
    stub_wheel(folder, "stable", "1.0", "cp312-abi3-manylinux_2_28_x86_64")
    assert fitting_pythons(read_wheels(folder), "linux", "x86_64") == ["3.12", "3.13", "3.14"]
    stub_wheel(folder, "exact", "1.0", "cp312-cp312-manylinux_2_28_x86_64")
    assert fitting_pythons(read_wheels(folder), "linux", "x86_64") == ["3.12"]
    with pytest.raises(UsageError) as caught:
        fitting_pythons(read_wheels(folder), "linux", "aarch64")
    assert caught.value.code is ErrorCode.E_RELEASE_PLATFORM
    assert "exact-1.0" in caught.value.detail


@pytest.mark.parametrize(
    ("tag", "platform", "machine"),
    [
        ("macosx_11_0_arm64", "macos", "arm64"),
        ("macosx_10_9_universal2", "macos", "arm64"),
        ("macosx_10_9_universal2", "macos", "x86_64"),
        ("win_amd64", "windows", "amd64"),
        ("win_arm64", "windows", "arm64"),
        ("manylinux_2_28_x86_64", "linux", "x86_64"),
    ],
)
def test_wheels_are_for_one_system_and_machine(
    tmp_path: Path, tag: str, platform: Platform, machine: str
) -> None:
    folder = stub_wheels(tmp_path / "wheels")
    stub_wheel(folder, "native", "1.0", f"cp312-cp312-{tag}")
    wheels = read_wheels(folder)
    assert fitting_pythons(wheels, platform, machine) == ["3.12"]
    for other in PLATFORMS:
        for kind in ("x86_64", "aarch64", "arm64", "amd64"):
            is_every_mac = other == "macos" and "universal2" in tag
            if (other, kind) == (platform, machine) or is_every_mac:
                continue
            with pytest.raises(UsageError):
                fitting_pythons(wheels, other, kind)


def test_wheels_without_ours_are_no_release(tmp_path: Path) -> None:
    stub_wheel(tmp_path, "pip", "26.0")
    with pytest.raises(UsageError):
        read_wheels(tmp_path)


def test_upd_10_the_same_wheels_give_the_same_parts_list(tmp_path: Path) -> None:
    wheels = read_wheels(stub_wheels(tmp_path / "wheels"))
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    first = parts_list(wheels, "1.2.3", moment)
    assert first == parts_list(wheels, "1.2.3", moment)
    document = json.loads(first)
    assert document["bomFormat"] == "CycloneDX"
    hashes = {each["name"]: each["hashes"][0]["content"] for each in document["components"]}
    assert hashes == {wheel.name: wheel.sha256 for wheel in wheels}


def built(folder: Path, organisation: Path, umask: int, mtime_s: int) -> dict[str, object]:
    """A release by a builder of its own: other folders, file times, modes and order of files."""
    before = os.umask(umask)
    try:
        folder.mkdir()
        wheels = folder / "wheels"
        shutil.copytree(organisation.parent / "tree", wheels)
        (folder / "scripts" / "linux").mkdir(parents=True)
        (folder / "scripts" / "linux" / "alongside-agent.service").write_text("[Unit]\n")
        (folder / "scripts" / "linux" / "install.sh").write_text("#!/bin/sh\n")
        for path in folder.rglob("*"):
            os.utime(path, (mtime_s, mtime_s))
        secret = folder / "passphrase"
        secret.write_bytes(PASSPHRASE)
        said = said_here(
            "alongside", "release", "create", "--data", str(organisation), "--json",
            "--wheels", str(wheels), "--scripts", str(folder / "scripts"), "--folder", str(folder / "out"),
            "--passphrase-file", str(secret), "--released-at", "2026-01-02T03:04:05",
        )  # fmt: skip
        assert said.status == 0, said
        return said.documents()[0]
    finally:
        os.umask(before)


def test_upd_10_two_builders_of_one_tree_make_the_same_bundle_and_its_parts_list_is_true(
    tmp_path: Path,
) -> None:
    root = new_root(tmp_path / "admin")
    stub_wheels(tmp_path / "tree")
    one = built(tmp_path / "one", tmp_path / "admin", 0o022, 1_000_000_000)
    two = built(tmp_path / "a longer name", tmp_path / "admin", 0o077, 1_700_000_000)
    assert one["bundle_sha256"] == two["bundle_sha256"]
    assert one["script_sha256"] == two["script_sha256"]
    indexes = [(tmp_path / each / "out" / "index.json").read_bytes() for each in ("one", "a longer name")]
    assert indexes[0] == indexes[1]
    with Bundle.open(
        tmp_path / "one" / "out" / "files" / str(one["bundle_sha256"]), root_fingerprint(root.der)
    ) as bundle:
        files = {each.name: each for each in bundle.release.files}
        target = BytesIO()
        bundle.copy(files["parts.cdx.json"], target)
    parts = json.loads(target.getvalue())["components"]
    wheels = {name: each.sha256 for name, each in files.items() if name.endswith(".whl")}
    assert sorted(part["hashes"][0]["content"] for part in parts) == sorted(wheels.values())
    # the control: one more file in the tree is another bundle
    stub_wheel(tmp_path / "tree", "more", "1.0")
    assert (
        built(tmp_path / "three", tmp_path / "admin", 0o022, 1_000_000_000)["bundle_sha256"]
        != one["bundle_sha256"]
    )


def test_systems_and_machines_have_the_names_that_releases_use() -> None:
    assert [platform_name(each) for each in ("Linux", "Darwin", "Windows")] == list(PLATFORMS)
    assert [machine_name(each) for each in ("x86_64", "arm64", "AMD64")] == ["x86_64", "arm64", "amd64"]


def made_for(admin: Path, platform: str, wheels: Path) -> dict[str, object]:
    """What `release create` says, with the install scripts of these sources."""
    secret = admin / "passphrase"
    secret.write_bytes(PASSPHRASE)
    said = said_here(
        "alongside", "release", "create", "--data", str(admin), "--json", "--wheels", str(wheels),
        "--platform", platform, "--passphrase-file", str(secret), "--scripts", str(admin / "scripts"),
    )  # fmt: skip
    assert said.status == 0, said
    return said.documents()[0]


def paths_of(admin: Path) -> set[str]:
    """What a relay would hand out."""
    index = json.loads((admin / "org" / "release" / "index.json").read_text())
    return {each["path"] for each in index["files"]}


def test_releases_of_one_version_lie_beside_each_other_and_another_version_begins_anew(
    tmp_path: Path,
) -> None:
    admin = tmp_path / "admin"
    root = new_root(admin)
    for platform, name in (("linux", "install.sh"), ("macos", "install.sh"), ("windows", "install.ps1")):
        (admin / "scripts" / platform).mkdir(parents=True)
        (admin / "scripts" / platform / name).write_text(f"# {platform}\n")
    (admin / "scripts" / "macos" / "alongside-agent.plist").write_text("<plist/>\n")
    wheels = stub_wheels(tmp_path / "wheels")
    made = {platform: made_for(admin, platform, wheels) for platform in PLATFORMS}
    assert {each["bundle"] for each in made.values()} == {
        "agent-linux-x86_64.bundle",
        "agent-macos-arm64.bundle",
        "agent-windows-amd64.bundle",
    }
    assert paths_of(admin) == {
        *("/install.sh", "/install-macos.sh", "/install.ps1"),
        *(f"/release/{each['bundle']}" for each in made.values()),
        *(f"/release/parts-{each['platform']}-{each['machine']}.cdx.json" for each in made.values()),
    }
    mac = admin / "org" / "release" / "files" / str(made["macos"]["bundle_sha256"])
    with Bundle.open(mac, root_fingerprint(root.der)) as bundle:
        assert bundle.release.platform == "macos"
        assert "alongside-agent.plist" in {each.name for each in bundle.release.files}
        check_release_kind(bundle.release, "macos", "arm64")
        for other in (("linux", "arm64"), ("macos", "x86_64")):
            with pytest.raises(DocumentRefused) as caught:
                check_release_kind(bundle.release, *other)
            assert caught.value.code is ErrorCode.E_RELEASE_PLATFORM
    made_for(admin, "windows", stub_wheels(tmp_path / "newer", "1.2.4"))
    assert paths_of(admin) == {
        *("/install.ps1", "/release/agent-windows-amd64.bundle", "/release/parts-windows-amd64.cdx.json"),
    }


def test_a_release_without_an_install_script_says_so(tmp_path: Path) -> None:
    new_root(tmp_path / "admin")
    made = made_for(tmp_path / "admin", "windows", stub_wheels(tmp_path / "wheels"))
    assert made["script_sha256"] == ""
    assert "/install.ps1" not in paths_of(tmp_path / "admin")


def test_the_command_makes_and_exports_a_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_root(tmp_path / "admin")
    secret = tmp_path / "passphrase"
    secret.write_bytes(PASSPHRASE)
    wheels = stub_wheels(tmp_path / "wheels")
    (tmp_path / "scripts").mkdir()
    common = ["--data", str(tmp_path / "admin"), "--json"]
    making = [
        "--wheels",
        str(wheels),
        "--scripts",
        str(tmp_path / "scripts"),
        "--passphrase-file",
        str(secret),
    ]
    with pytest.raises(SystemExit) as left:
        main(["release", "create", *making, *common])
    assert left.value.code == 0
    made = json.loads(capsys.readouterr().out)
    assert made["version"] == "1.2.3"
    with pytest.raises(SystemExit) as left:
        main(["release", "export", str(tmp_path / "stick"), *common])
    assert left.value.code == 0
    assert (tmp_path / "stick" / "agent-linux-x86_64.bundle").stat().st_size > 0
