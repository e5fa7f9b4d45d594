"""UPD-01 to 04, 06 to 08, 14: what a relay makes of the list of updates is refused, with one record each."""

import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from agent.update.fetch import Patience
from agent.update.listed import Machine
from agent.update.look import CURRENT, LATER, OFFERED, Device, Look
from agent.update.places import UpdatePlaces
from agent.update.status import Frozen, UpdateStatus, read_status
from protocol.audit import read_record
from protocol.errors import ErrorCode, SupportError
from protocol.succession import root_fingerprint
from technician_client.update_keys import UpdateKeys
from technician_client.update_list import UpdateList
from tests.support.relay_process import running_relay
from tests.support.releases import PASSPHRASE
from tests.support.said import said_here
from tests.support.update_lists import Admin, installed
from tests.support.update_server import UpdateServer, drip, drip_header, endless, redirect, update_server

pytestmark = [pytest.mark.real, pytest.mark.beside]

QUICK = Patience(silence_s=1.0, first_s=2.0, bytes_per_s=50_000)
BUNDLE = "agent-linux-x86_64.bundle"
Files = dict[str, bytes]


@dataclass(frozen=True)
class Lists:
    """What an organisation published, one state after the other: 1.2.3, then 1.2.4 for all devices."""

    admin: Admin
    fingerprint: str
    first_root: bytes
    older: Files
    newer: Files

    def keys(self) -> UpdateKeys:
        return UpdateKeys(self.admin.folder / "org" / "updates")


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Lists:
    admin = Admin(tmp_path_factory.mktemp("lists"))
    admin.say("keys")
    admin.release("1.2.3")
    admin.say("offer", "--percent", "100")
    older = admin.served()
    admin.release("1.2.4")
    admin.say("offer", "--percent", "100")
    return Lists(admin, root_fingerprint(admin.root.der), older["1.root.json"], older, admin.served())


@dataclass
class Stage:
    """A device that runs 1.2.2, and the server that it asks."""

    places: UpdatePlaces
    server: UpdateServer
    lists: Lists

    def look(self, *, machine: str = "x86_64", now: Callable[[], datetime] | None = None) -> UpdateStatus:
        device = Device("device-1", self.server.url, Machine("linux", machine))
        return Look(self.places, device, QUICK, now or (lambda: datetime.now(UTC))).look()

    def take(self) -> None:
        """Look, and fetch what is offered."""
        device = Device("device-1", self.server.url, Machine("linux", "x86_64"))
        look = Look(self.places, device, QUICK)
        assert look.look().outcome == OFFERED
        assert look.listing is not None
        try:
            look.listing.fetch(self.lists.fingerprint, datetime.now(UTC))
        except SupportError as exc:
            look.refuse(exc)
            raise

    def take_or_look(self) -> None:
        """Whichever comes as far as the attack."""
        self.look()
        self.take()

    def refused(self, act: Callable[[], object]) -> ErrorCode:
        """The code, after the one record of it was found."""
        before = self.records()
        with pytest.raises(SupportError) as caught:
            act()
        assert self.records()[len(before) :] == [("update.refused", caught.value.code.value)]
        status = read_status(self.places.status)
        assert status is not None
        assert status.code == caught.value.code
        assert self.places.current_version == "1.2.2"
        return caught.value.code

    def records(self) -> list[tuple[str, object]]:
        if not self.places.audit.exists():
            return []
        records = [read_record(line) for line in self.places.audit.read_bytes().splitlines()]
        return [(record.kind, record.facts["code"]) for record in records]


@pytest.fixture
def stage(lists: Lists, tmp_path: Path) -> Iterator[Stage]:
    places = installed(tmp_path / "opt", "1.2.2", lists.fingerprint, lists.first_root)
    with update_server(lists.newer) as server:
        yield Stage(places, server, lists)


def bundle_name(files: Files) -> str:
    [name] = [name for name in files if name.endswith(f".{BUNDLE}")]
    return name


def test_control_what_is_offered_is_found_and_fetched_and_leaves_no_refusal(stage: Stage) -> None:
    stage.take()
    assert stage.places.incoming.read_bytes() == stage.server.files[bundle_name(stage.server.files)]
    assert stage.look().offered == "1.2.4"
    assert stage.records() == []


