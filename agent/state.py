"""The files of the agent's data folder: what they are called, how they are written, who may run on them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self, TypeVar

import msgspec

from protocol.errors import EnvironmentFault, ErrorCode, UsageError
from protocol.file_lock import try_lock
from protocol.identity import Identity
from protocol.private_files import write_private_file
from protocol.trust import Trust
from protocol.trust_store import STATUS_FILE, SUCCESSORS_FILE, TrustStore

T = TypeVar("T")

RELAY_FILE_LIMIT_BYTES = 4096
PROXY_LIMIT_BYTES = 2048
ENVELOPE_FILE_LIMIT_BYTES = 1 << 20


class RelayAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the relay is, and the id that it has to show."""

    url: str
    relay_id: str


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths below `--data`; every file is 0600, every folder 0700."""

    root: Path

    @property
    def identity(self) -> Path:
        """The device's key and certificates."""
        return self.root / "identity.pem"

    @property
    def relay(self) -> Path:
        """Address and id of the relay."""
        return self.root / "relay.json"

    @property
    def relay_ca(self) -> Path:
        """Optional: the authority of the relay's own TLS certificate."""
        return self.root / "relay-ca.pem"

    @property
    def relay_proxy(self) -> Path:
        """Optional: the address of the proxy on the way to the relay, with its password if it wants one."""
        return self.root / "relay-proxy"

    @property
    def policy(self) -> Path:
        """The newest accepted policy envelope."""
        return self.root / "policy.dsse"

    def stored_trust(self, identity: Identity) -> TrustStore:
        """Whom this device believes by what it accepted so far; raises nothing, see `TrustStore.load`."""
        store = TrustStore(Trust(identity.root_der), self.root)
        store.load()
        return store

    @property
    def commands(self) -> Path:
        """Every request for a command that was taken, and the policy floor of the exec workers."""
        return self.root / "commands.db"

    @property
    def audit(self) -> Path:
        """The append-only record of what happened here."""
        return self.root / "audit.jsonl"

    @property
    def receipts(self) -> Path:
        """The person's receipts, one file for each technician."""
        return self.root / "receipts"

    @property
    def settings(self) -> Path:
        """Optional settings of this agent."""
        return self.root / "agent.toml"

    @property
    def private_windows(self) -> Path:
        """Optional: the person's own list of private windows."""
        return self.root / "private-windows.json"

    @property
    def patience(self) -> Path:
        """How often the person said no."""
        return self.root / "patience.json"

    @property
    def standing(self) -> Path:
        """What the person allowed beforehand."""
        return self.root / "standing.json"

    @property
    def pause(self) -> Path:
        """Since when, and for how long, the person wants nobody."""
        return self.root / "pause.json"

    @property
    def blocks(self) -> Path:
        """Whom the person blocked, and for how long."""
        return self.root / "blocks.json"

    @property
    def ratings(self) -> Path:
        """What the person thought of sessions, until their technicians know."""
        return self.root / "ratings.json"

    @property
    def socket(self) -> Path:
        """The service's local socket."""
        return self.root / "run" / "agent.sock"

    @property
    def lock(self) -> Path:
        """Locked by the running service."""
        return self.root / "run" / "service.lock"

    @property
    def tls_ca(self) -> Path | None:
        """`relay_ca` when there is one."""
        return self.relay_ca if self.relay_ca.exists() else None

    def proxy(self) -> str:
        """What `relay_proxy` holds; "" without one.

        Raises:
            EnvironmentFault: E_DATA_DISK, it cannot be read. UsageError: E_CONFIG, it is no text.
        """
        try:
            return read_proxy(self.relay_proxy)
        except FileNotFoundError:
            return ""

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            EnvironmentFault: E_DATA_DISK, not possible; E_IDENTITY_OWNER, the folder is somebody else's.
        """
        try:
            for folder in (self.root, self.root / "run"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
        except OSError as exc:
            raise EnvironmentFault(f"{self.root}: {exc}") from None
        # Windows keeps owners in ACLs, which this does not show; the installer closes the folder there
        if os.name != "nt" and self.root.stat().st_uid != os.geteuid():
            raise EnvironmentFault(f"{self.root} belongs to another user", code=ErrorCode.E_IDENTITY_OWNER)

    def read_relay(self) -> RelayAddress:
        """The relay of this device.

        Raises:
            EnvironmentFault: E_IDENTITY_MISSING, it has not joined.
            UsageError: E_CONFIG, the file is malformed.
        """
        try:
            return msgspec.json.decode(read_bounded(self.relay, RELAY_FILE_LIMIT_BYTES), type=RelayAddress)
        except FileNotFoundError:
            raise EnvironmentFault(str(self.relay), code=ErrorCode.E_IDENTITY_MISSING) from None
        except msgspec.DecodeError as exc:
            raise UsageError(f"{self.relay}: {exc}", code=ErrorCode.E_CONFIG) from None

    def write_relay(self, address: RelayAddress) -> None:
        """Replace the relay's address."""
        write_private_file(self.relay, msgspec.json.encode(address))

    def forget(self) -> None:
        """Remove what is the organisation's, and what was allowed beforehand.

        Audit log and list of private windows stay: they are the person's.
        """
        accepted = (self.root / STATUS_FILE, self.root / SUCCESSORS_FILE)
        ours = (self.identity, self.relay, self.relay_ca, self.relay_proxy, *accepted)
        policy_files = (self.policy.with_suffix(suffix) for suffix in (".dsse", ".mark", ".rival"))
        theirs = (self.standing, self.patience, self.pause, self.blocks, self.ratings)
        for path in (*ours, *policy_files, *theirs):
            path.unlink(missing_ok=True)


def read_kept(path: Path, kind: type[T], limit_bytes: int) -> T:
    """What an earlier run of the agent wrote there as JSON.

    Raises:
        FileNotFoundError: there is none.
        EnvironmentFault: E_DATA_DISK, it cannot be read, is larger than the limit, or is no such thing.
    """
    try:
        return msgspec.json.decode(read_bounded(path, limit_bytes), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise EnvironmentFault(f"{path}: {exc}"[:300]) from None


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """The file's bytes.

    Raises:
        FileNotFoundError: there is none.
        EnvironmentFault: E_DATA_DISK, it cannot be read or is larger than the limit.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise EnvironmentFault(f"{path}: {exc}") from None
    if len(content) > limit_bytes:
        raise EnvironmentFault(f"{path} is larger than {limit_bytes} bytes")
    return content


def read_proxy(path: Path) -> str:
    """The address in a file of one line; raises as `read_bounded`, and UsageError E_CONFIG."""
    try:
        return read_bounded(path, PROXY_LIMIT_BYTES).decode("ascii").strip()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no address of a proxy", code=ErrorCode.E_CONFIG) from None


class ServiceLock:
    """Held while a service runs on a data folder; the kernel lets go of it when the process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            EnvironmentFault: E_ALREADY_RUNNING, another service holds it; E_DATA_DISK.
        """
        try:
            self._file = self._path.open("ab")
            is_ours = try_lock(self._file.fileno())
        except OSError as exc:
            self.__exit__()
            raise EnvironmentFault(f"{self._path}: {exc}") from None
        if not is_ours:
            self.__exit__()
            raise EnvironmentFault(str(self._path), code=ErrorCode.E_ALREADY_RUNNING)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
