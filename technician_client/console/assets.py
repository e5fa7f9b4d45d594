"""The files of the page: read once at start into an exact table, so that no request is joined to a path."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "static"
_CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
# shown by the refusal page, which a browser without our cookie sees; nothing in them is ours to hide
OPEN_PATHS = frozenset({"/enter", "/static/style.css", "/static/logo.svg"})


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    content: bytes
    content_type: str

    @property
    def is_text(self) -> bool:
        """Whether it has a character set."""
        return self.content_type != "application/wasm"


def read_assets(folder: Path = _FOLDER) -> Mapping[str, Asset]:
    """All files below the folder, by their path in it with "/" between the parts."""
    return {
        path.relative_to(folder).as_posix(): Asset(path.read_bytes(), _CONTENT_TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in _CONTENT_TYPES
    }
