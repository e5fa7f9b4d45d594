"""The relay's settings: one frozen value, read once from the command line and, under it, a TOML file."""

import ipaddress
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from protocol.errors import EnvironmentFault, ErrorCode, UsageError

DEFAULT_LISTEN = "127.0.0.1:8470"
WORKERS_LIMIT = 64
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """Host and TCP port; port 0 takes a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """Everything the relay can be told. `workers` 0 serves sessions from the control process itself.

    `session_public_port` is what clients are told instead of the workers' own ports: 0 means "the port of
    the control link", for a reverse proxy that routes `/v1/session/N` to worker N. `visitors`: ends without
    an organisation may meet here by support code.
    """

    data: Path
    listen: Address
    session_listen: Address
    database: str
    workers: int = 1
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    session_public_port: int | None = None
    visitors: bool = False
    release: Path | None = None

    @property
    def is_tls(self) -> bool:
        """Whether the relay ends TLS itself."""
        return self.tls_cert is not None

    @property
    def claim_secret_file(self) -> Path:
        """Where the claim secret lies until the relay is claimed."""
        return claim_secret_file(self.data)


CONFIG_KEYS: dict[str, type] = {
    "listen": str,
    "session_listen": str,
    "database": str,
    "workers": int,
    "tls_cert": str,
    "tls_key": str,
    "behind_proxy": bool,
    "session_public_port": int,
    "visitors": bool,
    "release": str,
}
assert set(CONFIG_KEYS) | {"data"} == {field.name for field in fields(RelayConfig)}


def default_data() -> Path:
    """Where the relay keeps its state when it is not told."""
    return user_data_path("alongside-relay", appauthor=False)


def claim_secret_file(data: Path) -> Path:
    """Where the claim secret lies until the relay is claimed."""
    return data / "claim-secret"


def parse_address(text: str, setting: str) -> Address:
    """HOST:PORT, or [IPv6]:PORT.

    Raises:
        UsageError: E_CONFIG, naming the setting.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None and "[" not in text and text.count(":") > 1:
        detail = f"{setting}: {text!r}: an IPv6 address needs brackets, as in [::1]:8470"
        raise UsageError(detail, code=ErrorCode.E_CONFIG)
    if match is None or int(match["port"]) > 65535:
        raise UsageError(f"{setting}: {text!r} is not HOST:PORT", code=ErrorCode.E_CONFIG)
    return Address(match["six"] or match["host"], int(match["port"]))


def read_config(data: Path, file: Path | None, given: dict[str, Any]) -> RelayConfig:
    """The settings: `given` (None for what was not given) before the file's, before the defaults.

    Raises:
        UsageError: E_CONFIG, naming the file and the key; E_LISTEN_PLAIN.
    """
    chosen = _read_file(file) if file is not None else {}
    chosen |= {key: value for key, value in given.items() if value is not None}
    listen = parse_address(chosen.get("listen", DEFAULT_LISTEN), "listen")
    config = RelayConfig(
        data=data,
        listen=listen,
        session_listen=_session_address(chosen.get("session_listen"), listen),
        database=chosen.get("database", f"sqlite+aiosqlite:///{data / 'relay.sqlite'}"),
        workers=chosen.get("workers", 1),
        tls_cert=_path(chosen.get("tls_cert")),
        tls_key=_path(chosen.get("tls_key")),
        behind_proxy=chosen.get("behind_proxy", False),
        session_public_port=chosen.get("session_public_port"),
        visitors=chosen.get("visitors", False),
        release=_path(chosen.get("release")),
    )
    _check(config)
    return config


def _read_file(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"{file}: {exc.strerror}", code=ErrorCode.E_CONFIG) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"{file}: {exc}", code=ErrorCode.E_CONFIG) from None
    for key, value in content.items():
        expected = CONFIG_KEYS.get(key)
        if expected is None:
            raise UsageError(f"{file}: unknown key {key!r}", code=ErrorCode.E_CONFIG)
        if type(value) is not expected:
            raise UsageError(f"{file}: {key} has to be {expected.__name__}", code=ErrorCode.E_CONFIG)
    return content


def _session_address(text: str | None, listen: Address) -> Address:
    if text is not None:
        return parse_address(text, "session_listen")
    return Address(listen.host, listen.port + 1 if listen.port else 0)


def _path(text: str | Path | None) -> Path | None:
    return None if text is None else Path(text)


def _check(config: RelayConfig) -> None:
    if not 0 <= config.workers <= WORKERS_LIMIT:
        raise UsageError(f"workers: {config.workers} is not 0 to {WORKERS_LIMIT}", code=ErrorCode.E_CONFIG)
    if config.session_listen.port + max(0, config.workers - 1) > 65535:
        raise UsageError("session_listen: the workers' ports end above 65535", code=ErrorCode.E_CONFIG)
    if (config.tls_cert is None) != (config.tls_key is None):
        raise UsageError("tls_cert and tls_key belong together", code=ErrorCode.E_CONFIG)
    if config.session_public_port is not None and not 0 <= config.session_public_port <= 65535:
        raise UsageError("session_public_port is not 0 to 65535", code=ErrorCode.E_CONFIG)
    for address in (config.listen, config.session_listen):
        if not (config.is_tls or config.behind_proxy or address.is_loopback):
            raise UsageError(f"{address} is not loopback", code=ErrorCode.E_LISTEN_PLAIN)


def prepare_data(data: Path) -> None:
    """Make the data folder, private to its owner, and see that it can be written.

    Raises:
        EnvironmentFault: E_DATA_DISK.
    """
    probe = data / ".writable"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_bytes(b"alongside")
        probe.unlink()
    except OSError as exc:
        raise EnvironmentFault(f"{data}: {exc.strerror}", code=ErrorCode.E_DATA_DISK) from None
