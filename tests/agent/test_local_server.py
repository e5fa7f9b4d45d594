"""The service's local socket against strangers, garbage and crowds."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent import local_server
from agent.desktop import ipc_messages as ipc
from agent.desktop_link import DesktopLink
from agent.local_frames import LocalConnection, connect_local
from agent.local_server import LocalServer
from protocol.errors import ErrorCode, SupportError, Unreachable, UsageError
from protocol.version import PROTOCOL_VERSION
from tests.support.desktop import FakeDesktop

pytestmark = [pytest.mark.real, pytest.mark.beside]


@asynccontextmanager
async def serving(
    folder: Path, uids: frozenset[int] = frozenset({os.geteuid()})
) -> AsyncIterator[tuple[Path, DesktopLink]]:
    """A server for desktop processes alone."""
    link = DesktopLink()
    server = LocalServer(folder / "run" / "agent.sock", {ipc.DesktopHello: link.handle}, allowed_uids=uids)
    await server.open()
    task = asyncio.create_task(server.serve())
    try:
        yield server.socket_path, link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.close()
        assert not server.socket_path.exists()


async def said(connection: LocalConnection) -> str:
    """The code of the refusal; the connection is closed after it."""
    refused = ipc.TO_COMMAND_LINE_CODEC.decode(await connection.receive(4096))
    assert isinstance(refused, ipc.IpcRefused)
    with pytest.raises(Unreachable):
        await connection.receive(4096)
    connection.close()
    await asyncio.sleep(0)
    return refused.code


async def test_socket_and_folder_are_closed_to_other_users(tmp_path: Path) -> None:
    async with serving(tmp_path) as (path, _):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_another_user_is_dropped_without_a_word(tmp_path: Path) -> None:
    async with serving(tmp_path, frozenset({12345})) as (path, link):
        connection = await connect_local(str(path))
        with pytest.raises(SupportError):
            await connection.receive(4096)
        assert link.seat is None
        connection.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("hello", [b"garbage", b"\xff" * 4096, b"\x81\xa4type\xa5other"])
async def test_garbage_is_answered_with_a_code_and_others_go_on(tmp_path: Path, hello: bytes) -> None:
    async with serving(tmp_path) as (path, link), FakeDesktop(path):
        await link.attached.wait()
        connection = await connect_local(str(path))
        await connection.send(hello)
        assert await said(connection) == ErrorCode.E_MESSAGE_FORMAT
        assert link.seat is not None


async def test_an_oversized_hello_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path) as (path, _):
        reader, writer = await asyncio.open_unix_connection(str(path))
        connection = LocalConnection(reader, writer)
        writer.write(b"\xff\xff\xff\xff")
        assert await said(connection) == ErrorCode.E_MESSAGE_FORMAT


async def test_silence_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_server, "HELLO_TIMEOUT_S", 0.05)
    async with serving(tmp_path) as (path, _):
        connection = await connect_local(str(path))
        async with asyncio.timeout(2):
            with pytest.raises(Unreachable):
                await connection.receive(4096)
        connection.close()
        await asyncio.sleep(0)


async def test_a_crowd_is_refused_and_its_end_makes_room(tmp_path: Path) -> None:
    async with serving(tmp_path) as (path, link):
        crowd = [await connect_local(str(path)) for _ in range(local_server.CONNECTION_LIMIT)]
        late = await connect_local(str(path))
        assert await said(late) == ErrorCode.E_BUSY
        for connection in crowd:
            connection.close()
        await asyncio.sleep(0.05)
        async with FakeDesktop(path):
            async with asyncio.timeout(2):
                await link.attached.wait()


async def test_a_second_desktop_process_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as (path, link), FakeDesktop(path):
        await link.attached.wait()
        second = await connect_local(str(path))
        hello = ipc.DesktopHello(PROTOCOL_VERSION, "x11:1", "other", 1)
        await second.send(ipc.HELLO_CODEC.encode(hello))
        assert await said(second) == ErrorCode.E_ALREADY_RUNNING


async def test_a_desktop_of_another_version_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as (path, _):
        connection = await connect_local(str(path))
        hello = ipc.DesktopHello(PROTOCOL_VERSION + 1, "x11:1", "other", 1)
        await connection.send(ipc.HELLO_CODEC.encode(hello))
        assert await said(connection) == ErrorCode.E_VERSION


async def test_a_path_too_long_for_a_socket_is_one_sentence(tmp_path: Path) -> None:
    server = LocalServer(tmp_path / ("x" * 120) / "agent.sock", {}, allowed_uids=frozenset())
    with pytest.raises(UsageError) as caught:
        await server.open()
    assert caught.value.code is ErrorCode.E_CONFIG
