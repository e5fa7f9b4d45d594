"""REL-10 and REL-18: proxies in between, and names that lead nowhere; and REL-04 as an agent meets it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.desktop.ipc_messages import Status
from agent.link import LinkParts, RelayLink
from agent.local_client import ask_status
from agent.state import DataDir, RelayAddress
from protocol.aio.backoff import Backoff
from protocol.aio.log_in import claim, connect_control, log_in
from protocol.errors import ErrorCode, SupportError
from protocol.limits import LINK_HEARTBEAT_S, SESSION_HEARTBEAT_S
from protocol.messages.control import DeviceFacts
from tests.attacks.test_rel_store import locked
from tests.e2e.steps import until
from tests.support.agent_commands import RunningAgent, call, joined_folder, running_agent
from tests.support.connect_proxy import ConnectProxy
from tests.support.hostile_relay import HostileRelay
from tests.support.organisation import acme
from tests.support.other_user import IS_ROOT
from tests.support.relay_process import RelayProcess
from tests.support.tls_server import ServerFiles, server_files

pytestmark = pytest.mark.real

E = ErrorCode
NAME = "relay.test"
PATIENCE_S = 30.0
SECRET = "a-password-of-the-proxy"


class NamedRelay:
    """A real relay that serves TLS as `relay.test`."""

    def __init__(self, process: RelayProcess, files: ServerFiles) -> None:
        self.process, self.files = process, files
        self.address = RelayAddress(f"https://{NAME}:{process.control_port}", process.relay_id)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedRelay]:
    """Claimed for `acme()`."""
    folder = tmp_path_factory.mktemp("named")
    files = server_files(folder / "files", name=NAME)
    arguments = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with RelayProcess(folder / "data", arguments=arguments) as process:
        asyncio.run(claim_over_tls(process, files))
        yield NamedRelay(process, files)
        assert "Traceback" not in process.log_text()


async def claim_over_tls(process: RelayProcess, files: ServerFiles) -> None:
    """For `acme()`, through a proxy: it knows the way to the name."""
    async with ConnectProxy() as proxy:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HTTPS_PROXY", proxy.address())
            wire = await connect_control(f"https://{NAME}:{process.control_port}", tls_ca=files.authority)
            await claim(wire, acme().admin(), process.claim_secret())
            await wire.close()


@asynccontextmanager
async def linked(
    relay: RelayAddress, authority: Path | None, slept_s: Callable[[], float] = lambda: 0.0
) -> AsyncIterator[RelayLink]:
    """The agent's own link to it, which comes back quickly."""
    parts = LinkParts(
        identity=acme().device(),
        relay=relay,
        tls_ca=authority,
        facts=DeviceFacts("pc", "linux", "1"),
        on_policy=lambda _: None,
        on_status=lambda _: None,
        on_successors=lambda _: None,
        on_offer=_no_offer,
    )
    link = RelayLink(parts, Backoff(first_s=0.05, longest_s=0.1), slept_s)
    running = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _no_offer(*_: object) -> None:
    raise AssertionError("nobody asks for this device")


async def becomes(link: RelayLink, state: str, code: str) -> None:
    """Wait until its status says so."""
    await asyncio.to_thread(until, lambda: (link.state, link.code) == (state, code), PATIENCE_S)


async def test_rel_10_a_proxy_is_gone_through_and_its_refusals_are_told_by_name(
    named: NamedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address())
        async with linked(named.address, named.files.authority) as link:
            await becomes(link, "connected", "")
            assert proxy.asked_for == [f"{NAME}:{named.process.control_port}"], "the proxy resolves names"
            proxy.password = SECRET  # from today on it wants one
            await proxy.cut()
            await becomes(link, "connecting", E.E_RELAY_PROXY)
            with pytest.raises(SupportError) as refused:
                await connect_control(named.address.url, tls_ca=named.files.authority)
            assert "407" in refused.value.detail
            monkeypatch.setenv("HTTPS_PROXY", proxy.address(SECRET))
            await becomes(link, "connected", "")


async def test_rel_10_a_device_joins_and_stays_connected_through_the_proxy_it_was_given(
    named: NamedRelay, tmp_path: Path
) -> None:
    data, file = tmp_path / "agent", tmp_path / "proxy"
    token = acme().token(relay_url=named.address.url, relay_id=named.process.relay_id)
    words = ("join", "-", "--relay-ca", str(named.files.authority))

    def join(*more: str, ok: bool = True) -> str:
        refused = call(*words, *more, data=data, stdin=token, ok=ok).get("error", {})
        return str(refused.get("code", ""))

    def stay() -> None:
        with running_agent(data) as agent:
            assert wait_for_status(agent, "connected") == ""
            told = json.dumps(call("doctor", data=data))
            assert "through the proxy 127.0.0.1" in told
            files = (Path(f"/proc/{agent.process.pid}/cmdline"), agent.log_file, data / "audit.jsonl")
            assert SECRET not in told + "".join(file.read_text() for file in files)

    async with ConnectProxy() as proxy:
        proxy.password = SECRET
        assert await asyncio.to_thread(join, ok=False) == E.E_RELAY_NAME, (
            "the control: no other way leads there"
        )
        file.write_text(proxy.address("wrong"))
        assert await asyncio.to_thread(join, "--proxy-file", str(file), ok=False) == E.E_RELAY_PROXY
        assert not (data / "identity.pem").exists()
        assert not (data / "relay-proxy").exists()
        file.write_text(proxy.address(SECRET) + "\n")
        await asyncio.to_thread(join, "--proxy-file", str(file))
        file.unlink()
        await asyncio.to_thread(stay)
        assert (data / "relay-proxy").stat().st_mode & 0o777 == 0o600


