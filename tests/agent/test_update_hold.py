"""What the service tells the updater, and that no session begins between its word and the restart."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from agent.desktop.update_messages import UpdateAnswer, UpdateAsked
from agent.local_server import LocalServer
from agent.service import Service, ServiceParts
from agent.sessions import Sessions
from agent.update.host import SystemdHost
from protocol.codec import Codec
from protocol.errors import ErrorCode
from protocol.version import PRODUCT_VERSION
from tests.agent.test_sessions import Relay, offer
from tests.support.attacked import until
from tests.support.device_end import DeviceEnd
from tests.support.organisation import acme


def parts_of(sessions: Sessions) -> ServiceParts:
    """As much of a service as the answer is made of."""
    return cast(ServiceParts, SimpleNamespace(sessions=sessions, link=SimpleNamespace(state="connected")))


async def test_upd_13_no_session_begins_while_the_updater_restarts_a_service_without_one(
    tmp_path: Path,
) -> None:
    device, relay = DeviceEnd(acme(), tmp_path), Relay()
    sessions = Sessions(device.side, relay.open_wire)
    server = LocalServer(
        tmp_path / "run" / "update.sock",
        {UpdateAsked: Service(parts_of(sessions)).handle_update},
        allowed_uids=frozenset({tmp_path.stat().st_uid}),
    )
    await server.open()
    host = SystemdHost(server.socket_path)
    may_go, has_asked = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> UpdateAnswer | None:
        with host.asked() as answer:
            loop.call_soon_threadsafe(has_asked.set)
            asyncio.run_coroutine_threadsafe(may_go.wait(), loop).result(30)
        return answer

    async def told() -> UpdateAnswer | None:
        may_go.set()
        return await asyncio.to_thread(ask)

    asking = asyncio.create_task(asyncio.to_thread(ask))
    await has_asked.wait()
    await sessions.offered(offer(), relay.decline)
    assert [declined.code for declined in relay.declined] == [ErrorCode.E_BUSY]
    assert sessions.count == 0
    may_go.set()
    assert await asking == UpdateAnswer(PRODUCT_VERSION, "connected", 0)
    await until(lambda: not sessions._holds)
    await sessions.offered(offer(), relay.decline)
    assert sessions.count == 1, "control: without the updater it begins"
    assert await told() == UpdateAnswer(PRODUCT_VERSION, "connected", 1)
    assert not sessions._holds, "who is there already is not held up"
    await server.close()
    for running in list(sessions._running):
        running.cancel()
    await asyncio.gather(*sessions._running, return_exceptions=True)
    assert await told() is None, "nothing answers when nothing runs"


def test_upd_15_what_a_service_says_to_an_older_updater_never_changes() -> None:
    asked = Codec[UpdateAsked](UpdateAsked, 4096).encode(UpdateAsked())
    answer = Codec[UpdateAnswer](UpdateAnswer, 4096).encode(UpdateAnswer("1.2.3", "connected", 0))
    assert asked.hex() == "81a474797065b06970632e7570646174655f61736b6564"
    assert answer.hex() == (
        "84a474797065b16970632e7570646174655f616e73776572a776657273696f6ea5312e322e33"
        "a46c696e6ba9636f6e6e6563746564a873657373696f6e7300"
    )
