"""Where this program keeps its state; read once, passed down by hand."""

from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True, slots=True)
class TechnicianConfig:
    """`data` holds all state of one technician, and in `org/` that of an admin."""

    data: Path

    @property
    def identity_file(self) -> Path:
        """The technician's key and certificates (PEM, 0600)."""
        return self.data / "identity.pem"

    @property
    def relay_file(self) -> Path:
        """Which relay, and the id it is pinned by."""
        return self.data / "relay.json"

    @property
    def policy_file(self) -> Path:
        """The newest policy that was verified here."""
        return self.data / "policy.dsse"

    @property
    def policy_mark_file(self) -> Path:
        """Version and hash of that policy; outlives its expiry, so that the version only rises."""
        return self.data / "policy-newest.json"

    @property
    def policy_rival_file(self) -> Path:
        """Another signed policy of the same version, while that is an alarm."""
        return self.data / "policy-rival.dsse"

    @property
    def audit_file(self) -> Path:
        """The technician's own audit records."""
        return self.data / "audit.jsonl"

    @property
    def root_file(self) -> Path:
        """The organisation's root certificate, where the admin's keys are."""
        return self.organisation_folder / "root.pem"

    @property
    def receipts_folder(self) -> Path:
        """Receipts of this technician's sessions, one file for each device."""
        return self.data / "receipts"

    @property
    def organisation_folder(self) -> Path:
        """The admin's keys and documents."""
        return self.data / "org"


def load_config(data: Path | None) -> TechnicianConfig:
    """The configuration for `--data DIR`, or for the platform's own folder when it is not given."""
    folder = data or Path(platformdirs.user_data_dir("alongside", appauthor=False))
    return TechnicianConfig(folder.expanduser().absolute())
