"""The link to the relay, against a scripted one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from protocol.aio.backoff import Backoff
from protocol.errors import ErrorCode, SupportError
from protocol.ids import DeviceId
from protocol.messages import control
from protocol.messages.presence import DeviceList, DeviceRow, PresenceChanged
from technician_client.admin_requests import AdminRequests
from technician_client.config import TechnicianConfig
from technician_client.link import LinkChanged, LinkEvent, LinkState, PolicyAccepted, RelayLink
from technician_client.policies import PolicyStore
from technician_client.relay_address import RelayAddress
from tests.support.organisation import acme, intruders
from tests.support.scripted_relay import RELAY_ID, ScriptedRelay
from tests.support.signed_policy import signed_policy

ROW = DeviceRow("d-" + "a" * 20, "reception-pc", "default", "linux", "approved", True, "", "")
OPENED = control.SessionOpened(1, "s-" + "a" * 26, control.SessionRoute(0, "/v1/session"), b"ticket")


def new_link(
    relay: ScriptedRelay, folder: Path, *, relay_id: str = RELAY_ID, pause_s: float = 0.0
) -> RelayLink:
    policies = PolicyStore(TechnicianConfig(folder), acme().root_der)
    address = RelayAddress("http://127.0.0.1:1", relay_id)
    backoff = Backoff(draw=lambda least, most: pause_s)
    return RelayLink(address, acme().technician(), policies, open_wire=relay.open_wire, backoff=backoff)


@asynccontextmanager
async def connected_link(folder: Path) -> AsyncIterator[tuple[RelayLink, ScriptedRelay]]:
    relay = ScriptedRelay()
    async with new_link(relay, folder) as link:
        await relay.welcome()
        await link.connected()
        yield link, relay


def link_row(name: str) -> DeviceRow:
    return DeviceRow(ROW.device_id, name, "", "", "", True, "", "")


def everything(event: LinkEvent) -> LinkEvent:
    return event


class TestConnecting:
    async def test_an_unreachable_relay_is_reported_at_once_and_tried_again(self, tmp_path):
        relay = ScriptedRelay()
        relay.is_down = True
        async with new_link(relay, tmp_path) as link:
            with pytest.raises(SupportError) as caught:
                await link.connected()
            assert caught.value.code == ErrorCode.E_RELAY_UNREACHABLE
            relay.is_down = False
            await relay.welcome()
            await until_state(link, LinkState.CONNECTED)

    async def test_a_refused_log_in_keeps_its_code(self, tmp_path):
        relay = ScriptedRelay()
        async with new_link(relay, tmp_path) as link:
            await relay.refuse(ErrorCode.E_ORG_UNKNOWN)
            with pytest.raises(SupportError) as caught:
                await link.connected()
            assert caught.value.code == ErrorCode.E_ORG_UNKNOWN
            assert link.state is LinkState.REFUSED

    async def test_another_relay_than_the_pinned_one_gets_no_signature(self, tmp_path):
        relay = ScriptedRelay()
        async with new_link(relay, tmp_path, relay_id="relay-2") as link:
            accepting = asyncio.create_task(relay.accept())
            with pytest.raises(SupportError) as caught:
                await link.connected()
            assert caught.value.code == ErrorCode.E_RELAY_ID
            with pytest.raises(SupportError):
                await accepting

    async def test_a_lost_link_fails_what_waits_and_is_made_anew(self, tmp_path):
        async with connected_link(tmp_path) as (link, relay):
            asking = asyncio.create_task(link.devices())
            await relay.receive()
            await relay.hang_up()
            with pytest.raises(SupportError) as caught:
                await asking
            assert caught.value.code == ErrorCode.E_LINK_LOST
            await relay.welcome()
            await until_state(link, LinkState.CONNECTED)

    async def test_who_asks_between_two_tries_has_the_next_one_at_once(self, tmp_path):
        relay = ScriptedRelay()
        async with new_link(relay, tmp_path, pause_s=3600.0) as link:
            await relay.welcome()
            await link.connected()
            await relay.hang_up()
            await until_state(link, LinkState.CONNECTING)
            asking = asyncio.create_task(link.devices())
            await relay.welcome()
            request = await relay.receive()
            assert isinstance(request, control.ListDevices)
            await relay.send(DeviceList(request.request_no, [ROW]))
            assert await asking == [ROW]

    @pytest.mark.parametrize("garbage", [b"", b"\xff" * 40, b"\x81\xa4type\xa3abc"])
    async def test_garbage_of_the_relay_ends_the_connection_and_nothing_else(self, tmp_path, garbage):
        async with connected_link(tmp_path) as (link, relay):
            await relay.send_bytes(garbage)
            await until_state(link, LinkState.REFUSED)
            await relay.welcome()
            await until_state(link, LinkState.CONNECTED)


class TestRequests:
    async def test_answers_find_their_questions_in_any_order(self, tmp_path):
        async with connected_link(tmp_path) as (link, relay):
            first = asyncio.create_task(link.devices())
            question = await relay.receive()
            second = asyncio.create_task(link.open_session(DeviceId(ROW.device_id)))
            wish = await relay.receive()
            assert isinstance(question, control.ListDevices)
            assert isinstance(wish, control.OpenSession)
            await relay.send(control.SessionOpened(wish.request_no, OPENED.session_id, OPENED.route, b"t"))
            await relay.send(DeviceList(question.request_no, [ROW]))
            assert await first == [ROW]
            assert (await second).session_id == OPENED.session_id

    async def test_a_refused_request_raises_its_code_and_the_link_stays(self, tmp_path):
        async with connected_link(tmp_path) as (link, relay):
            asking = asyncio.create_task(link.open_session(DeviceId(ROW.device_id)))
            wish = await relay.receive()
            assert isinstance(wish, control.OpenSession)
            await relay.send(control.Refused(wish.request_no, ErrorCode.E_DEVICE_AWAY))
            with pytest.raises(SupportError) as caught:
                await asking
            assert caught.value.code == ErrorCode.E_DEVICE_AWAY
            assert link.state is LinkState.CONNECTED

    async def test_an_answer_of_the_wrong_kind_is_a_violation(self, tmp_path):
        async with connected_link(tmp_path) as (link, relay):
            asking = asyncio.create_task(link.devices())
            question = await relay.receive()
            assert isinstance(question, control.ListDevices)
            await relay.send(control.Done(question.request_no))
            with pytest.raises(SupportError) as caught:
                await asking
            assert caught.value.code == ErrorCode.E_PROTOCOL

    async def test_a_decline_that_comes_right_behind_the_ticket_is_not_lost(self, tmp_path):
        async with connected_link(tmp_path) as (link, relay):
            asking = asyncio.create_task(link.open_session(DeviceId(ROW.device_id)))
            wish = await relay.receive()
            assert isinstance(wish, control.OpenSession)
            await relay.send(control.SessionOpened(wish.request_no, OPENED.session_id, OPENED.route, b"t"))
            await relay.send(control.SessionDeclined(OPENED.session_id, ErrorCode.E_BUSY))
            opened = await asking
            for _ in range(20):
                await asyncio.sleep(0)
            assert await link.declined(opened.session_id) == ErrorCode.E_BUSY

    async def test_an_admins_order_waits_until_it_is_done(self, tmp_path):
        async with connected_link(tmp_path) as (link, relay):
            ordering = asyncio.create_task(AdminRequests(link).revoke_token("ab12"))
            order = await relay.receive()
            assert isinstance(order, control.RevokeToken)
            await relay.send(control.Done(order.request_no))
            await ordering


class TestNews:
    async def test_presence_and_link_changes_reach_who_watches(self, tmp_path):
        async with connected_link(tmp_path) as (link, relay):
            with link.watch(everything) as news:
                await relay.send(PresenceChanged(ROW))
                assert await news.get() == ROW
                await relay.hang_up()
                assert await news.get() == LinkChanged(LinkState.CONNECTING, ErrorCode.E_LINK_LOST)
            assert link.known_devices() == [ROW]

    async def test_a_slow_reader_loses_the_oldest_news_and_the_link_goes_on(self, tmp_path, monkeypatch):
        monkeypatch.setattr("technician_client.broadcast.EVENTS_LIMIT", 2)
        async with connected_link(tmp_path) as (link, relay):
            with link.watch(everything) as news:
                for name in ("one", "two", "three"):
                    await relay.send(PresenceChanged(link_row(name)))
                with link.watch(everything) as fast:
                    while await fast.get() != link_row("three"):
                        pass
                assert [news.get_nowait().name, news.get_nowait().name] == ["two", "three"]

    async def test_a_policy_of_the_organisation_is_taken_up(self, tmp_path):
        async with connected_link(tmp_path) as (link, relay):
            with link.watch(everything) as news:
                await relay.send(control.PolicyPublished(3, signed_policy(acme(), version=3)))
                accepted = await news.get()
                assert isinstance(accepted, PolicyAccepted)
                assert (await link.policy()).version == 3

    async def test_a_policy_of_somebody_else_is_refused_and_the_link_stays(self, tmp_path):
        async with connected_link(tmp_path) as (link, relay):
            await relay.send(control.PolicyPublished(3, signed_policy(intruders(), version=3)))
            with pytest.raises(SupportError) as caught:
                await link.policy()
            assert caught.value.code == ErrorCode.E_POLICY_SIGNATURE
            assert link.state is LinkState.CONNECTED

    async def test_without_a_published_policy_its_absence_has_a_code(self, tmp_path):
        async with connected_link(tmp_path) as (link, _):
            with pytest.raises(SupportError) as caught:
                await link.policy(timeout_s=0.01)
            assert caught.value.code == ErrorCode.E_POLICY_MISSING


async def until_state(link: RelayLink, wanted: LinkState) -> None:
    with link.watch(everything) as news:
        async with asyncio.timeout(5):
            while link.state is not wanted:
                await news.get()
