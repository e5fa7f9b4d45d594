"""`screen` through a whole session in one process: pictures pass unread, bounded, and end with the grant."""

import asyncio
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.local_frames import connect_local
from agent.worker_desk import LISTS_CHECK_INTERVAL_S
from protocol.errors import ErrorCode, SupportError, Unreachable
from protocol.grantables import Grantable
from protocol.messages import screen
from protocol.private_windows import PrivateWindow
from tests.support.desktop import FakeWorker
from tests.support.device_end import attached, device_end, open_channel
from tests.support.organisation import acme
from tests.support.policies import signed_policy

pytestmark = pytest.mark.real

VIEW = Grantable.SCREEN_VIEW
WHOLE = screen.Rectangle(0, 0, 64, 64)
DISPLAYS = screen.Displays(
    displays=[screen.DisplayFacts(index=0, x=0, y=0, width=64, height=64, scale=1.0)],
    shown_index=0,
    source="fake",
)


def part(number: int, size_bytes: int) -> bytes:
    """A picture part of about this size."""
    made = screen.PicturePart(number, 0, 64, 64, False, True, [WHOLE], b"p" * size_bytes)
    return screen.FROM_AGENT_CODEC.encode(made)


async def test_messages_pass_both_ways_unchanged(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        sent = [screen.FROM_AGENT_CODEC.encode(DISPLAYS), part(1, 300_000), part(2, 10)]
        for message in sent:
            await worker.send(message)
        assert [await opened.stream.receive() for _ in sent] == sent
        seen = screen.FROM_TECHNICIAN_CODEC.encode(screen.PictureSeen(picture_no=2))
        await opened.stream.send(seen)
        assert await worker.receive() == seen
        await opened.session.end()
        assert await worker.is_cut_off()
        await opened.desktop.order(ipc.StopScreen)
    kinds = [kind for kind in opened.device.kinds() if kind.startswith("screen")]
    assert kinds == ["screen.started", "screen.ended"]


async def test_a_technician_who_does_not_read_slows_the_worker_down(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for number in range(1, 200):
                await worker.send(part(number, 500_000))
                sent += 1

        flooding = asyncio.create_task(flood())
        await asyncio.sleep(0.5)
        assert not flooding.done()
        assert sent < 40  # the window of 8 MiB, and what queues and sockets hold
        await asyncio.gather(*(opened.stream.receive() for _ in range(20)))
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)


async def test_garbage_from_the_technician_ends_the_session(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        await opened.stream.send(b"\xc1garbage")
        assert await worker.is_cut_off()
        with pytest.raises(SupportError):
            await opened.stream.receive()
        await opened.device.over()


async def test_why_no_screen_can_be_shown_reaches_the_technician(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        desktop.screen_code = ErrorCode.E_SCREEN_NONE
        async with await device.connect(acme().technician()) as session:
            await session.ask([VIEW])
            stream = await session.open_channel(VIEW)
            told = screen.FROM_AGENT_CODEC.decode(await stream.receive())
            assert told == screen.ScreenFailed(code=ErrorCode.E_SCREEN_NONE)
            with pytest.raises(SupportError):
                await stream.receive()


async def test_a_worker_that_dies_is_told_to_the_technician(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        worker.close()
        ended = ipc.ScreenEnded(opened.session.session_id, ErrorCode.E_SCREEN_FAILED, "killed")
        await opened.desktop.say(ended)
        told = screen.FROM_AGENT_CODEC.decode(await opened.stream.receive())
        assert told == screen.ScreenFailed(code=ErrorCode.E_SCREEN_FAILED)


async def test_a_worker_with_a_used_or_wrong_ticket_is_refused(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        await opened.desktop.worker()
        used = opened.desktop.all_of(ipc.StartScreen)[0].ticket
        for presented in (used, b"\0" * 32):
            socket_path = opened.device.server.socket_path
            second = await FakeWorker.connect(socket_path, opened.session.session_id, presented)
            refused = ipc.TO_COMMAND_LINE_CODEC.decode(await second.receive())
            assert refused == ipc.IpcRefused(code=ErrorCode.E_TICKET)
            second.close()


async def test_garbage_on_the_local_socket_leaves_the_session_alone(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        stranger = await connect_local(str(opened.device.server.socket_path))
        await stranger.send(b"garbage")
        answer = ipc.TO_COMMAND_LINE_CODEC.decode(await stranger.receive(4096))
        assert answer == ipc.IpcRefused(code=ErrorCode.E_MESSAGE_FORMAT)
        with pytest.raises(Unreachable):
            await stranger.receive(4096)
        stranger.close()
        await worker.send(part(1, 10))
        assert await opened.stream.receive() == part(1, 10)


async def test_both_lists_reach_the_desktop_and_the_audit_has_their_counts_alone(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        named = [{"window_class": "keepassxc"}, {"title": "*bank*"}]
        device.publish(signed_policy(acme(), private_windows=named))
        device.private_windows_path.write_text('[{"title": "*bank*"}, {"title": "*diary*"}]')
        async with await device.connect(acme().technician()) as session:
            await session.ask([VIEW])
            await session.open_channel(VIEW)
            started = await desktop.order(ipc.StartScreen)
            assert [entry.window_class + entry.title for entry in started.private_windows] == [
                "keepassxc",
                "*bank*",
                "*diary*",
            ]
        await device.over()
    [record] = [record for record in device.records() if record.kind == "screen.started"]
    assert record.facts == {"private_windows_organisation": 2, "private_windows_person": 2}
    assert b"diary" not in device.audit_path.read_bytes()


async def test_lists_that_change_while_the_screen_is_shown_reach_the_worker_each_once(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        opened.device.private_windows_path.write_text('[{"title": "*diary*"}]')
        told = ipc.TO_WORKER_CODEC.decode(await worker.receive())
        assert told == ipc.CoverWindows([PrivateWindow(title="*diary*")])
        opened.device.publish(signed_policy(acme(), version=2, private_windows=[{"window_class": "vault"}]))
        told = ipc.TO_WORKER_CODEC.decode(await worker.receive())
        assert told == ipc.CoverWindows([PrivateWindow(window_class="vault"), PrivateWindow(title="*diary*")])
        seen = screen.FROM_TECHNICIAN_CODEC.encode(screen.PictureSeen(picture_no=2))
        await asyncio.sleep(2 * LISTS_CHECK_INTERVAL_S)
        await opened.stream.send(seen)
        assert await worker.receive() == seen, "what did not change is told again"


async def test_a_list_that_cannot_be_read_any_more_ends_the_screen(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        opened.device.private_windows_path.write_text("[")
        assert await worker.is_cut_off()


async def test_a_technician_cannot_change_what_is_covered(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        await opened.stream.send(ipc.TO_WORKER_CODEC.encode(ipc.CoverWindows([])))
        assert await worker.is_cut_off()
        with pytest.raises(SupportError):
            await opened.stream.receive()


async def test_without_lists_nothing_of_them_is_sent_or_recorded(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        assert (await opened.desktop.order(ipc.StartScreen)).private_windows == []
    [record] = [record for record in opened.device.records() if record.kind == "screen.started"]
    assert record.facts == {}


async def test_with_a_list_that_cannot_be_read_no_screen_is_started(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        device.private_windows_path.write_text('[{"titel": "*bank*"}]')
        async with await device.connect(acme().technician()) as session:
            await session.ask([VIEW])
            stream = await session.open_channel(VIEW)
            with pytest.raises(SupportError):
                await stream.receive()
            assert desktop.all_of(ipc.StartScreen) == []
        await device.over()
    screens = [record for record in device.records() if record.kind.startswith("screen")]
    assert [(one.kind, one.succeeded, one.facts) for one in screens] == [
        ("screen.ended", False, {"code": "E_CONFIG"})
    ]
