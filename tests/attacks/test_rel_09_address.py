"""REL-09: a device gets another address in the middle of a session, as on another network (Linux, root)."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.local_client import ask_status
from protocol.aio.own_addresses import OwnAddress, is_ours
from protocol.errors import ErrorCode, SupportError
from tests.attacks.test_aud_processes import CONTROL, Device, session_with, typed_now
from tests.e2e.steps import until
from tests.support.agent_process import AgentProcess
from tests.support.office import Office, open_office
from tests.support.other_user import IS_ROOT
from tests.support.own_network import ip, own_network, run_inside
from tests.support.tls_server import server_files

pytestmark = [
    pytest.mark.real,
    pytest.mark.beside,
    pytest.mark.skipif(not IS_ROOT, reason="run as root: it makes networks of its own (ip-netns(8))"),
]

RELAY, FIRST, SECOND = "10.9.0.1", "10.9.0.2", "10.9.0.3"
NOTICED_WITHIN_S, BACK_WITHIN_S, PATIENCE_S = 5.0, 5.0, 60.0
# long enough for a back-off without news of addresses to be far beyond what is allowed
AWAY_S = 20.0


@contextmanager
def two_networks() -> Iterator[tuple[str, str]]:
    """The relay's and the device's, with a cable between them."""
    with own_network() as here, own_network() as there:
        ip("link", "add", "cable", "netns", here, "type", "veth", "peer", "name", "cable", "netns", there)
        for name, address in ((here, RELAY), (there, FIRST)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
        yield here, there


@contextmanager
def device_in(network: str, office: Office, folder: Path) -> Iterator[Device]:
    """Joined here; its agent runs there."""
    device = Device(office, folder)
    device.agent = AgentProcess(folder, inside=("ip", "netns", "exec", network))
    with device.agent:
        yield device


@pytest.mark.parametrize("away_s", [0.0, AWAY_S])
def test_rel_09_another_address_ends_the_session_and_the_next_one_asks_again(
    tmp_path: Path, away_s: float
) -> None:
    with two_networks() as (here, there):
        run_inside(here, partial(move, there, tmp_path, away_s))


def move(network: str, folder: Path, away_s: float) -> None:
    tls = server_files(folder / "files", address=RELAY)
    with (
        open_office(folder, host=RELAY, tls=tls) as office,
        device_in(network, office, folder / "moving") as device,
    ):
        asyncio.run(move_in_a_session(network, device, away_s))
        assert "Traceback" not in device.agent.log_text()


async def move_in_a_session(network: str, device: Device, away_s: float) -> None:
    async with session_with(device) as (desktop, session, app):
        await session.ask([CONTROL])
        stream = await session.open_channel(CONTROL)
        await stream.receive()
        await stream.send(typed_now("before"))
        assert "before" in repr(await desktop.order(ipc.Inject)), "the control"
        prompts = len(desktop.all_of(ipc.ShowPrompt))
        ip("-n", network, "address", "del", f"{FIRST}/24", "dev", "cable")
        if away_s:
            await over(device, session.session_id, NOTICED_WITHIN_S)
            await asyncio.sleep(away_s)
        ip("-n", network, "address", "add", f"{SECOND}/24", "dev", "cable")
        there_s = time.monotonic()
        await linked(device, NOTICED_WITHIN_S + BACK_WITHIN_S)
        await over(device, session.session_id, NOTICED_WITHIN_S)
        async with await app.open_session(device.device_id) as again:
            took_s = time.monotonic() - there_s
            assert took_s <= BACK_WITHIN_S
            with pytest.raises(SupportError) as refused:
                await again.open_channel(CONTROL)
            assert refused.value.code is ErrorCode.E_GRANT_NONE, "what was allowed ended with the session"
            with contextlib.suppress(SupportError):  # nobody told this end yet
                await stream.send(typed_now("late"))
            assert (await again.ask([CONTROL])).granted
            assert len(desktop.all_of(ipc.ShowPrompt)) == prompts + 1
            with contextlib.suppress(SupportError):
                async with asyncio.timeout(PATIENCE_S):
                    while True:
                        await stream.receive()
        assert "late" not in repr(desktop.all_of(ipc.Inject))
    assert device.kinds(session.session_id).count("session.ended") == 1


async def linked(device: Device, within_s: float) -> None:
    """Until its person is told of a link that is not the old one's."""

    def is_linked() -> bool:
        status = asyncio.run(ask_status(device.agent.socket_path))
        return status.link == "connected" and device.agent.log_text().count("link.up") > 1

    await asyncio.to_thread(until, is_linked, within_s)


async def over(device: Device, session_id: str, within_s: float) -> None:
    """Until it has recorded the session's end."""
    await asyncio.to_thread(until, lambda: "session.ended" in device.kinds(session_id), within_s)


# -- what tells it


def test_rel_09_an_address_that_goes_is_told_once_and_one_that_is_back_soon_is_not() -> None:
    with own_network() as network:
        run_inside(network, lambda: asyncio.run(watch(network)))


async def watch(network: str) -> None:
    def change(word: str) -> None:
        ip("-n", network, "address", word, f"{FIRST}/32", "dev", "lo")

    change("add")
    told: list[str] = []
    watched = OwnAddress(FIRST, lambda: told.append("gone"))
    for word in ("del", "add"):  # as a lease that is renewed
        change(word)
    await asyncio.sleep(1.5)
    assert (told, is_ours(FIRST)) == ([], True)
    change("del")
    await asyncio.sleep(1.5)
    change("add")
    change("del")
    await asyncio.sleep(1.5)
    assert (told, is_ours(FIRST)) == (["gone"], False)
    watched.close()