async def test_rel_10_a_proxy_that_looks_into_tls_is_refused_before_anything_is_said(
    named: NamedRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address())
        proxy.intercepts = server_files(tmp_path / "company", name=NAME).context()
        with pytest.raises(SupportError) as refused:
            await connect_control(named.address.url, tls_ca=named.files.authority)
        assert refused.value.code is E.E_RELAY_TLS
        proxy.intercepts = None
        wire = await connect_control(named.address.url, tls_ca=named.files.authority)  # the control
        await log_in(wire, acme().device(), named.process.relay_id)
        await wire.close()


@pytest.mark.parametrize("address", ["http://", f"ftp://pc:{SECRET}@127.0.0.1:1", f"socks5://pc:{SECRET}@[x"])
async def test_rel_10_a_proxy_setting_that_cannot_be_used_is_told_by_name_without_its_password(
    named: NamedRelay, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(SupportError) as refused:
        await connect_control(named.address.url, tls_ca=named.files.authority)
    assert refused.value.code is E.E_RELAY_PROXY
    assert SECRET not in str(refused.value)


async def test_rel_10_heartbeats_keep_a_link_that_a_proxy_cuts_when_it_is_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert max(LINK_HEARTBEAT_S, SESSION_HEARTBEAT_S) * 4 <= 60, "the test's times are these, divided by 15"
    files = server_files(tmp_path / "files", name=NAME)
    async with ConnectProxy() as proxy, HostileRelay(tls=files.context()) as relay:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address())
        relay.heartbeat_s = LINK_HEARTBEAT_S / 15
        proxy.idle_limit_s = 60 / 15
        url = f"https://{NAME}:{relay.port}"
        async with linked(RelayAddress(url, relay.relay_id), files.authority) as link:
            await becomes(link, "connected", "")
            silent = await connect_control(url, tls_ca=files.authority)  # the control: one that says nothing
            await silent.receive()  # the relay's question; nothing more comes
            with pytest.raises(SupportError):
                await silent.receive()
            await silent.close()
            assert (link.state, proxy.cuts > 0, len(proxy.asked_for)) == ("connected", True, 2)


# -- REL-18


def own_names(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """A hosts(5) of the test, and the words that start a program for which it is all there is of names."""
    hosts, resolver = folder / "hosts", folder / "resolv.conf"
    hosts.touch()
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    script = f'mount --bind {hosts} /etc/hosts && mount --bind {resolver} /etc/resolv.conf && exec "$@"'
    return hosts, ("unshare", "--mount", "sh", "-c", script, "sh")


def wait_for_status(agent: RunningAgent, link: str) -> str:
    """Until the person is told this about the link; why, as they are told."""

    def status() -> Status:
        return asyncio.run(ask_status(agent.socket))

    until(lambda: status().link == link, PATIENCE_S)
    return status().link_code


@pytest.mark.skipif(not IS_ROOT, reason="run as root: it gives one program names of its own (mount(2))")
def test_rel_18_rel_01_an_agent_finds_its_killed_relay_again_while_no_name_server_answers(
    named: NamedRelay, tmp_path: Path
) -> None:
    hosts, inside = own_names(tmp_path)
    data = joined_folder(tmp_path)
    address = {"url": named.address.url, "relay_id": named.address.relay_id}
    (data / "relay.json").write_text(json.dumps(address))
    DataDir(data).relay_ca.write_bytes(named.files.authority.read_bytes())
    with running_agent(
        data, inside=inside
    ) as agent:  # the control: who never knew the address cannot know it
        assert (agent.ready["link"], agent.ready["link_code"]) == ("connecting", E.E_RELAY_NAME)
        hosts.write_text(f"127.0.0.1 {NAME}\n")
        assert wait_for_status(agent, "connected") == ""
        hosts.write_text("")
        named.process.kill()
        wait_for_status(agent, "connecting")
        named.process.restart()
        assert wait_for_status(agent, "connected") == ""


async def test_rel_18_a_portal_that_answers_for_everything_is_no_relay() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: https://portal.example/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    portal = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = portal.sockets[0].getsockname()[1]
    for scheme, code in (("https", E.E_RELAY_TLS), ("http", E.E_RELAY_UNREACHABLE)):
        with pytest.raises(SupportError) as refused:
            await connect_control(f"{scheme}://127.0.0.1:{port}")
        assert refused.value.code is code
    portal.close()


# -- REL-04, as an agent meets it


async def test_rel_04_an_agent_is_back_at_once_when_its_relay_has_its_database_again(
    named: NamedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address())
        async with linked(named.address, named.files.authority) as link:
            await becomes(link, "connected", "")
            with locked(named.process.data / "relay.sqlite"):
                await proxy.cut()
                await becomes(link, "connecting", E.E_RELAY_STORE)
            await becomes(link, "connected", "")


# -- REL-08


async def test_rel_08_an_agent_that_was_asleep_does_not_wait_for_a_link_that_everybody_has_forgotten() -> (
    None
):
    slept_s = [0.0]
    async with HostileRelay() as relay:
        relay.heartbeat_s = 1.0
        async with linked(RelayAddress(relay.url, relay.relay_id), None, lambda: slept_s[0]) as link:
            await becomes(link, "connected", "")
            [first] = relay.links.values()
            await asyncio.sleep(1.5)  # a heartbeat goes by
            assert [*relay.links.values()] == [first], "the control: it stays with the link that it has"
            slept_s[0] = (
                7200.0  # the clocks after two hours of sleep, in which nobody said that the link is gone
            )
            await asyncio.to_thread(until, lambda: [*relay.links.values()] not in ([first], []), PATIENCE_S)
            await becomes(link, "connected", "")
