"""The real agent process at a real relay: joining, running, being asked, and ending."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import run_service
from agent.config import AgentConfig
from agent.desktop import ipc_messages as ipc
from agent.local_frames import connect_local
from agent.platform.windows.service_host import host_service
from protocol.aio.log_in import open_session_wire
from protocol.errors import SupportError
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.ids import DeviceId, checked_session_id
from protocol.messages import control
from protocol.messages.screen import FROM_AGENT_CODEC, CursorMoved
from technician_client.opening import Wanted, establish
from technician_client.sessions import TechnicianSession
from tests.support.agent_commands import call, new_token, running_agent
from tests.support.desktop import FakeDesktop, deny
from tests.support.device_end import QuietAudit
from tests.support.fake_windows_service import RUNNING, STOP_PENDING, STOPPED, FakeWindows
from tests.support.organisation import Organisation, acme
from tests.support.policies import signed_policy
from tests.support.relay_process import RelayProcess, claim_relay, log_in_client, running_relay
from tests.support.xvfb import start_xvfb

pytestmark = [pytest.mark.real, pytest.mark.beside]

PICTURE = FROM_AGENT_CODEC.encode(CursorMoved(1, 2))


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    """A claimed relay with a policy."""
    with running_relay(tmp_path / "relay") as started:
        asyncio.run(claim_relay(started, acme()))
        yield started


@pytest.fixture
def joined(relay: RelayProcess, tmp_path: Path) -> Path:
    """The data folder of a device that has joined."""
    data = tmp_path / "agent"
    call("join", "--token-file", "-", "--name", "Reception", data=data, stdin=new_token(relay, acme()))
    return data


async def connect(relay: RelayProcess, technician: Identity, device_id: str) -> TechnicianSession:
    """A session through the real relay."""
    client = await log_in_client(relay, technician)
    await client.send(control.OpenSession(request_no=1, device_id=device_id))
    opened = await client.wait_for(control.SessionOpened)
    wire = await open_session_wire(relay.relay_url, opened.route, opened.ticket)
    await client.close()
    wanted = Wanted(checked_session_id(opened.session_id), DeviceId(device_id), technician, QuietAudit())
    return await establish(wire, wanted)


def assert_not_left(was_left: bool) -> None:
    assert not was_left


def wait_for(data: Path, wanted: str, timeout_s: float = 15.0) -> None:
    """Wait until `status` says that the link is like this."""
    deadline_s = time.monotonic() + timeout_s
    while call("status", data=data)["link"] != wanted:
        assert time.monotonic() < deadline_s, f"the link did not become {wanted}"
        time.sleep(0.2)


def test_joining_makes_a_private_identity_and_works_once(relay: RelayProcess, joined: Path) -> None:
    assert (joined / "identity.pem").stat().st_mode & 0o777 == 0o600
    assert joined.stat().st_mode & 0o777 == 0o700
    again = call("join", new_token(relay, acme()), data=joined, ok=False)
    assert again["error"]["code"] == "E_ALREADY_JOINED"
    assert again["exit"] == 3


def test_a_join_that_the_relay_refuses_leaves_nothing(relay: RelayProcess, tmp_path: Path) -> None:
    strangers = Organisation("Strangers")
    data = tmp_path / "agent"
    refused = call("join", new_token(relay, strangers), data=data, ok=False)
    assert refused["error"]["code"] == "E_ORG_UNKNOWN"
    assert not list(data.glob("identity*"))
    cut = call("join", new_token(relay, acme())[:-9], data=data, ok=False)
    assert cut["error"]["code"] == "E_TOKEN_FORMAT"


def test_enr_02_a_token_that_is_used_up_is_refused(relay: RelayProcess, tmp_path: Path) -> None:
    token = new_token(relay, acme(), uses_limit=1)
    call("join", token, data=tmp_path / "first")
    refused = call("join", token, data=tmp_path / "second", ok=False)
    assert refused["error"]["code"] == "E_TOKEN_USED"


def test_it_runs_once_per_folder_answers_status_and_leaves(relay: RelayProcess, joined: Path) -> None:
    with running_agent(joined) as agent:
        assert agent.ready["link"] == "connected"
        assert agent.socket.stat().st_mode & 0o777 == 0o600
        status = call("status", data=joined)
        assert (status["device_id"], status["group"]) == (agent.ready["device_id"], "default")
        assert status["has_desktop"] is False
        second = call("run", data=joined, ok=False)
        assert second["error"]["code"] == "E_ALREADY_RUNNING"
        checks = {check["name"]: check["state"] for check in call("doctor", data=joined)["checks"]}
        assert (checks["identity"], checks["relay"], checks["service"]) == ("ok", "ok", "ok")
        call("leave", data=joined)
        assert agent.process.wait(10) == 0
    assert not (joined / "identity.pem").exists()
    assert not (joined / "relay.json").exists()
    kinds = [line["kind"] for line in call("history", data=joined)["lines"]]
    assert kinds[0] == "device.joined"
    assert kinds[-1] == "device.left"
    assert call("run", data=joined, ok=False)["error"]["code"] == "E_IDENTITY_MISSING"


def test_an_identity_that_others_could_read_is_not_used(joined: Path) -> None:
    (joined / "identity.pem").chmod(0o640)
    refused = call("run", data=joined, ok=False)
    assert refused["error"]["code"] == "E_IDENTITY_OWNER"
    assert refused["exit"] == 5


def test_a_killed_relay_is_survived(relay: RelayProcess, joined: Path) -> None:
    with running_agent(joined) as agent:
        relay.kill()
        wait_for(joined, "connecting")
        relay.restart()
        wait_for(joined, "connected")
        assert agent.process.poll() is None


def test_an_agent_starts_without_its_relay_and_says_so(relay: RelayProcess, joined: Path) -> None:
    relay.stop()
    with running_agent(joined) as agent:
        assert agent.ready["link"] == "connecting"
        assert call("status", data=joined)["link_code"] == "E_RELAY_UNREACHABLE"
    relay.restart()


async def test_a_session_through_the_real_relay_is_seen(relay: RelayProcess, joined: Path) -> None:
    admin = await log_in_client(relay, acme().admin())
    await admin.send(control.PublishPolicy(1, 1, signed_policy(acme())))
    await admin.wait_for(control.Done)
    await admin.close()
    with running_agent(joined) as agent:
        async with FakeDesktop(agent.socket) as desktop:
            session = await connect(relay, acme().technician(), agent.ready["device_id"])
            for wanted in (Grantable.SCREEN_VIEW, Grantable.COMMANDS_RUN):
                assert len((await session.ask([wanted])).granted) == 1
            stream = await session.open_channel(Grantable.SCREEN_VIEW)
            worker = await desktop.worker()
            await worker.send(PICTURE)
            assert await stream.receive() == PICTURE
            status = await asyncio.to_thread(call, "status", data=joined)
            assert status["policy_version"] == 1
            assert status["sessions"][0]["grantables"] == ["commands.run", "screen.view"]
            await session.end()
            await desktop.order(ipc.HideIndicator)
            desktop.answer = deny
            session = await connect(relay, acme().technician(), agent.ready["device_id"])
            assert not (await session.ask([Grantable.SCREEN_VIEW])).granted
            await session.end()
        # idle: no heavy library was loaded, and no processor time goes by
        maps = Path(f"/proc/{agent.process.pid}/maps").read_text()
        assert not [name for name in ("numpy", "xcffib", "zstandard", "_tkinter") if name in maps]


async def test_garbage_and_an_idle_stranger_change_nothing(relay: RelayProcess, joined: Path) -> None:
    with running_agent(joined) as agent:
        idle = await connect_local(str(agent.socket))
        for garbage in (b"\xff" * 100, b"\x81\xa4type\xa1x", ipc.HELLO_CODEC.encode(ipc.StatusAsked())[:-1]):
            stranger = await connect_local(str(agent.socket))
            await stranger.send(garbage)
            answer = ipc.TO_COMMAND_LINE_CODEC.decode(await stranger.receive(4096))
            assert answer == ipc.IpcRefused(code="E_MESSAGE_FORMAT")
            with pytest.raises(SupportError):
                await stranger.receive(4096)
            stranger.close()
        assert (await asyncio.to_thread(call, "status", data=joined))["link"] == "connected"
        idle.close()
        await asyncio.sleep(0)


async def test_a_removed_device_says_that_it_was_refused_and_goes_on_running(
    relay: RelayProcess, joined: Path
) -> None:
    with running_agent(joined) as agent:
        admin = await log_in_client(relay, acme().admin())
        await admin.send(control.SetDeviceStatus(1, agent.ready["device_id"], "removed"))
        await admin.wait_for(control.Done)
        await admin.close()
        await asyncio.to_thread(wait_for, joined, "refused")
        status = await asyncio.to_thread(call, "status", data=joined)
        assert status["link_code"] == "E_DEVICE_REMOVED"
        assert agent.process.poll() is None


async def test_enr_04_a_bulk_token_s_device_waits_and_says_so(relay: RelayProcess, tmp_path: Path) -> None:
    data = tmp_path / "agent"
    token = new_token(relay, acme(), is_bulk=True, uses_limit=0)
    joined = await asyncio.to_thread(call, "join", "--token-file", "-", data=data, stdin=token)
    assert joined["status"] == "pending"
    with running_agent(data):
        status = await asyncio.to_thread(call, "status", data=data)
        assert (status["link"], status["link_code"]) == ("connected", "E_DEVICE_PENDING")


def test_a_desktop_process_that_dies_is_started_again(relay: RelayProcess, joined: Path) -> None:
    with start_xvfb() as server, running_agent(joined, "--display", server.display) as agent:
        assert agent.ready["has_desktop"]
        os.kill(agent.ready["desktop_pid"], signal.SIGKILL)
        deadline_s = time.monotonic() + 30
        while agent.log_file.read_text().count("desktop.attached") < 2:
            assert time.monotonic() < deadline_s, "it was not started again"
            time.sleep(0.05)
        assert call("status", data=joined)["has_desktop"]
    assert not Path(f"/proc/{agent.ready['desktop_pid']}").exists()


def test_the_real_service_ends_when_windows_says_so(joined: Path) -> None:
    windows = FakeWindows()

    def stop_when_connected() -> None:
        windows.is_running.wait(10)
        wait_for(joined, "connected")
        windows.control("SvcStop")

    telling = threading.Thread(target=stop_when_connected)
    telling.start()
    config = AgentConfig(data=joined, has_desktop=False)
    host_service(
        "AlongsideAgent", lambda stop: assert_not_left(run_service(config, stop)), windows.bindings()
    )
    telling.join()
    assert windows.reported == [RUNNING, STOP_PENDING, STOP_PENDING, STOPPED]
    assert not windows.failed
    assert call("status", data=joined, ok=False)["error"]["code"] == "E_NOT_RUNNING"
