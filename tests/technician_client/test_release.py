"""Making a release: which Pythons it fits, what its parts list says, what the command writes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocol.errors import UsageError
from technician_client.cli.program import main
from technician_client.release_wheels import fitting_pythons, parts_list, read_wheels
from tests.support.releases import PASSPHRASE, new_root, stub_wheel, stub_wheels


def test_a_release_fits_the_pythons_that_every_wheel_fits(tmp_path: Path) -> None:
    folder = stub_wheels(tmp_path / "wheels")
    assert fitting_pythons(read_wheels(folder), "x86_64") == ["3.11", "3.12", "3.13", "3.14"]
    stub_wheel(folder, "stable", "1.0", "cp312-abi3-manylinux_2_28_x86_64")
    assert fitting_pythons(read_wheels(folder), "x86_64") == ["3.12", "3.13", "3.14"]
    stub_wheel(folder, "exact", "1.0", "cp312-cp312-manylinux_2_28_x86_64")
    assert fitting_pythons(read_wheels(folder), "x86_64") == ["3.12"]
    with pytest.raises(UsageError):
        fitting_pythons(read_wheels(folder), "aarch64")


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
