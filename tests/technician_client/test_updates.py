"""The list of updates: what the commands make, and that a relay hands it out."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root, Targets

from protocol.errors import ErrorCode
from protocol.release import Bundle
from protocol.succession import root_fingerprint
from protocol.update_offer import UPDATE_ROOT_NAME, is_among, ring_of
from tests.support.relay_process import running_relay
from tests.support.update_lists import Admin

pytestmark = pytest.mark.beside


def test_two_of_three_root_keys_sign_and_every_key_is_locked(tmp_path: Path) -> None:
    admin = Admin(tmp_path)
    admin.say("keys")
    root = Metadata[Root].from_file(str(admin.folder / "org/updates/metadata/1.root.json"))
    assert root.signed.roles["root"].threshold == 2
    assert len(root.signed.roles["root"].keyids) == 3
    root.verify_delegate("root", root)
    for name in ("root-1", "root-2", "root-3", "targets", "timestamp"):
        assert b"ENCRYPTED PRIVATE KEY" in (admin.folder / f"org/updates/{name}.pem").read_bytes()
    assert admin.refused("keys") is ErrorCode.E_USAGE


def test_a_release_carries_the_root_of_updates_under_the_organisations_signature(tmp_path: Path) -> None:
    admin = Admin(tmp_path)
    admin.say("keys")
    made = admin.release("1.2.3")
    with Bundle.open(admin.published / "files" / made, root_fingerprint(admin.root.der)) as bundle:
        assert UPDATE_ROOT_NAME in {each.name for each in bundle.release.files}


def test_an_offer_has_its_ring_and_a_wider_one_takes_its_place(tmp_path: Path) -> None:
    admin = Admin(tmp_path)
    admin.say("keys")
    admin.release("1.2.3")
    admin.say("offer", "--percent", "1")
    admin.say("offer", "--percent", "10")
    names = [row["path"] for row in json.loads((admin.published / "index.json").read_text())["files"]]
    assert "/release/timestamp.json" in names
    assert "/release/2.targets.json" in names
    assert "/release/1.targets.json" not in names
    targets = Metadata[Targets].from_file(str(admin.folder / "org/updates/metadata/targets.json")).signed
    [file] = targets.targets.values()
    assert file.custom["percent"] == 10
    assert admin.refused("offer", "--percent", "5") is ErrorCode.E_USAGE


def test_an_older_release_cannot_be_offered(tmp_path: Path) -> None:
    admin = Admin(tmp_path)
    admin.say("keys")
    admin.release("1.2.3")
    admin.say("offer")
    admin.release("1.2.2")
    assert admin.refused("offer") is ErrorCode.E_RELEASE_VERSION


def test_a_new_release_leaves_what_is_offered_where_it_is(tmp_path: Path) -> None:
    admin = Admin(tmp_path)
    admin.say("keys")
    first = admin.release("1.2.3")
    admin.say("offer")
    admin.release("1.2.4")
    names = [row["path"] for row in json.loads((admin.published / "index.json").read_text())["files"]]
    assert f"/release/{first}.agent-linux-x86_64.bundle" in names
    assert "/release/timestamp.json" in names


def test_renewing_needs_the_timestamp_key_alone(tmp_path: Path) -> None:
    admin = Admin(tmp_path)
    admin.say("keys")
    assert admin.refused("renew") is ErrorCode.E_USAGE
    admin.release("1.2.3")
    admin.say("offer", "--days", "1")
    for name in ("root-1", "root-2", "root-3", "targets"):
        (admin.folder / f"org/updates/{name}.pem").unlink()
    before = admin.timestamp().version
    admin.say("renew", "--days", "30")
    assert admin.timestamp().version == before + 1


def test_a_root_key_is_replaced_with_the_two_others_wherever_they_are(tmp_path: Path) -> None:
    admin = Admin(tmp_path)
    admin.say("keys")
    updates, apart = admin.folder / "org/updates", tmp_path / "apart"
    apart.mkdir()
    (updates / "root-2.pem").rename(apart / "root-2.pem")
    (updates / "root-1.pem").unlink()
    assert admin.refused("keys", "--replace", "root-1") is ErrorCode.E_USAGE
    admin.say("keys", "--replace", "root-1", "--root-key", str(apart / "root-2.pem"))
    first = Metadata[Root].from_file(str(updates / "metadata/1.root.json"))
    second = Metadata[Root].from_file(str(updates / "metadata/2.root.json"))
    first.verify_delegate("root", second)
    second.verify_delegate("root", second)
    assert len(set(first.signed.roles["root"].keyids) - set(second.signed.roles["root"].keyids)) == 1
    assert admin.refused("keys", "--replace", "root-1", "--replace", "root-3") is ErrorCode.E_USAGE
    assert admin.refused("keys", "--replace", "root-9") is ErrorCode.E_USAGE


def test_the_organisations_new_passphrase_opens_these_keys_too(tmp_path: Path) -> None:
    admin = Admin(tmp_path)
    admin.say("keys")
    admin.release("1.2.3")
    admin.change_passphrase(b"another horse")
    admin.say("offer")


@pytest.mark.real
def test_the_relay_hands_the_list_out_and_nothing_beside_it(tmp_path: Path) -> None:
    admin = Admin(tmp_path)
    admin.say("keys")
    sha256 = admin.release("1.2.3")
    admin.say("offer")
    with running_relay(tmp_path / "relay", workers=0, arguments=["--release", str(admin.published)]) as relay:
        base = f"http://127.0.0.1:{relay.control_port}/release/"
        for name in ("timestamp.json", "1.root.json", "1.snapshot.json", "1.targets.json"):
            with urllib.request.urlopen(base + name) as answer:
                assert json.loads(answer.read())["signed"]
        with urllib.request.urlopen(f"{base}{sha256}.agent-linux-x86_64.bundle") as answer:
            assert answer.read() == (admin.published / "files" / sha256).read_bytes()
        for name in ("2.root.json", "targets.pem", "root-1.pem", "snapshot.json"):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(base + name)


def test_rings_hold_their_share_and_each_holds_the_one_before() -> None:
    devices = [f"device-{number}" for number in range(20_000)]
    for percent in (1, 10):
        share = sum(is_among(device, percent) for device in devices) / len(devices) * 100
        assert abs(share - percent) < 0.6
    assert all(is_among(device, 100) for device in devices)
    assert all(is_among(device, 10) for device in devices if is_among(device, 1))
    assert {ring_of(device) for device in devices} == {1, 10, 100}
