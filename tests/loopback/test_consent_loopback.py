"""A technician and an agent in one process: what is allowed, what is refused, and how it ends."""

import asyncio
import time
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from protocol.certificates import Scope
from protocol.errors import ErrorCode, NotGranted, SupportError
from protocol.grantables import Grantable
from protocol.messages.channel import OpenChannel
from protocol.messages.consent import GrantEnded
from technician_client.notices import SessionOver
from technician_client.sessions import TechnicianSession
from tests.support.desktop import allow_only, deny, leave_open
from tests.support.device_end import attached, device_end
from tests.support.organisation import acme, intruders
from tests.support.policies import signed_policy

pytestmark = pytest.mark.real

VIEW, CONTROL = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL


async def over(session: TechnicianSession) -> str:
    """The cause with which the session ended, as the technician hears it."""
    async with asyncio.timeout(3):
        while True:
            notice = await session.notices.get()
            if isinstance(notice, SessionOver):
                return notice.code


async def test_what_the_person_allows_is_granted_and_the_indicator_names_the_technician(
    tmp_path: Path,
) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        async with await device.connect(acme().technician()) as session:
            answer = await session.ask([VIEW, CONTROL], reason="a\u202eb", ticket_number="T-1")
            assert [given.grantable for given in answer.granted] == [VIEW]
            assert answer.refused == {CONTROL: ErrorCode.E_CONSENT_LATER}
            [prompt] = desktop.all_of(ipc.ShowPrompt)
            assert prompt.grantables == [VIEW]
            assert (prompt.technician_name, prompt.ticket_number) == ("Ada", "T-1")
            assert "\u202e" not in prompt.reason
            indicator = await desktop.order(ipc.ShowIndicator)
            assert indicator.technician_name == "Ada"
            assert indicator.grantables == [VIEW]
            later = await session.ask([VIEW, CONTROL])  # what is held already is not asked for again
            assert [given.grantable for given in later.granted] == [CONTROL]
            assert desktop.all_of(ipc.ShowPrompt)[1].grantables == [CONTROL]
            assert desktop.all_of(ipc.ShowIndicator)[-1].grantables == [VIEW, CONTROL]
        await desktop.order(ipc.HideIndicator)
        await device.over()
    assert device.kinds() == [
        "session.ready", "consent.asked", "session.seated", "consent.allowed", "grant.given",
        "consent.asked", "consent.allowed", "grant.given", "grant.ended", "grant.ended", "session.ended",
    ]  # fmt: skip


async def test_what_the_person_refuses_later_is_refused_by_itself(tmp_path: Path) -> None:
    async with (
        device_end(acme(), tmp_path) as device,
        attached(device, allow_only(VIEW)),
        await device.connect(acme().technician()) as session,
    ):
        assert [given.grantable for given in (await session.ask([VIEW])).granted] == [VIEW]
        answer = await session.ask([CONTROL])
        assert answer.granted == []
        assert answer.refused == {CONTROL: ErrorCode.E_CONSENT_DENIED}
        with pytest.raises(NotGranted):
            await session.open_channel(CONTROL)


async def test_a_no_grants_nothing_and_shows_no_indicator(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, deny) as desktop:
        async with await device.connect(acme().technician()) as session:
            answer = await session.ask([VIEW])
            assert not answer.granted
            assert answer.refused == {VIEW: ErrorCode.E_CONSENT_DENIED}
        await device.over()
        assert not desktop.all_of(ipc.ShowIndicator)
        assert not desktop.all_of(ipc.StartScreen)
    assert "consent.denied" in device.kinds()
    assert "grant.given" not in device.kinds()


async def test_without_a_desktop_process_nobody_can_be_asked(tmp_path: Path) -> None:
    async with (
        device_end(acme(), tmp_path) as device,
        await device.connect(acme().technician()) as session,
    ):
        answer = await session.ask([VIEW])
        assert answer.refused == {VIEW: ErrorCode.E_CONSENT_NOBODY}


async def test_unattended_is_granted_without_a_prompt_but_not_before_the_indicator(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path, "kiosks") as device, attached(device) as desktop:
        device.publish(signed_policy(acme(), groups={"kiosks": "unattended"}))
        desktop.does_show_indicator = False
        async with await device.connect(acme().technician()) as session:
            asking = asyncio.create_task(session.ask([VIEW]))
            shown = await desktop.order(ipc.ShowIndicator)
            assert shown.is_unattended
            await asyncio.sleep(0.1)
            assert not asking.done(), "a grant acted before the indicator was on the screen"
            await desktop.say(ipc.IndicatorShown(session.session_id, shown.show_no))
            assert [given.grantable for given in (await asking).granted] == [VIEW]
        assert not desktop.all_of(ipc.ShowPrompt)


async def test_unattended_without_a_desktop_is_refused_because_it_would_be_unseen(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path, "kiosks") as device:
        device.publish(signed_policy(acme(), groups={"kiosks": "unattended"}))
        async with await device.connect(acme().technician()) as session:
            answer = await session.ask([VIEW])
            assert answer.refused == {VIEW: ErrorCode.E_CONSENT_NOBODY}