def test_control_the_installed_version_is_the_current_one(lists: Lists, tmp_path: Path) -> None:
    places = installed(tmp_path / "opt", "1.2.4", lists.fingerprint, lists.first_root)
    with update_server(lists.newer) as server:
        assert Stage(places, server, lists).look().outcome == CURRENT


def test_upd_01_a_package_of_the_relays_own_is_refused(stage: Stage) -> None:
    name = bundle_name(stage.server.files)
    stage.server.files[name] = b"x" * len(stage.server.files[name])
    assert stage.refused(stage.take) is ErrorCode.E_RELEASE_SIGNATURE
    assert not stage.places.incoming.exists()


@pytest.mark.parametrize("role", ["timestamp", "2.snapshot", "2.targets"])
def test_upd_01_a_changed_byte_of_the_list_is_refused(stage: Stage, role: str) -> None:
    content = stage.server.files[f"{role}.json"]
    stage.server.files[f"{role}.json"] = content.replace(b'"expires":"20', b'"expires":"21', 1)
    assert stage.server.files[f"{role}.json"] != content
    assert stage.refused(stage.look) is ErrorCode.E_RELEASE_SIGNATURE


def test_upd_01_a_whole_list_with_keys_of_the_relays_own_is_refused(
    stage: Stage, tmp_path: Path, lists: Lists
) -> None:
    thief = UpdateList(tmp_path / "thief", datetime.now(UTC))
    keys = UpdateKeys(tmp_path / "thief")
    thief.begin(keys, PASSPHRASE)
    [(offer, _)] = UpdateList(lists.admin.folder / "org" / "updates", datetime.now(UTC)).offers()
    thief.offer(keys, PASSPHRASE, b"mine", offer, 14)
    stage.server.files = {**thief.published(), "2.root.json": thief.published()["1.root.json"]}
    assert stage.refused(stage.look) is ErrorCode.E_RELEASE_SIGNATURE


def test_upd_03_hash_and_file_from_the_same_hand_are_refused(stage: Stage) -> None:
    """The list is rewritten to fit the relay's own file, under the old signatures."""
    name = bundle_name(stage.server.files)
    forged = b"x" * len(stage.server.files[name])
    targets = Metadata[Targets].from_bytes(stage.server.files["2.targets.json"])
    targets.signed.targets[BUNDLE].hashes = TargetFile.from_data(BUNDLE, forged, ["sha256"]).hashes
    stage.server.files["2.targets.json"] = targets.to_bytes()
    assert stage.refused(stage.take_or_look) is ErrorCode.E_RELEASE_SIGNATURE


@pytest.mark.parametrize(
    "roles", [("timestamp",), ("snapshot",), ("targets",), ("timestamp", "snapshot", "targets")]
)
def test_upd_02_an_older_list_or_an_older_part_of_it_is_refused(stage: Stage, roles: tuple[str, ...]) -> None:
    stage.look()
    files = stage.server.files
    for role in roles:
        for new, old in (("2.", "1."), ("", "")):
            if f"{new}{role}.json" in files:
                files[f"{new}{role}.json"] = stage.lists.older[f"{old}{role}.json"]
    (stage.places.metadata / "snapshot.json").unlink()
    (stage.places.metadata / "targets.json").unlink()
    expected = ErrorCode.E_RELEASE_VERSION if "timestamp" in roles else ErrorCode.E_RELEASE_SIGNATURE
    assert stage.refused(stage.look) is expected


def test_upd_02_a_signed_list_that_offers_less_than_what_runs_is_refused(
    lists: Lists, tmp_path: Path
) -> None:
    places = installed(tmp_path / "opt", "1.2.5", lists.fingerprint, lists.first_root)
    with update_server(lists.newer) as server:
        with pytest.raises(SupportError) as caught:
            Stage(places, server, lists).look()
        assert caught.value.code is ErrorCode.E_RELEASE_VERSION


def test_upd_02_mixed_parts_of_two_lists_are_refused(stage: Stage) -> None:
    """A new timestamp with the snapshot of before, and a new snapshot with the targets of before."""
    stage.server.files["2.snapshot.json"] = stage.lists.older["1.snapshot.json"]
    assert stage.refused(stage.look) is ErrorCode.E_RELEASE_SIGNATURE
    stage.server.files["2.snapshot.json"] = stage.lists.newer["2.snapshot.json"]
    stage.server.files["2.targets.json"] = stage.lists.older["1.targets.json"]
    with pytest.raises(SupportError) as caught:
        stage.look()
    assert caught.value.code is ErrorCode.E_RELEASE_SIGNATURE


