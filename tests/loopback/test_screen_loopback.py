"""`screen` through a whole session in one process: pictures pass unread, bounded, and end with the grant."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.local_frames import connect_local
from agent.service import PolicyIntake
from protocol.aio.audit_log import AuditLog
from protocol.errors import ErrorCode, SupportError, Unreachable
from protocol.grantables import Grantable
from protocol.messages import screen
from protocol.messages.control import PolicyPublished
from protocol.private_windows import PrivateWindow
from tests.support.desktop import FakeWorker
from tests.support.device_end import OpenChannel, attached, device_end, open_channel
from tests.support.organisation import acme
from tests.support.policies import signed_policy
from tests.support.said import said_here

pytestmark = pytest.mark.real

VIEW = Grantable.SCREEN_VIEW
LOOKING_S = 0.2  # how often lists are looked at where that is what is tested
NOT_LOOKING_S = 3600.0
WHOLE = screen.Rectangle(0, 0, 64, 64)
DISPLAYS = screen.Displays(
    displays=[screen.DisplayFacts(index=0, x=0, y=0, width=64, height=64, scale=1.0)],
    shown_index=0,
    mode=screen.DisplayMode.ONE,
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


FAILED = screen.ScreenFailed(code=ErrorCode.E_SCREEN_FAILED)


async def die(opened: OpenChannel, worker: FakeWorker, code: str = ErrorCode.E_SCREEN_FAILED) -> None:
    """The worker ends by itself, and the desktop process tells it."""
    worker.close()
    start_no = opened.desktop.all_of(ipc.StartScreen)[-1].start_no
    await opened.desktop.say(ipc.ScreenEnded(opened.session.session_id, code, "killed", start_no))


async def told(opened: OpenChannel) -> screen.FromAgent:
    """The next message that the technician gets."""
    return screen.FROM_AGENT_CODEC.decode(await opened.stream.receive())


async def say(opened: OpenChannel, *messages: screen.FromTechnician) -> None:
    """Messages of the technician."""
    for message in messages:
        await opened.stream.send(screen.FROM_TECHNICIAN_CODEC.encode(message))


async def heard(worker: FakeWorker) -> screen.FromTechnician:
    """The next message that the worker gets."""
    return screen.FROM_TECHNICIAN_CODEC.decode(await worker.receive())


async def test_a_worker_that_dies_is_started_again_once_with_a_fresh_ticket(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        first = await opened.desktop.worker()
        await first.send(part(7, 10))
        assert await opened.stream.receive() == part(7, 10)
        await die(opened, first)
        assert await told(opened) == screen.ScreenRestarted()
        second = await opened.desktop.worker()
        tickets = [order.ticket for order in opened.desktop.all_of(ipc.StartScreen)]
        assert len(set(tickets)) == 2
        await second.send(part(1, 10))
        assert await opened.stream.receive() == part(1, 10)
        await die(opened, second)
        assert await told(opened) == FAILED
        with pytest.raises(SupportError):
            await opened.stream.receive()
    kinds = [kind for kind in opened.device.kinds() if kind.startswith("screen")]
    assert kinds == ["screen.started", "screen.restarted", "screen.ended"]
    assert len(opened.desktop.all_of(ipc.StartScreen)) == 2


async def test_what_the_viewer_said_to_the_dead_worker_does_not_reach_the_new_one(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        await die(opened, await opened.desktop.worker())
        assert await told(opened) == screen.ScreenRestarted()
        second = await opened.desktop.worker()
        await say(opened, screen.PictureSeen(41), screen.ShowDisplay(3))
        await say(opened, screen.RestartSeen(), screen.ShowDisplay(1))
        assert await heard(second) == screen.ShowDisplay(1)


async def test_a_restart_seen_without_a_restart_ends_the_session(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        await say(opened, screen.RestartSeen())
        assert await worker.is_cut_off()
        await opened.device.over()


async def test_a_worker_that_says_that_the_screen_was_lost_is_started_again(tmp_path: Path) -> None:
    """Exit status 7: its last word is not passed on, because it is not the last."""
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        await worker.send(screen.FROM_AGENT_CODEC.encode(FAILED))
        await die(opened, worker)
        assert await told(opened) == screen.ScreenRestarted()


@pytest.mark.parametrize("code", [ErrorCode.E_SCREEN_NONE, ErrorCode.E_MESSAGE_FORMAT])
async def test_a_worker_that_another_would_not_better_is_not_started_again(
    tmp_path: Path, code: ErrorCode
) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        await worker.send(screen.FROM_AGENT_CODEC.encode(screen.ScreenFailed(code)))
        assert await told(opened) == screen.ScreenFailed(code)
        await die(opened, worker, code)
    assert len(opened.desktop.all_of(ipc.StartScreen)) == 1


async def test_a_worker_that_was_killed_by_order_is_not_started_again(tmp_path: Path) -> None:
    """The desktop process tells no such end: the person pressed Stop, and that has to be the end of it."""
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        worker.close()
        assert await told(opened) == FAILED
    assert len(opened.desktop.all_of(ipc.StartScreen)) == 1
    assert "screen.restarted" not in opened.device.kinds()


async def test_a_second_start_that_fails_is_told_with_its_own_code(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        worker = await opened.desktop.worker()
        opened.desktop.screen_code = ErrorCode.E_SCREEN_NONE
        await die(opened, worker)
        assert await told(opened) == screen.ScreenFailed(code=ErrorCode.E_SCREEN_NONE)


async def end_by_stop(opened: OpenChannel) -> None:
    """The person presses Stop."""
    await opened.desktop.stop(opened.session.session_id)


async def end_by_technician(opened: OpenChannel) -> None:
    """The technician ends the session."""
    await opened.session.end()


async def end_by_desktop(opened: OpenChannel) -> None:
    """The desktop process dies; with it, the kernel kills its children."""
    await opened.desktop.die()


@pytest.mark.parametrize("end", [end_by_stop, end_by_technician, end_by_desktop])
async def test_what_ends_a_session_during_the_restart_leaves_no_worker(
    tmp_path: Path, end: Callable[[OpenChannel], Awaitable[None]]
) -> None:
    """The last order about the screen is to end it, and the ticket of the second start brings nobody in."""
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        first = await opened.desktop.worker()
        opened.desktop.does_start_workers = False
        await die(opened, first)
        again = await opened.desktop.order(ipc.StartScreen, 2)
        await end(opened)
        await opened.device.over()
        late = await FakeWorker.connect(opened.device.server.socket_path, again.session_id, again.ticket)
        refused = ipc.TO_COMMAND_LINE_CODEC.decode(await late.receive())
        assert refused == ipc.IpcRefused(code=ErrorCode.E_TICKET)
        late.close()
        orders = [
            order for order in opened.desktop.orders if isinstance(order, ipc.StartScreen | ipc.StopScreen)
        ]
        if end is not end_by_desktop:
            assert isinstance(orders[-1], ipc.StopScreen)
        assert orders.count(again) == 1


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
    async with open_channel(acme(), tmp_path, VIEW, LOOKING_S) as opened:
        worker = await opened.desktop.worker()
        opened.device.private_windows_path.write_text('[{"title": "*diary*"}]')
        told = ipc.TO_WORKER_CODEC.decode(await worker.receive())
        assert told == ipc.CoverWindows([PrivateWindow(title="*diary*")])
        opened.device.publish(signed_policy(acme(), version=2, private_windows=[{"window_class": "vault"}]))
        told = ipc.TO_WORKER_CODEC.decode(await worker.receive())
        assert told == ipc.CoverWindows([PrivateWindow(window_class="vault"), PrivateWindow(title="*diary*")])
        seen = screen.FROM_TECHNICIAN_CODEC.encode(screen.PictureSeen(picture_no=2))
        await asyncio.sleep(4 * LOOKING_S)
        await opened.stream.send(seen)
        assert await worker.receive() == seen, "what did not change is told again"


async def test_what_the_person_adds_by_the_command_reaches_the_worker_at_once(tmp_path: Path) -> None:
    """The service is told: here it would never look by itself."""
    async with open_channel(acme(), tmp_path, VIEW, NOT_LOOKING_S) as opened:
        worker = await opened.desktop.worker()
        words = ("private-windows", "add", "--title", "*diary*", "--data", str(tmp_path))
        assert (await asyncio.to_thread(said_here, "alongside-agent", *words)).status == 0
        told = ipc.TO_WORKER_CODEC.decode(await worker.receive())
        assert told == ipc.CoverWindows([PrivateWindow(title="*diary*")])


async def test_a_policy_that_comes_reaches_the_worker_at_once(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW, NOT_LOOKING_S) as opened:
        device, worker = opened.device, await opened.desktop.worker()
        audit, tell = AuditLog(device.audit_path), device.tickets.lists_changed
        envelope = signed_policy(acme(), private_windows=[{"window_class": "vault"}])
        PolicyIntake(device.policies, audit, device.device_id, tell).take(PolicyPublished(1, envelope))
        told = ipc.TO_WORKER_CODEC.decode(await worker.receive())
        assert told == ipc.CoverWindows([PrivateWindow(window_class="vault")])


async def test_a_list_that_cannot_be_read_any_more_ends_the_screen(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, VIEW, LOOKING_S) as opened:
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


async def test_the_end_of_an_earlier_worker_that_is_told_late_is_not_taken_for_the_next_ones(
    tmp_path: Path,
) -> None:
    """It sees the end of its connection before the order to end it comes: both are right."""
    async with open_channel(acme(), tmp_path, VIEW) as opened:
        first = await opened.desktop.worker()
        opened.desktop.does_start_workers = False
        await die(opened, first)
        again = await opened.desktop.order(ipc.StartScreen, 2)
        before = opened.desktop.all_of(ipc.StartScreen)[0]
        await opened.desktop.say(ipc.ScreenEnded(before.session_id, "", "late", before.start_no))
        second = await FakeWorker.connect(opened.device.server.socket_path, again.session_id, again.ticket)
        assert await told(opened) == screen.ScreenRestarted()
        second.close()