async def test_policy_keeps_back_what_the_role_may_not_ask_for(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        device.publish(signed_policy(acme(), roles={"technician": ["diagnostics.read"]}))
        async with await device.connect(acme().technician()) as session:
            assert session.ready.offers == ["diagnostics.read"]
            answer = await session.ask([VIEW])
            assert answer.refused == {VIEW: ErrorCode.E_POLICY_CAPABILITY}
        assert not desktop.orders or not desktop.all_of(ipc.ShowPrompt)


async def test_stop_ends_the_session_within_a_quarter_second(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        session = await device.connect(acme().technician())
        await session.ask([VIEW])
        stream = await session.open_channel(VIEW)
        worker = await desktop.worker()
        pressed_s = time.monotonic()
        await desktop.stop(session.session_id)
        assert await worker.is_cut_off()
        assert time.monotonic() - pressed_s < 0.25
        assert await over(session) == ErrorCode.E_SESSION_STOPPED
        with pytest.raises(SupportError):
            await stream.receive()
        await desktop.order(ipc.HideIndicator)
        await session.end()
        await device.over()
    assert device.kinds()[-3:] != []
    assert {"session.stopped", "grant.ended", "screen.ended", "session.ended"} <= set(device.kinds())


async def test_a_killed_desktop_process_ends_the_session(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        session = await device.connect(acme().technician())
        await session.ask([VIEW])
        await desktop.die()
        assert await over(session) == ErrorCode.E_CONSENT_NOBODY
        await session.end()
        await device.over()


async def test_a_technician_who_leaves_takes_the_prompt_away(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, leave_open) as desktop:
        session = await device.connect(acme().technician())
        asking = asyncio.create_task(session.ask([VIEW]))
        prompt = await desktop.order(ipc.ShowPrompt)
        await session.end()
        assert (await desktop.order(ipc.CancelPrompt)).prompt_no == prompt.prompt_no
        with pytest.raises(SupportError):
            await asking
        await device.over()
    assert "grant.given" not in device.kinds()


async def test_a_second_prompt_on_the_device_is_refused_as_busy(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, leave_open) as desktop:
        first = await device.connect(acme().technician("ada"))
        second = await device.connect(acme().technician("bob"))
        asking = asyncio.create_task(first.ask([VIEW]))
        await desktop.order(ipc.ShowPrompt)
        answer = await second.ask([VIEW])
        assert answer.refused == {VIEW: ErrorCode.E_BUSY}
        await first.end()
        await second.end()
        await asyncio.gather(asking, return_exceptions=True)
        assert len(desktop.all_of(ipc.ShowPrompt)) == 1


async def test_a_grant_that_runs_out_ends_its_channel_and_not_the_session(tmp_path: Path) -> None:
    async with (
        device_end(acme(), tmp_path) as device,
        attached(device) as desktop,
        await device.connect(acme().technician()) as session,
    ):
        await session.ask([VIEW], length_s=10)
        stream = await session.open_channel(VIEW)
        worker = await desktop.worker()
        book = next(iter(device.runners.values())).live_grants
        until_s = asyncio.get_running_loop().time() + 0.05
        object.__setattr__(book[0], "until_s", until_s)  # what no code of ours can do
        await session.ask([Grantable.DIAGNOSTICS_READ])  # its answer makes the clock look again
        assert await worker.is_cut_off()
        with pytest.raises(SupportError):
            await stream.receive()
        async with asyncio.timeout(2):
            while not isinstance(notice := await session.notices.get(), GrantEnded):
                pass
        assert (notice.grantable, notice.code) == (VIEW, ErrorCode.E_GRANT_ENDED)
        assert Grantable.DIAGNOSTICS_READ in session.held()


async def test_a_stranger_of_another_organisation_is_never_shown_to_the_person(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        with pytest.raises(SupportError):
            await device.connect(intruders().technician())
        await device.over()
        assert desktop.orders == []
    assert device.kinds() == ["session.refused"]


async def test_a_device_identity_cannot_open_a_session(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        with pytest.raises(SupportError):
            await device.connect(acme().device())
        await device.over()
        assert desktop.orders == []
    assert device.kinds() == ["session.refused"]
    assert b"E_CERT_ROLE" in device.audit_path.read_bytes()


async def test_a_technician_for_other_groups_is_refused_with_the_scope_code(tmp_path: Path) -> None:
    scope = Scope(frozenset({"laptops"}), frozenset({"*"}))
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        with pytest.raises(SupportError) as caught:
            await device.connect(acme().technician(scope=scope))
        assert caught.value.code is ErrorCode.E_CERT_SCOPE
        await device.over()
        assert desktop.orders == []


async def test_a_channel_without_its_grant_is_refused_and_the_session_goes_on(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, allow_only(VIEW)) as desktop:
        async with await device.connect(acme().technician()) as session:
            view = (await session.ask([VIEW])).granted[0].grant_id
            await session._send(OpenChannel(901, "input", view))  # what an honest client never sends
            await session._send(OpenChannel(902, "screen", "g-" + "a" * 16))
            await session._send(OpenChannel(903, "shell", view))
            await session.open_channel(VIEW)
        await device.over()
        assert not desktop.all_of(ipc.AllowInput)
        assert len(desktop.all_of(ipc.StartScreen)) == 1
    assert device.kinds().count("channel.refused") == 3


async def test_when_the_audit_log_cannot_be_written_nothing_is_asked_or_granted(tmp_path: Path) -> None:
    async with (
        device_end(acme(), tmp_path) as device,
        attached(device) as desktop,
        await device.connect(acme().technician()) as session,
    ):
        device.audit_path.unlink()
        device.audit_path.mkdir()
        answer = await session.ask([VIEW])
        assert answer.refused == {VIEW: ErrorCode.E_AUDIT_WRITE}
        assert desktop.all_of(ipc.ShowPrompt) == []


async def test_a_technician_who_keeps_opening_what_is_not_granted_is_cut_off(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device):
        session = await device.connect(acme().technician())
        for number in range(1, 60):
            await session._send(OpenChannel(number, "screen", "g-none"))
        assert await over(session) == ErrorCode.E_RATE
        await session.end()
        await device.over()
    assert device.kinds().count("channel.refused") == 32
