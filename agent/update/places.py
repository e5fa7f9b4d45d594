"""Where an installation keeps its versions, and what the updater believes. All of it is root's, as installed.

PREFIX/versions/VERSION-HASH/   one version each, whole when `.complete` is there
PREFIX/current                  the version that runs: a link, moved in one step
PREFIX/update/settings.json     the organisation's fingerprint, and the relay ("" for the agent's own)
PREFIX/update/root.json         the root of the list of updates that came with the signed bundle
PREFIX/update/metadata/         the newest list that was believed
PREFIX/update/status.json       what the last look found; everybody may read it
PREFIX/update/audit.jsonl       what was refused and what was installed
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from protocol.errors import EnvironmentFault, ErrorCode, UsageError

DEFAULT_PREFIX: Final = Path("/opt/alongside")
ROOT_LIMIT_BYTES: Final = 64 << 10
_SETTINGS_LIMIT_BYTES: Final = 4096


class UpdateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the installer wrote down."""

    fingerprint: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    relay: str = ""


@dataclass(frozen=True, slots=True)
class UpdatePlaces:
    """Paths below the prefix."""

    prefix: Path

    @property
    def versions(self) -> Path:
        """One folder for each version."""
        return self.prefix / "versions"

    @property
    def current(self) -> Path:
        """The link to the version that runs."""
        return self.prefix / "current"

    @property
    def folder(self) -> Path:
        """The updater's own."""
        return self.prefix / "update"

    @property
    def metadata(self) -> Path:
        """The newest list that was believed."""
        return self.folder / "metadata"

    @property
    def incoming(self) -> Path:
        """A bundle on its way in."""
        return self.folder / "incoming.bundle"

    @property
    def status(self) -> Path:
        """What the last look found."""
        return self.folder / "status.json"

    @property
    def audit(self) -> Path:
        """The updater's own log."""
        return self.folder / "audit.jsonl"

    @property
    def current_version(self) -> str:
        """The version that `current` leads to; "" when it leads nowhere."""
        try:
            return self.current.readlink().name.rpartition("-")[0]
        except OSError:
            return ""

    def settings(self) -> UpdateSettings:
        """What the installer wrote down.

        Raises:
            EnvironmentFault: E_UPDATE_NONE, this is no installation with updates.
            UsageError: E_CONFIG, malformed.
        """
        content = self._bounded("settings.json", _SETTINGS_LIMIT_BYTES)
        try:
            return msgspec.json.decode(content, type=UpdateSettings, strict=True)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise UsageError(f"{self.folder / 'settings.json'}: {exc}", code=ErrorCode.E_CONFIG) from None

    def first_root(self) -> bytes:
        """The root that came with the signed bundle; raises as `settings`."""
        return self._bounded("root.json", ROOT_LIMIT_BYTES)

    def _bounded(self, name: str, limit_bytes: int) -> bytes:
        try:
            with (self.folder / name).open("rb") as file:
                content = file.read(limit_bytes + 1)
        except OSError as exc:
            raise EnvironmentFault(f"{exc}", code=ErrorCode.E_UPDATE_NONE) from None
        if len(content) > limit_bytes:
            raise UsageError(f"{self.folder / name} is too large", code=ErrorCode.E_CONFIG)
        return content
