"""What a relay hands out as plain files: `index.json`, which `alongside release create` writes."""

import re
from typing import Annotated, Final

import msgspec

from protocol.limits import RELEASE_FILE_LIMIT_BYTES, RELEASE_FILES_LIMIT
from protocol.platforms import SCRIPT_PATHS

INDEX_NAME: Final = "index.json"
FILES_FOLDER: Final = "files"
INSTALL_SCRIPTS: Final = {
    SCRIPT_PATHS["linux"]: "text/x-shellscript",
    SCRIPT_PATHS["macos"]: "text/x-shellscript",
    SCRIPT_PATHS["windows"]: "text/plain",
}
RELEASE_PATH: Final = "/release/"
INDEX_LIMIT_BYTES: Final = 256 << 10


_UPDATES: Final = re.compile(
    r"/release/((([0-9]{1,9}\.)?(root|targets|snapshot)|timestamp)\.json|[0-9a-f]{64}\.[a-z0-9_.-]{1,40}\.bundle)"
)


def is_of_updates(path: str) -> bool:
    """Whether this is a file of the list of updates, which stays where it is when a release is made."""
    return _UPDATES.fullmatch(path) is not None


class PublishedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file, which lies in `files/` under its own hash."""

    path: Annotated[
        str,
        msgspec.Meta(pattern=r"^/(install(\.sh|-macos\.sh|\.ps1)|release/[A-Za-z0-9][A-Za-z0-9._-]{0,99})\Z"),
    ]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    length_bytes: Annotated[int, msgspec.Meta(ge=0, le=RELEASE_FILE_LIMIT_BYTES)]


class PublishedIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All files, and the version that they are of."""

    format: Annotated[int, msgspec.Meta(ge=1, le=1)]
    version: str
    files: Annotated[list[PublishedFile], msgspec.Meta(max_length=RELEASE_FILES_LIMIT)]


INDEX_DECODER: Final = msgspec.json.Decoder(PublishedIndex, strict=True)