def test_upd_04_a_frozen_list_is_refused_and_told_after_a_day_and_loudly_after_a_week(
    stage: Stage, lists: Lists
) -> None:
    stage.look()
    signer = lists.keys().open("timestamp", PASSPHRASE)
    frozen = Metadata[Timestamp].from_bytes(lists.newer["timestamp.json"])
    frozen.signed.expires = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    frozen.signed.version += 1
    frozen.sign(signer)
    stage.server.files["timestamp.json"] = frozen.to_bytes()
    assert stage.refused(stage.look) is ErrorCode.E_UPDATE_FROZEN
    status = read_status(stage.places.status)
    assert status is not None
    assert status.believed_until_utc is not None
    until = status.believed_until_utc
    for after, told in (
        (timedelta(0), Frozen.NO),
        (timedelta(hours=1), Frozen.EXPIRED),
        (timedelta(hours=24), Frozen.WARNING),
        (timedelta(days=7), Frozen.ALARM),
    ):
        assert status.frozen(until + after) is told


def test_upd_04_a_relay_that_hands_out_no_list_is_told_as_frozen_too(stage: Stage) -> None:
    stage.server.files.clear()
    assert stage.refused(stage.look) is ErrorCode.E_RELAY_UNREACHABLE
    status = read_status(stage.places.status)
    assert status is not None
    assert status.since_utc is not None
    assert status.frozen(status.since_utc + timedelta(days=7)) is Frozen.ALARM


def rotated(lists: Lists, signers: list[CryptoSigner], change: Callable[[Root], None]) -> bytes:
    """The second root, after a change, signed by these."""
    root = Metadata[Root].from_bytes(lists.first_root).signed
    root.version = 2
    change(root)
    metadata = Metadata(root)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def test_upd_06_one_stolen_root_key_changes_nothing_and_two_do(
    stage: Stage, lists: Lists, tmp_path: Path
) -> None:
    keys = lists.keys()
    one, two = (keys.open(name, PASSPHRASE) for name in ("root-1", "root-2"))
    mine = UpdateKeys(tmp_path / "thief").make("timestamp", PASSPHRASE)

    def change(root: Root) -> None:
        root.add_key(mine.public_key, "timestamp")

    stage.server.files["2.root.json"] = rotated(lists, [one], change)
    assert stage.refused(stage.look) is ErrorCode.E_RELEASE_SIGNATURE
    stage.server.files["2.root.json"] = rotated(lists, [one, two], change)
    assert stage.look().outcome == OFFERED


def test_upd_06_a_replaced_key_is_refused_later(stage: Stage, lists: Lists, tmp_path: Path) -> None:
    keys = lists.keys()
    roots = [keys.open(name, PASSPHRASE) for name in ("root-1", "root-3")]
    fresh = UpdateKeys(tmp_path / "fresh").make("timestamp", PASSPHRASE)

    def change(root: Root) -> None:
        [former] = root.roles["timestamp"].keyids
        root.revoke_key(former, "timestamp")
        root.add_key(fresh.public_key, "timestamp")

    stage.server.files["2.root.json"] = rotated(lists, roots, change)
    assert stage.refused(stage.look) is ErrorCode.E_RELEASE_SIGNATURE  # signed with the key of before
    timestamp = Metadata[Timestamp].from_bytes(lists.newer["timestamp.json"])
    timestamp.sign(fresh)
    stage.server.files["timestamp.json"] = timestamp.to_bytes()
    assert stage.look().outcome == OFFERED
    del stage.server.files["2.root.json"]  # withholding the new root does not bring the old key back
    stage.server.files["timestamp.json"] = lists.newer["timestamp.json"]
    with pytest.raises(SupportError) as caught:
        stage.look()
    assert caught.value.code is ErrorCode.E_RELEASE_SIGNATURE


def test_upd_06_all_update_keys_together_make_no_release(stage: Stage, lists: Lists) -> None:
    """The organisation's root has to have signed the bundle as well."""
    other = Admin(stage.places.prefix.parent / "other")
    sha256 = other.release("1.2.4")
    forged = (other.published / "files" / sha256).read_bytes()
    stage.server.files = relisted(lists, lambda targets: swap(targets, forged)) | {
        f"{sha256}.{BUNDLE}": forged
    }
    assert stage.refused(stage.take) is ErrorCode.E_RELEASE_SIGNATURE


