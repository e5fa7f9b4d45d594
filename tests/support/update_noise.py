"""A list of updates whose newest part is any bytes: given to the real updater without a network."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

from agent.update.fetch import RelayFetcher
from agent.update.listed import Machine, UpdateListing
from tests.support.update_lists import installed

SIGNED_ANEW = b"P"
PARTS = ("root", "timestamp", "snapshot", "targets")
CUSTOM = {
    "product": "agent",
    "version": "1.2.4",
    "platform": "linux",
    "machine": "x86_64",
    "percent": 100,
    "returns_to": "0.0.0",
}


@cache
def _signer() -> CryptoSigner:
    return CryptoSigner(ec.generate_private_key(ec.SECP256R1()))


@cache
def whole_list() -> dict[str, bytes]:
    """A small list that is rightly signed, and the second root."""
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
    root = Root(expires=until)
    for role in PARTS:
        root.add_key(_signer().public_key, role)
    file = TargetFile.from_data("agent-linux-x86_64.bundle", b"bundle", ["sha256"])
    file.unrecognized_fields["custom"] = CUSTOM
    targets = _signed(Targets(expires=until, targets={file.path: file}))
    snapshot = _signed(
        Snapshot(expires=until, meta={"targets.json": MetaFile.from_data(1, targets, ["sha256"])})
    )
    timestamp = Timestamp(expires=until, snapshot_meta=MetaFile(1))
    first = _signed(root)
    root.version = 2
    return {
        "1.root.json": first,
        "2.root.json": _signed(root),
        "timestamp.json": _signed(timestamp),
        "1.snapshot.json": snapshot,
        "1.targets.json": targets,
    }


def _signed(signed: Signed) -> bytes:
    metadata = Metadata(signed)
    metadata.sign(_signer())
    return metadata.to_bytes()


def file_of(part: str) -> str:
    """What this part of the list is called."""
    return {"root": "2.root.json", "timestamp": "timestamp.json"}.get(part, f"1.{part}.json")


def seeds_of(part: str) -> list[bytes]:
    """The part as it is, and what was signed in it, to be signed anew after a change."""
    whole = whole_list()[file_of(part)]
    return [whole, SIGNED_ANEW + json.dumps(json.loads(whole)["signed"]).encode()]


def _signed_anew(payload: bytes) -> bytes:
    """These bytes between true signatures; what is no JSON stays what it is."""
    signed = payload
    with suppress(Exception):  # what has no canonical form is given with a signature that does not fit
        signed = encode_canonical(json.loads(payload)).encode()
    signature = _signer().sign(signed)
    return b'{"signatures":[{"keyid":"%s","sig":"%s"}],"signed":%s}' % (
        signature.keyid.encode(),
        signature.signature.encode(),
        payload,
    )


class _Given(RelayFetcher):
    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__("http://127.0.0.1:1", None)
        self._files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        if name not in self._files:
            raise DownloadHTTPError(name, 404)
        return iter([self._files[name]])


def take(part: str, content: bytes) -> object:
    """The updater's look at a list that has these bytes in the place of one part."""
    given = _signed_anew(content[1:]) if content[:1] == SIGNED_ANEW else content
    files = {name: each for name, each in whole_list().items() if name != "2.root.json"}
    files[file_of(part)] = given
    if part in ("snapshot", "targets"):  # their hashes fit: what is behind them is fuzzed
        files["1.snapshot.json"] = given if part == "snapshot" else _open_snapshot()
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        places = installed(Path(folder) / "opt", "1.2.3", "0" * 64, files["1.root.json"])
        listing = UpdateListing(places, _Given(files), Machine("linux", "x86_64"))
        listing.refresh()
        return listing.offer


@cache
def _open_snapshot() -> bytes:
    """A snapshot that names the targets by version alone."""
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
    return _signed(Snapshot(expires=until, meta={"targets.json": MetaFile(1)}))


def take_custom(content: bytes) -> object:
    """A target's own part, rightly signed."""
    from protocol.errors import PeerViolation
    from protocol.update_offer import read_offer

    try:
        custom = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise PeerViolation("no JSON") from None  # python-tuf's own reader stands before it
    return read_offer(custom)
