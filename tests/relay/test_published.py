"""The relay's plain files: a table, and nothing beside it."""

import hashlib
import http.client
import json
from pathlib import Path

import pytest

from protocol.errors import ErrorCode, UsageError
from relay.config import read_config
from relay.published import Published
from tests.support.relay_process import RelayProcess, running_relay

pytestmark = pytest.mark.real


def publish(folder: Path, **files: bytes) -> None:
    """Lay these out under their paths in `/release/`, with an install script."""
    (folder / "files").mkdir(parents=True, exist_ok=True)
    rows = []
    for path, content in {"/install.sh": b"main\n", **{f"/release/{n}": c for n, c in files.items()}}.items():
        digest = hashlib.sha256(content).hexdigest()
        (folder / "files" / digest).write_bytes(content)
        rows.append({"path": path, "sha256": digest, "length_bytes": len(content)})
    aside = folder / "index.new"
    aside.write_text(json.dumps({"format": 1, "version": "1.0.0", "files": rows}))
    aside.replace(folder / "index.json")


def get(relay: RelayProcess, path: str) -> tuple[int, bytes]:
    """Status and body; the path goes out as it is, unlike with a browser."""
    link = http.client.HTTPConnection("127.0.0.1", relay.control_port, timeout=20)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.read()
    finally:
        link.close()


def test_the_relay_serves_its_table_and_takes_up_a_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    publish(folder, bundle=b"first")
    (folder / "secret").write_text("no")
    with running_relay(tmp_path / "relay", workers=0, arguments=["--release", str(folder)]) as relay:
        assert get(relay, "/install.sh") == (200, b"main\n")
        assert get(relay, "/release/bundle") == (200, b"first")
        assert get(relay, "/release/" + hashlib.sha256(b"first").hexdigest()) == (200, b"first")
        for path in (
            *(
                "/release/secret",
                "/release/index.json",
                "/release/..%2fsecret",
                "/release/../secret",
                "/index.json",
            ),
            *(
                "/release/" + "0" * 64,
                "/release/",
                "/install.ps1",
                "/release/%2e%2e/secret",
                "/release//etc/passwd",
            ),
        ):
            assert get(relay, path)[0] == 404, path
        publish(folder, bundle=b"second")
        assert get(relay, "/release/bundle") == (200, b"second")
        (folder / "index.json").write_text("{")
        assert get(relay, "/release/bundle") == (200, b"second")


def test_without_a_release_there_are_no_files(tmp_path: Path) -> None:
    with running_relay(tmp_path / "relay", workers=0) as relay:
        assert get(relay, "/install.sh")[0] == 404


@pytest.mark.parametrize("path", ["/etc/passwd", "/release/../x", "/release/a/b", "/healthz"])
def test_an_index_names_no_other_paths(tmp_path: Path, path: str) -> None:
    row = {"path": path, "sha256": "0" * 64, "length_bytes": 1}
    (tmp_path / "index.json").write_text(json.dumps({"format": 1, "version": "1.0.0", "files": [row]}))
    with pytest.raises(UsageError) as caught:
        Published(tmp_path)
    assert caught.value.code is ErrorCode.E_CONFIG


def test_the_setting_names_a_folder(tmp_path: Path) -> None:
    assert read_config(tmp_path, None, {"release": "/srv/release"}).release == Path("/srv/release")