def swap(targets: Targets, content: bytes) -> None:
    """Put this in the bundle's place."""
    custom = targets.targets[BUNDLE].custom
    targets.targets[BUNDLE] = TargetFile.from_data(BUNDLE, content, ["sha256"])
    targets.targets[BUNDLE].unrecognized_fields["custom"] = custom


def relisted(lists: Lists, change: Callable[[Targets], None], version: int = 3) -> Files:
    """The list after a change, signed by the real keys."""
    signer = lists.keys().open("targets", PASSPHRASE)
    targets = Metadata[Targets].from_bytes(lists.newer["2.targets.json"])
    change(targets.signed)
    targets.signed.version = version
    targets.sign(signer)
    snapshot = Metadata[Snapshot].from_bytes(lists.newer["2.snapshot.json"])
    snapshot.signed.version = version
    snapshot.signed.meta["targets.json"] = MetaFile.from_data(version, targets.to_bytes(), ["sha256"])
    snapshot.sign(signer)
    timestamp = Metadata[Timestamp].from_bytes(lists.newer["timestamp.json"])
    timestamp.signed.version = version
    timestamp.signed.snapshot_meta = MetaFile.from_data(version, snapshot.to_bytes(), ["sha256"])
    timestamp.sign(lists.keys().open("timestamp", PASSPHRASE))
    made = {f"{version}.targets.json": targets.to_bytes(), f"{version}.snapshot.json": snapshot.to_bytes()}
    return lists.newer | made | {"timestamp.json": timestamp.to_bytes()}


@pytest.mark.parametrize(
    "name", ["timestamp.json", "2.snapshot.json", "2.targets.json", "2.root.json", "bundle"]
)
def test_upd_07_endless_data_is_cut_off(stage: Stage, name: str) -> None:
    stage.server.hostile[bundle_name(stage.server.files) if name == "bundle" else name] = endless
    assert stage.refused(stage.take_or_look) is ErrorCode.E_RELEASE_SIGNATURE


@pytest.mark.parametrize("name", ["timestamp.json", "bundle"])
def test_upd_07_slow_data_is_given_up(stage: Stage, name: str) -> None:
    path = bundle_name(stage.server.files) if name == "bundle" else name
    stage.server.hostile[path] = drip(stage.server.files[path], 0.05)
    started_s = time.monotonic()
    assert stage.refused(stage.take_or_look) is ErrorCode.E_RELAY_UNREACHABLE
    assert time.monotonic() - started_s < 20


def test_upd_07_a_header_that_never_ends_is_given_up(stage: Stage) -> None:
    stage.server.hostile["timestamp.json"] = drip_header
    started_s = time.monotonic()
    assert stage.refused(stage.look) is ErrorCode.E_RELAY_UNREACHABLE
    assert time.monotonic() - started_s < 20


def test_upd_07_a_redirect_is_not_followed(stage: Stage, lists: Lists) -> None:
    with update_server(lists.newer) as elsewhere:
        stage.server.hostile["timestamp.json"] = redirect(f"{elsewhere.url}/release/timestamp.json")
        assert stage.refused(stage.look) is ErrorCode.E_RELAY_UNREACHABLE
        assert elsewhere.asked == []


def test_upd_07_a_chain_of_roots_without_end_is_cut(stage: Stage, lists: Lists) -> None:
    """Only who has two root keys can make one; the device asks for 32 at most, and for no more files."""
    keys = lists.keys()
    signers = [keys.open(name, PASSPHRASE) for name in ("root-1", "root-2")]
    for version in range(2, 60):
        root = Metadata[Root].from_bytes(lists.first_root)
        root.signed.version = version
        root.signatures.clear()
        for signer in signers:
            root.sign(signer, append=True)
        stage.server.files[f"{version}.root.json"] = root.to_bytes()
    assert stage.look().outcome == OFFERED
    assert len([name for name in stage.server.asked if name.endswith("root.json")]) == 32


def test_upd_08_another_computers_bundle_is_refused(stage: Stage, lists: Lists) -> None:
    def mislabel(targets: Targets) -> None:
        targets.targets[BUNDLE].custom["machine"] = "aarch64"

    stage.server.files = relisted(lists, mislabel)
    assert stage.refused(stage.look) is ErrorCode.E_RELEASE_PLATFORM


