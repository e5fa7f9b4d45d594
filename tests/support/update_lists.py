"""An admin who makes releases and offers them, by the real commands."""

from datetime import UTC, datetime
from pathlib import Path

from tuf.api.metadata import Metadata, Timestamp

from agent.update.places import UpdatePlaces
from protocol.errors import ErrorCode
from protocol.succession import RootLine
from technician_client.organisation import Root
from technician_client.release_bundle import ReleaseTerms, create_release, read_published
from technician_client.release_wheels import read_wheels
from technician_client.update_list import UpdateList
from tests.support.releases import PASSPHRASE, SCRIPTS, new_root, stub_wheels
from tests.support.said import said_here


class Admin:
    """`folder` is the data folder, `published` what a relay hands out."""

    def __init__(self, place: Path, root: Root | None = None) -> None:
        self.folder = place / "admin"
        self.root = root or new_root(self.folder)
        self.published = self.folder / "org" / "release"
        place.mkdir(parents=True, exist_ok=True)
        self._secret = place / "passphrase"
        self._secret.write_bytes(PASSPHRASE)
        self._wheels = place / "wheels"
        self._wheels.mkdir()

    def say(self, *words: str) -> dict[str, object]:
        """What `alongside release WORDS` answers; it has to work."""
        said = said_here("alongside", "release", *words, *self._common)
        assert said.status == 0, said
        return said.documents()[0]

    def refused(self, *words: str) -> ErrorCode:
        """What it is refused with."""
        said = said_here("alongside", "release", *words, *self._common)
        assert said.status != 0, said
        return ErrorCode(said.documents()[-1]["error"]["code"])

    def release(self, version: str, wheels: Path | None = None, machine: str = "x86_64") -> str:
        """Make a release; its bundle's SHA-256."""
        found = read_wheels(wheels or stub_wheels(self._wheels / version, version))
        updates = UpdateList(self.folder / "org" / "updates", datetime.now(UTC))
        roots, now = RootLine(self.root.der), datetime.now(UTC)
        terms = ReleaseTerms(roots, found, SCRIPTS, "linux", machine, 30, now, updates.root_bytes())
        return create_release(self.root, terms, self.published).bundle_sha256

    def timestamp(self) -> Timestamp:
        """The newest."""
        return (
            Metadata[Timestamp]
            .from_file(str(self.folder / "org" / "updates" / "metadata" / "timestamp.json"))
            .signed
        )

    def change_passphrase(self, new: bytes) -> None:
        """By the command."""
        file = self._secret.with_name("new-passphrase")
        file.write_bytes(new)
        said = said_here("alongside", "org", "passphrase", *self._common, "--new-passphrase-file", str(file))
        assert said.status == 0, said
        self._secret.write_bytes(new)

    @property
    def _common(self) -> list[str]:
        return ["--data", str(self.folder), "--json", "--passphrase-file", str(self._secret)]

    def served(self) -> dict[str, bytes]:
        """What a relay hands out below /release/, by name."""
        index = read_published(self.published)
        return {
            each.path.removeprefix("/release/"): (self.published / "files" / each.sha256).read_bytes()
            for each in index.files
            if each.path.startswith("/release/")
        }


def installed(
    prefix: Path, version: str, fingerprint: str, first_root: bytes, relay_url: str = ""
) -> UpdatePlaces:
    """An installation as install.sh leaves it, of which nothing can run."""
    places = UpdatePlaces(prefix)
    here = places.versions / f"{version}-{'0' * 12}"
    here.mkdir(parents=True)
    (here / ".complete").touch()
    places.current.symlink_to(here.relative_to(prefix))
    places.folder.mkdir()
    (places.folder / "settings.json").write_text(f'{{"fingerprint":"{fingerprint}","relay":"{relay_url}"}}')
    (places.folder / "root.json").write_bytes(first_root)
    return places
