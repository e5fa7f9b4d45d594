"""REL-18: a network with IPv6 alone, one whose IPv6 leads nowhere, and a relay that serves both."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from agent.update.listed import Machine
from agent.update.look import OFFERED, Device, Look
from protocol.aio.log_in import connect_control
from protocol.aio.wire import SECOND_ADDRESS_AFTER_S, socket_url
from protocol.errors import ErrorCode, SupportError, UsageError
from protocol.messages.control import FROM_RELAY_CODEC, PRE_LOGIN_CODEC, Refused, Visit
from protocol.succession import root_fingerprint
from protocol.version import PROTOCOL_VERSION
from relay.ratelimit import VISIT_RATE
from tests.attacks.test_aud_processes import Device as JoinedDevice
from tests.attacks.test_aud_processes import a_command_runs
from tests.bench.packet_link import open_device
from tests.support.connect_proxy import ConnectProxy
from tests.support.office import open_office
from tests.support.other_user import IS_ROOT
from tests.support.own_network import has_ipv4, ip, own_network, run_inside, take_ipv4_away
from tests.support.relay_process import RelayProcess
from tests.support.tls_server import server_files
from tests.support.update_lists import Admin, installed

pytestmark = [pytest.mark.real, pytest.mark.beside]

as_root = pytest.mark.skipif(not IS_ROOT, reason="run as root: it makes a network of its own (ip-netns(8))")
NAME, NOWHERE = "relay.test", "fd00:77::2"
SOON_S = 3.0


@as_root
def test_rel_18_where_there_is_no_ipv4_a_device_joins_runs_a_command_and_finds_its_update(
    tmp_path: Path,
) -> None:
    with own_network() as network:
        assert run_inside(network, has_ipv4), "the control"
        take_ipv4_away(network)
        run_inside(network, partial(live_without_ipv4, tmp_path))


def live_without_ipv4(folder: Path) -> None:
    assert not has_ipv4()
    admin = Admin(folder)
    admin.say("keys")
    admin.release("1.2.4")
    admin.say("offer", "--percent", "100")
    with open_office(folder, host="::1", arguments=("--release", str(admin.published))) as office:
        assert office.relay.relay_url.startswith("http://[::1]:")
        kept = json.loads((office.agent / "relay.json").read_text())
        assert kept["url"] == office.relay.relay_url, "from the join token"
        [row] = office.alongside("fleet", "list").documents()[0]["devices"]
        assert row["is_present"]
        device = JoinedDevice(office, folder / "second")
        with device.agent:
            asyncio.run(a_command_runs(device))
        fingerprint = root_fingerprint(admin.root.der)
        places = installed(folder / "opt", "1.2.2", fingerprint, admin.served()["1.root.json"])
        updater = Look(places, Device("device-1", office.relay.relay_url, Machine("linux", "x86_64")))
        assert updater.look().outcome == OFFERED


# -- both


@as_root
def test_rel_18_a_relay_at_both_counts_each_address_of_ipv4_for_itself(tmp_path: Path) -> None:
    with own_network() as network:
        run_inside(network, partial(both_at_one_port, tmp_path))


def both_at_one_port(folder: Path) -> None:
    """`--listen [::]:PORT` (behind a proxy, so that it may be plain)."""
    with RelayProcess(folder / "relay", arguments=("--behind-proxy", "--visitors"), host="::") as relay:
        asyncio.run(visit_until_limited(relay.control_port))


async def visit_until_limited(port: int) -> None:
    visits = [await visit(f"127.0.0.1:{port}", "127.0.0.1") for _ in range(int(VISIT_RATE.burst) + 1)]
    assert visits == ["in"] * int(VISIT_RATE.burst) + [ErrorCode.E_RATE]
    assert await visit(f"127.0.0.1:{port}", "127.0.0.2") == "in"
    assert await visit(f"[::1]:{port}", "::1") == "in"


async def visit(place: str, source: str) -> str:
    """ "in", or the code, for who comes from this address."""
    async with connect(f"ws://{place}/v1/control", local_addr=(source, 0), proxy=None) as link:
        await link.recv()
        await link.send(PRE_LOGIN_CODEC.encode(Visit(PROTOCOL_VERSION, "technician")))
        answer = FROM_RELAY_CODEC.decode(await link.recv(decode=False))
    return str(answer.code) if isinstance(answer, Refused) else "in"


# -- an IPv6 that leads nowhere (RFC 8305: "Happy Eyeballs")


@as_root
def test_rel_18_a_name_whose_ipv6_address_swallows_everything_is_reached_by_its_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_network() as network:
        run_inside(network, partial(past_a_black_hole, tmp_path, monkeypatch))


def past_a_black_hole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hole = open_device("hole", "10.77.0.1", "10.77.0.2")  # nobody reads what goes in there
    try:
        ip("-6", "address", "add", "fd00:77::1/64", "dev", "hole", "nodad")
        files = server_files(folder / "files", name=NAME)
        arguments = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
        with RelayProcess(folder / "relay", arguments=arguments) as relay:
            monkeypatch.setattr(socket, "getaddrinfo", partial(two_addresses, socket.getaddrinfo))
            asyncio.run(reach(relay.control_port, files.authority))
    finally:
        os.close(hole)


def two_addresses(really: Callable[..., Any], host: Any, port: Any, *words: Any, **named: Any) -> Any:
    """As a name server has it for our name; IPv6 comes first, as RFC 6724 has it."""
    if host != NAME:
        return really(host, port, *words, **named)
    return [*really(NOWHERE, port, *words, **named), *really("127.0.0.1", port, *words, **named)]


async def reach(port: int, authority: Path) -> None:
    with pytest.raises(TimeoutError):  # the control
        await asyncio.wait_for(asyncio.open_connection(NOWHERE, port), 4 * SECOND_ADDRESS_AFTER_S)
    started_s = time.monotonic()
    wire = await connect_control(f"https://{NAME}:{port}", tls_ca=authority)
    took_s = time.monotonic() - started_s
    await wire.close()
    assert SECOND_ADDRESS_AFTER_S <= took_s < SOON_S


# -- how it is written


@pytest.mark.parametrize(
    "url", ["https://2001:db8::1", "https://2001:db8::1:8470", "http://::1", "::1", "fe80::1"]
)
def test_rel_18_an_ipv6_address_without_brackets_is_told_what_it_lacks(url: str) -> None:
    with pytest.raises(UsageError) as told:
        socket_url(url, "/v1/control")
    assert told.value.code is ErrorCode.E_CONFIG
    assert "needs brackets" in told.value.detail


def test_rel_18_with_brackets_they_stay_through_every_port() -> None:
    assert socket_url("http://[::1]:8470", "/v1/session", port=8471) == "ws://[::1]:8471/v1/session"
    assert socket_url("https://[2001:db8::1]", "/v1/control") == "wss://[2001:db8::1]/v1/control"


@pytest.mark.parametrize("address", ["http://2001:db8::1:3128", "http://pc:secret@2001:db8::1:3128"])
async def test_rel_18_a_proxy_without_brackets_is_told_so_without_its_password(address: str) -> None:
    with pytest.raises(SupportError) as told:
        await connect_control("https://relay.example", proxy=address)
    assert told.value.code is ErrorCode.E_RELAY_PROXY
    assert "IPv6 needs brackets" in told.value.detail
    assert "secret" not in str(told.value)


@as_root
def test_rel_18_a_proxy_at_an_ipv6_address_is_gone_through(tmp_path: Path) -> None:
    with own_network() as network:
        run_inside(network, lambda: asyncio.run(through_a_proxy(tmp_path)))


async def through_a_proxy(folder: Path) -> None:
    files = server_files(folder / "files", name=NAME)
    arguments = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with RelayProcess(folder / "relay", arguments=arguments, host="::1") as relay:
        async with ConnectProxy(host="::1") as proxy:
            proxy.password = "its-password"
            assert "@[::1]:" in proxy.address(proxy.password)
            url = f"https://{NAME}:{relay.control_port}"
            wire = await connect_control(url, tls_ca=files.authority, proxy=proxy.address(proxy.password))
            await wire.close()
            assert proxy.asked_for == [f"{NAME}:{relay.control_port}"]
