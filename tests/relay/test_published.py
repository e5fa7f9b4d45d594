"""The relay's plain files: a table, and nothing beside it."""

import asyncio
import hashlib
import http.client
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from protocol.errors import ErrorCode, UsageError
from relay import intake, published
from relay.accepting import accept
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


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """The plain files behind the bounds of strangers, as the relay serves them."""
    app = web.Application()
    Published(folder).add_to(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    inner, count = runner.server, intake.IntakeCount()
    assert inner is not None
    listener = socket.create_server(("127.0.0.1", 0))
    server = await accept(lambda: intake.Intake(inner(), count), listener, None)
    yield listener.getsockname()
    server.close()
    await runner.cleanup()


async def _asked(address: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Who asks for the bundle, and has room for a small part of it."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    small.connect(address)
    reader, writer = await asyncio.open_connection(sock=small, limit=64 << 10)
    writer.write(b"GET /release/bundle HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n")
    return reader, writer


async def test_a_slow_line_gets_the_whole_file_and_who_stops_reading_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(16 << 20)
    publish(tmp_path, bundle=content)
    monkeypatch.setattr(intake, "INTAKE_TIMEOUT_S", 0.5)
    async with serving(tmp_path) as address:
        reader, writer = await _asked(address)
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1.5)  # longer than a stranger may take to say who he is
        assert head.startswith(b"HTTP/1.1 200")
        assert len(await reader.read(-1)) == len(content)
        writer.close()
        monkeypatch.setattr(published, "INTAKE_TIMEOUT_S", 0.5)
        monkeypatch.setattr(published, "LEAST_BYTES_PER_S", 1 << 30)
        reader, writer = await _asked(address)  # the control
        await asyncio.sleep(1.5)
        with suppress(ConnectionResetError):
            assert len(await reader.read(-1)) < len(content)
        writer.close()


async def test_more_downloads_than_the_relay_can_serve_are_told_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, bundle=bytes(16 << 20))
    monkeypatch.setattr(published, "DOWNLOADS_LIMIT", 1)
    async with serving(tmp_path) as address:
        first, writer = await _asked(address)
        await first.readuntil(b"\r\n\r\n")
        second, other = await _asked(address)
        head = await second.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 20" in head
        other.close()
        assert len(await first.read(-1)) == 16 << 20
        writer.close()
        third, other = await _asked(address)
        assert (await third.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        other.close()


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
