"""Where an installation keeps its versions, and what the updater believes. All of it is root's, as installed.

PREFIX/versions/VERSION-HASH/   one version each, whole when `.complete` is there
PREFIX/versions/NAME/units/     its systemd units
PREFIX/current                  the version that runs: a link, moved in one step
PREFIX/current.back             while a new version is on trial: the way back, which needs no room on the disk
PREFIX/updater                  the version whose updater runs: a link that moves only to what was healthy
PREFIX/update/settings.json     the organisation's fingerprint, and the relay ("" for the agent's own)
PREFIX/update/root.json         the root of the list of updates that came with the signed bundle
PREFIX/update/metadata/         the newest list that was believed
PREFIX/update/trial.json        a new version that was switched to and not judged yet; see `trial`
PREFIX/update/returning.json    the same, judged as broken: the version before is being put back
PREFIX/update/failed.json       the last version that was broken here; its bundle is not taken again
PREFIX/update/status.json       what the last look found; everybody may read it
PREFIX/update/audit.jsonl       what was refused and what was installed
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from protocol.errors import EnvironmentFault, ErrorCode, UsageError

DEFAULT_PREFIX: Final = Path("/opt/alongside")
STAMP: Final = ".complete"
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
    def way_back(self) -> Path:
        """The link that takes the place of `current` when the new version is broken."""
        return self.prefix / "current.back"

    @property
    def updater(self) -> Path:
        """The link to the version whose updater runs."""
        return self.prefix / "updater"

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
    def trial(self) -> Path:
        """A new version that is not judged yet."""
        return self.folder / "trial.json"

    @property
    def returning(self) -> Path:
        """A new version that was broken, while the one before is put back."""
        return self.folder / "returning.json"

    @property
    def failed(self) -> Path:
        """The last version that was broken here."""
        return self.folder / "failed.json"

    @property
    def status(self) -> Path:
        """What the last look found."""
        return self.folder / "status.json"

    @property
    def audit(self) -> Path:
        """The updater's own log."""
        return self.folder / "audit.jsonl"

    @property
    def current_name(self) -> str:
        """The folder in `versions` that `current` leads to; "" when it leads nowhere."""
        try:
            return self.current.readlink().name
        except OSError:
            return ""

    @property
    def current_version(self) -> str:
        """The version that `current` leads to; "" when it leads nowhere."""
        return version_of(self.current_name)

    def is_whole(self, name: str) -> bool:
        """Whether this version was installed to its end."""
        return bool(name) and (self.versions / name / STAMP).is_file()

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


def version_of(name: str) -> str:
    """The version in the name of its folder."""
    return name.rpartition("-")[0]
