"""Which relay this data folder talks to, and the id it is pinned by."""

from pathlib import Path

import msgspec

from protocol.aio.wire import socket_url
from protocol.errors import ErrorCode, UsageError
from technician_client.config import TechnicianConfig
from technician_client.files import read_document, write_document


class RelayAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`relay_id` is "" until the relay was claimed; `tls_ca` is a file for relays with a CA of their own."""

    url: str
    relay_id: str = ""
    tls_ca: str = ""

    @property
    def tls_ca_file(self) -> Path | None:
        """The CA to trust beside the system's, or None."""
        return Path(self.tls_ca) if self.tls_ca else None


def read_relay(config: TechnicianConfig) -> RelayAddress:
    """The relay of this data folder.

    Raises:
        UsageError: E_CONFIG, there is none or the file is malformed.
    """
    if not config.relay_file.exists():
        detail = f"no relay is set in {config.data}; see alongside org init or org technician add"
        raise UsageError(detail, code=ErrorCode.E_CONFIG)
    return read_document(config.relay_file, RelayAddress)


def write_relay(config: TechnicianConfig, relay: RelayAddress) -> None:
    """Remember the relay; raises EnvironmentFault."""
    write_document(config.relay_file, relay)


def checked_relay(relay: RelayAddress) -> RelayAddress:
    """The address, if it can be one of a relay.

    Raises:
        UsageError: E_CONFIG: no http(s) or ws(s) URL, or unencrypted to another machine.
    """
    socket_url(relay.url, "/")
    if relay.tls_ca_file is not None and not relay.tls_ca_file.is_file():
        raise UsageError(f"{relay.tls_ca} is not a file", code=ErrorCode.E_CONFIG)
    return relay
