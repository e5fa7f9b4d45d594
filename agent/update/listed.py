"""What the list of updates offers this computer: fetched, and verified by python-tuf, before it is believed.

Every way in which a list can be wrong ends in a code here. TUF's libraries are slow to import and only this
module's process needs them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
    SlowRetrievalError,
)
from tuf.api.metadata import Metadata, TargetFile, Timestamp
from tuf.ngclient import Updater, UpdaterConfig

from agent.update.fetch import RelayFetcher
from agent.update.places import ROOT_LIMIT_BYTES, UpdatePlaces
from protocol.errors import DocumentRefused, EnvironmentFault, ErrorCode, SupportError, Unreachable
from protocol.limits import RELEASE_FILE_LIMIT_BYTES
from protocol.names import shown_text
from protocol.release import Bundle, Release, check_release_kind, check_release_time, version_order
from protocol.update_offer import UpdateOffer, read_offer, target_name

ROOT_ROTATIONS_LIMIT: Final = 32
_LIST_LIMIT_BYTES: Final = 256 << 10
_TIMESTAMP_LIMIT_BYTES: Final = 16 << 10
BUNDLE_LIMIT_BYTES: Final = 2 * RELEASE_FILE_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class Machine:
    """What kind of computer this is, as releases name it."""

    platform: str
    machine: str


class UpdateListing:
    """One look at the list. `offer` is None until `refresh` found one for this kind of computer."""

    def __init__(self, places: UpdatePlaces, fetcher: RelayFetcher, machine: Machine) -> None:
        self._places, self._fetcher, self._machine = places, fetcher, machine
        self._target: TargetFile | None = None
        self.offer: UpdateOffer | None = None
        self._updater: Updater | None = None

    def refresh(self) -> None:
        """Fetch the list, and believe it or refuse it.

        Raises:
            DocumentRefused: E_RELEASE_SIGNATURE, _VERSION, _PLATFORM, _FORMAT, or E_UPDATE_FROZEN.
            Unreachable: it did not come. EnvironmentFault: E_UPDATE_NONE, E_DATA_DISK.
        """
        config = UpdaterConfig(
            max_root_rotations=ROOT_ROTATIONS_LIMIT,
            max_delegations=0,
            root_max_length=ROOT_LIMIT_BYTES,
            timestamp_max_length=_TIMESTAMP_LIMIT_BYTES,
            snapshot_max_length=_LIST_LIMIT_BYTES,
            targets_max_length=_LIST_LIMIT_BYTES,
        )
        name = target_name(self._machine.platform, self._machine.machine)
        try:
            self._places.metadata.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._updater = Updater(
                str(self._places.metadata),
                self._fetcher.base_url,
                target_base_url=self._fetcher.base_url,
                fetcher=self._fetcher,
                config=config,
                bootstrap=self._places.first_root(),
            )
            self._updater.refresh()
            self._target = self._updater.get_targetinfo(name)
        except (RepositoryError, DownloadError, OSError) as exc:
            raise _refusal(exc) from None
        if self._target is None:
            return
        if self._target.length > BUNDLE_LIMIT_BYTES:
            raise _refused(ErrorCode.E_RELEASE_FORMAT, "a bundle of that size is none of ours")
        self.offer = self._checked_offer(self._target)

    def _checked_offer(self, target: TargetFile) -> UpdateOffer:
        offer = read_offer(target.custom)
        if (offer.platform, offer.machine) != (self._machine.platform, self._machine.machine):
            raise _refused(ErrorCode.E_RELEASE_PLATFORM, f"it is for {offer.platform} on {offer.machine}")
        installed = self._places.current_version
        if installed and version_order(offer.version) < version_order(installed):
            raise _refused(ErrorCode.E_RELEASE_VERSION, f"{offer.version} is offered, {installed} is here")
        return offer

    @property
    def bundle_sha256(self) -> str:
        """Which bundle is offered."""
        assert self._target is not None
        return self._target.hashes.get("sha256", "")

    def fetch(self, fingerprint: str, now: datetime) -> Release:
        """Bring the offered bundle to `incoming`, checked against list and organisation; what it is.

        Raises:
            DocumentRefused: it is not what the list and the organisation signed, or has expired.
            Unreachable: it did not come. EnvironmentFault: E_DATA_DISK.
        """
        assert self._updater is not None
        assert self._target is not None
        assert self.offer is not None
        incoming = self._places.incoming
        try:
            if self._updater.find_cached_target(self._target, str(incoming)) is None:
                incoming.unlink(missing_ok=True)
                self._updater.download_target(self._target, str(incoming))
        except (RepositoryError, DownloadError, OSError) as exc:
            raise _refusal(exc) from None
        with Bundle.open(incoming, fingerprint) as bundle:
            release = bundle.release
        check_release_kind(release, self._machine.platform, self._machine.machine)
        if (release.product, release.version) != (self.offer.product, self.offer.version):
            raise _refused(ErrorCode.E_RELEASE_FORMAT, "the bundle is not the one that the list describes")
        check_release_time(release, now=now)
        return release


def believed_until(places: UpdatePlaces) -> datetime | None:
    """Until when the newest timestamp that was believed counts; None when there was none."""
    try:
        signed = Metadata[Timestamp].from_file(str(places.metadata / "timestamp.json")).signed
    except Exception:  # noqa: BLE001 - the file is our own; without it nothing was believed yet
        return None
    return signed.expires.astimezone(UTC)


def answers(fetcher: RelayFetcher) -> bool:
    """Whether the server says anything at all."""
    try:
        fetcher.download_bytes(f"{fetcher.base_url}timestamp.json", _TIMESTAMP_LIMIT_BYTES)
    except (DownloadHTTPError, DownloadLengthMismatchError):
        return True
    except DownloadError:
        return False
    return True


def _refusal(exc: Exception) -> SupportError:
    detail = shown_text(str(exc), 200)
    match exc:
        case ExpiredMetadataError():
            return _refused(ErrorCode.E_UPDATE_FROZEN, detail)
        case BadVersionNumberError():
            return _refused(ErrorCode.E_RELEASE_VERSION, detail)
        case RepositoryError() | DownloadLengthMismatchError():
            return _refused(ErrorCode.E_RELEASE_SIGNATURE, detail)
        case SlowRetrievalError():
            return Unreachable(f"far too slow: {detail}")
        case DownloadHTTPError(status_code=404):
            return Unreachable("it hands out no list of updates, or not all of it")
        case DownloadError():
            return Unreachable(detail)
    return EnvironmentFault(detail, code=ErrorCode.E_DATA_DISK)


def _refused(code: ErrorCode, detail: str) -> DocumentRefused:
    return DocumentRefused(detail, code=code)
