"""INS-03, UPD-03, UPD-09: whatever is changed in a bundle is refused, and nothing of it is handed out."""

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.certificates import organisation_of_root
from protocol.errors import DocumentRefused, ErrorCode, SupportError
from protocol.release import Bundle, check_release_time, version_order
from technician_client.organisation import Root
from tests.support.mac_programs import verified
from tests.support.releases import made_release, new_root
from tests.support.verify_ps1 import verified_by_powershell

pytestmark = pytest.mark.beside


@dataclass(frozen=True)
class Stage:
    """A bundle, and whose it is."""

    bundle: bytes
    organisation_id: str
    root: Root


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    folder = tmp_path_factory.mktemp("release")
    root = new_root(folder)
    made = made_release(root, folder)
    bundle = (folder / "release" / "files" / made.bundle_sha256).read_bytes()
    return Stage(bundle, organisation_of_root(root.der)[0], root)


def read_all(path: Path, organisation_id: str) -> dict[str, bytes]:
    """Every file of a bundle, as an installer takes them."""
    found = {}
    with Bundle.open(path, organisation_id) as bundle:
        for each in bundle.release.files:
            target = io.BytesIO()
            bundle.copy(each, target)
            found[each.name] = target.getvalue()
    return found


def repacked(bundle: bytes, change: Callable[[dict[str, tarfile.TarInfo], dict[str, bytes]], None]) -> bytes:
    """The bundle after a change to its members."""
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        facts = {each.name: each for each in archive.getmembers()}
        contents = {name: archive.extractfile(name).read() for name in facts}
    change(facts, contents)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, each in facts.items():
            each.size = len(contents[name]) if each.isreg() else 0
            archive.addfile(each, io.BytesIO(contents[name]))
    return target.getvalue()


def refused(tmp_path: Path, bundle: bytes, organisation_id: str) -> ErrorCode:
    """The code that reading it ends with."""
    path = tmp_path / "agent.bundle"
    path.write_bytes(bundle)
    with pytest.raises(SupportError) as caught:
        read_all(path, organisation_id)
    return caught.value.code