def test_upd_08_a_bundle_that_is_not_what_the_list_says_is_refused(stage: Stage, lists: Lists) -> None:
    other = Admin(stage.places.prefix.parent / "other", lists.admin.root)
    sha256 = other.release("1.2.4", machine="aarch64")
    wrong = (other.published / "files" / sha256).read_bytes()
    stage.server.files = relisted(lists, lambda targets: swap(targets, wrong)) | {f"{sha256}.{BUNDLE}": wrong}
    assert stage.refused(stage.take) is ErrorCode.E_RELEASE_PLATFORM


def test_upd_08_nothing_is_offered_to_another_kind_of_computer(stage: Stage) -> None:
    assert stage.look(machine="riscv64").outcome == "nothing"


def test_upd_14_a_list_far_ahead_is_recovered_from_by_new_keys(
    stage: Stage, lists: Lists, tmp_path: Path
) -> None:
    """A thief of the targets and timestamp keys wrote version 2^63; the next root names other keys."""
    far = 2**63
    stage.server.files = relisted(lists, lambda targets: None, far)
    stage.look()
    stage.server.files = dict(lists.newer)
    assert stage.refused(stage.look) is ErrorCode.E_RELEASE_VERSION
    keys = lists.keys()
    roots = [keys.open(name, PASSPHRASE) for name in ("root-2", "root-3")]
    fresh = UpdateKeys(tmp_path / "fresh")
    made = {name: fresh.make(name, PASSPHRASE) for name in ("targets", "timestamp")}

    def change(root: Root) -> None:
        for role in ("targets", "snapshot", "timestamp"):
            [former] = root.roles[role].keyids
            root.revoke_key(former, role)
            root.add_key(made["timestamp" if role == "timestamp" else "targets"].public_key, role)

    stage.server.files["2.root.json"] = rotated(lists, roots, change)
    for name, key in (
        ("2.targets.json", "targets"),
        ("2.snapshot.json", "targets"),
        ("timestamp.json", "timestamp"),
    ):
        stage.server.files[name] = resigned(stage.server.files, name, made[key])
    assert stage.look().outcome == OFFERED


def resigned(files: Files, name: str, signer: CryptoSigner) -> bytes:
    """The same part under another key, with hashes of what was signed anew before it."""
    metadata = Metadata.from_bytes(files[name])
    if isinstance(metadata.signed, Snapshot):
        metadata.signed.meta["targets.json"] = MetaFile.from_data(2, files["2.targets.json"], ["sha256"])
    if isinstance(metadata.signed, Timestamp):
        metadata.signed.snapshot_meta = MetaFile.from_data(2, files["2.snapshot.json"], ["sha256"])
    metadata.sign(signer)
    return metadata.to_bytes()


def test_a_device_outside_the_ring_waits(stage: Stage, lists: Lists) -> None:
    def narrow(targets: Targets) -> None:
        targets.targets[BUNDLE].custom["percent"] = 1

    stage.server.files = relisted(lists, narrow)
    assert stage.look().outcome == LATER


def test_a_relay_over_plain_http_elsewhere_is_not_asked(stage: Stage) -> None:
    stage.server.url = "http://relay.example"
    assert stage.refused(stage.look) is ErrorCode.E_CONFIG


def test_control_the_command_looks_through_a_real_relay(lists: Lists, tmp_path: Path) -> None:
    kind = platform.machine()
    admin = Admin(tmp_path / "admin-of-this-machine")
    admin.say("keys")
    admin.release("1.2.4", machine=kind)
    admin.say("offer", "--percent", "100")
    served = admin.served()
    with running_relay(tmp_path / "relay", workers=0, arguments=["--release", str(admin.published)]) as relay:
        fingerprint = root_fingerprint(admin.root.der)
        places = installed(tmp_path / "opt", "1.2.2", fingerprint, served["1.root.json"], relay.relay_url)
        words = (
            "update",
            "--check",
            "--prefix",
            str(places.prefix),
            "--data",
            str(tmp_path / "data"),
            "--json",
        )
        found = said_here("alongside-agent", *words)
        assert found.status == 0, found
        assert found.documents()[0]["offered"] == "1.2.4"
        (places.folder / "root.json").write_bytes(lists.first_root)  # another organisation's
        shutil.rmtree(places.metadata)
        found = said_here("alongside-agent", *words)
        assert found.documents()[-1]["error"]["code"] == ErrorCode.E_RELEASE_SIGNATURE