def test_ins_03_control_the_bundle_as_it_was_made_is_read(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "agent.bundle"
    path.write_bytes(repacked(stage.bundle, lambda facts, contents: None))
    found = read_all(path, stage.organisation_id)
    assert set(found) == {"alongside-1.2.3-py3-none-any.whl", "pip-26.0-py3-none-any.whl", "parts.cdx.json"}


def test_ins_03_another_organisations_bundle_is_refused(stage: Stage, tmp_path: Path) -> None:
    assert refused(tmp_path, stage.bundle, "0" * 64) is ErrorCode.E_RELEASE_SIGNATURE


@pytest.mark.parametrize("name", ["release.json", "release.sig", "alongside-1.2.3-py3-none-any.whl"])
def test_ins_03_a_changed_byte_is_refused(stage: Stage, tmp_path: Path, name: str) -> None:
    def change(facts: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
        raw = bytearray(contents[name])
        raw[-1] ^= 1
        contents[name] = bytes(raw)

    assert (
        refused(tmp_path, repacked(stage.bundle, change), stage.organisation_id)
        is ErrorCode.E_RELEASE_SIGNATURE
    )


@pytest.mark.parametrize(
    "name", ["release.json", "release.sig", "organisation.pem", "successors.json", "parts.cdx.json"]
)
def test_ins_03_a_missing_member_is_refused(stage: Stage, tmp_path: Path, name: str) -> None:
    def change(facts: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
        del facts[name]

    assert (
        refused(tmp_path, repacked(stage.bundle, change), stage.organisation_id) is ErrorCode.E_RELEASE_FORMAT
    )


def test_upd_03_a_file_with_its_matching_hash_in_the_same_bundle_is_refused(
    stage: Stage, tmp_path: Path
) -> None:
    import hashlib

    name = "alongside-1.2.3-py3-none-any.whl"

    def change(facts: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
        before = hashlib.sha256(contents[name]).hexdigest().encode()
        contents[name] = b"x" * len(contents[name])
        contents["release.json"] = contents["release.json"].replace(
            before, hashlib.sha256(contents[name]).hexdigest().encode()
        )

    assert (
        refused(tmp_path, repacked(stage.bundle, change), stage.organisation_id)
        is ErrorCode.E_RELEASE_SIGNATURE
    )


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_upd_09_a_link_or_folder_in_a_files_place_is_refused(
    stage: Stage, tmp_path: Path, kind: bytes
) -> None:
    def change(facts: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
        facts["parts.cdx.json"].type = kind
        facts["parts.cdx.json"].linkname = "/etc/passwd"

    assert (
        refused(tmp_path, repacked(stage.bundle, change), stage.organisation_id) is ErrorCode.E_RELEASE_FORMAT
    )


def test_upd_09_members_beside_the_manifest_are_never_touched(stage: Stage, tmp_path: Path) -> None:
    def change(facts: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
        for name in ("../outside", "/outside"):
            facts[name] = tarfile.TarInfo(name)
            contents[name] = b"hostile"

    path = tmp_path / "in" / "agent.bundle"
    path.parent.mkdir()
    path.write_bytes(repacked(stage.bundle, change))
    assert not {"../outside", "/outside"} & set(read_all(path, stage.organisation_id))
    assert [each.name for each in tmp_path.rglob("*")] == ["in", "agent.bundle"]


@given(cut=st.integers(min_value=0, max_value=20_000))
def test_ins_03_a_cut_bundle_is_refused(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    # what follows the last member is padding alone
    cut = min(cut, stage.bundle.rindex(b"cdx") - 1)
    path = tmp_path_factory.getbasetemp() / "cut.bundle"
    path.write_bytes(stage.bundle[:cut])
    with pytest.raises(DocumentRefused):
        read_all(path, stage.organisation_id)


def test_a_release_past_its_time_is_refused(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "agent.bundle"
    path.write_bytes(stage.bundle)
    with Bundle.open(path, stage.organisation_id) as bundle:
        release = bundle.release
    check_release_time(release, now=release.expires_at_utc)
    with pytest.raises(DocumentRefused) as caught:
        check_release_time(release, now=release.expires_at_utc + timedelta(seconds=1))
    assert caught.value.code is ErrorCode.E_RELEASE_EXPIRED


def test_versions_are_compared_as_numbers() -> None:
    assert version_order("0.10.0") > version_order("0.9.9")
    with pytest.raises(DocumentRefused):
        version_order("1.0.0rc1")


def judged_by_shell(tmp_path: Path, bundle: bytes, fingerprint: str) -> int:
    """What `verify.sh` ends with, here and with a Mac's programs."""
    path = tmp_path / "agent.bundle"
    path.write_bytes(bundle)
    script = Path(__file__).parents[2] / "scripts" / "install" / "verify.sh"
    return verified(script, path, fingerprint)


@pytest.mark.real
@pytest.mark.parametrize(
    "name", ["release.json", "release.sig", "parts.cdx.json", "pip-26.0-py3-none-any.whl"]
)
def test_ins_03_the_shell_verifier_refuses_a_changed_byte(stage: Stage, tmp_path: Path, name: str) -> None:
    def change(facts: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
        raw = bytearray(contents[name])
        raw[-1] ^= 1
        contents[name] = bytes(raw)

    assert judged_by_shell(tmp_path, stage.bundle, stage.organisation_id) == 0
    assert judged_by_shell(tmp_path, repacked(stage.bundle, change), stage.organisation_id) == 5
    assert judged_by_shell(tmp_path, stage.bundle, "0" * 64) == 5
    assert judged_by_shell(tmp_path, stage.bundle[:4000], stage.organisation_id) == 5
    assert judged_by_shell(tmp_path, stage.bundle, "../x") == 2


def by_powershell(tmp_path: Path, bundle: bytes, fingerprint: str) -> int:
    """What `verify.ps1` ends with."""
    path = tmp_path / "agent.bundle"
    path.write_bytes(bundle)
    return verified_by_powershell(path, fingerprint)


def test_ins_03_control_the_windows_verifier_takes_the_bundle_as_it_was_made(
    stage: Stage, tmp_path: Path
) -> None:
    assert by_powershell(tmp_path, stage.bundle, stage.organisation_id) == 0
    assert by_powershell(tmp_path, stage.bundle, "0" * 64) == 5


@pytest.mark.parametrize(
    "name",
    [
        "release.json",
        "release.sig",
        "organisation.pem",
        "successors.json",
        "alongside-1.2.3-py3-none-any.whl",
    ],
)
def test_ins_03_the_windows_verifier_refuses_a_changed_and_a_missing_member(
    stage: Stage, tmp_path: Path, name: str
) -> None:
    def change(facts: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
        raw = bytearray(contents[name])
        raw[len(raw) // 2] ^= 1
        contents[name] = bytes(raw)

    def remove(facts: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
        del facts[name]

    assert by_powershell(tmp_path, repacked(stage.bundle, change), stage.organisation_id) == 5
    assert by_powershell(tmp_path, repacked(stage.bundle, remove), stage.organisation_id) == 5


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_upd_09_the_windows_verifier_refuses_a_link_or_folder_in_a_files_place(
    stage: Stage, tmp_path: Path, kind: bytes
) -> None:
    def change(facts: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
        facts["parts.cdx.json"].type = kind
        facts["parts.cdx.json"].linkname = "C:/Windows/win.ini"

    assert by_powershell(tmp_path, repacked(stage.bundle, change), stage.organisation_id) == 5


def test_upd_09_the_windows_verifier_refuses_a_name_that_stands_there_twice(
    stage: Stage, tmp_path: Path
) -> None:
    with tarfile.open(fileobj=io.BytesIO(stage.bundle)) as archive:
        facts = archive.getmembers()
        contents = [archive.extractfile(each).read() for each in facts]
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for each, content in zip([*facts, facts[-1]], [*contents, b"x" * facts[-1].size], strict=True):
            archive.addfile(each, io.BytesIO(content))
    assert by_powershell(tmp_path, target.getvalue(), stage.organisation_id) == 5


@settings(max_examples=60, deadline=None)
@given(place=st.integers(min_value=0, max_value=20_000), bit=st.integers(min_value=0, max_value=7))
def test_ins_03_the_windows_verifier_takes_a_bundle_with_a_flipped_bit_for_the_true_one_or_refuses_it(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    changed = bytearray(stage.bundle)
    place %= len(changed)
    changed[place] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "flipped.bundle"
    path.write_bytes(changed)
    if verified_by_powershell(path, stage.organisation_id) == 0:
        # the archive's own words (times, modes, padding) and spare bits of the root's base64 are nobody's
        with tarfile.open(fileobj=io.BytesIO(stage.bundle)) as archive:
            for each in archive.getmembers():
                part = slice(each.offset_data, each.offset_data + each.size)
                assert changed[part] == stage.bundle[part] or each.name == "organisation.pem"


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(min_value=0, max_value=20_000))
def test_ins_03_the_windows_verifier_refuses_a_cut_bundle(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    cut = min(cut, stage.bundle.rindex(b"cdx") - 1)
    path = tmp_path_factory.getbasetemp() / "cut.bundle"
    path.write_bytes(stage.bundle[:cut])
    assert verified_by_powershell(path, stage.organisation_id) == 5
