"""REL-10 of the updater: it takes the proxy that the agent was given; no file there leads root astray."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.update.places import UpdatePlaces
from protocol.aio.log_in import claim, connect_control
from protocol.errors import ErrorCode
from protocol.succession import root_fingerprint
from tests.support.agent_commands import call
from tests.support.connect_proxy import ConnectProxy
from tests.support.organisation import acme
from tests.support.other_user import IS_ROOT
from tests.support.relay_process import RelayProcess
from tests.support.tls_server import ServerFiles, server_files
from tests.support.update_lists import Admin, installed

pytestmark = [pytest.mark.real, pytest.mark.beside]

E = ErrorCode
NAME, SECRET = "relay.test", "a-password-of-the-proxy"
QUICKLY_S = 15.0


@dataclass(frozen=True)
class Offering:
    """A relay under a name that only a proxy knows the way to, which hands out an update."""

    process: RelayProcess
    files: ServerFiles
    admin: Admin

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.process.control_port}"


@pytest.fixture(scope="module")
def offering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offering]:
    folder = tmp_path_factory.mktemp("offering")
    files = server_files(folder / "files", name=NAME)
    admin = Admin(folder)
    admin.say("keys")
    admin.release("1.2.4")
    admin.say("offer", "--percent", "100")
    arguments = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with RelayProcess(folder / "data", arguments=(*arguments, "--release", str(admin.published))) as process:
        made = Offering(process, files, admin)
        asyncio.run(claimed(made))
        yield made
        assert "Traceback" not in process.log_text()


async def claimed(offering: Offering) -> None:
    async with ConnectProxy() as proxy:
        wire = await connect_control(offering.url, tls_ca=offering.files.authority, proxy=proxy.address())
        await claim(wire, acme().admin(), offering.process.claim_secret())
        await wire.close()


class Device:
    """One that joined through the proxy, and its updater."""

    def __init__(self, offering: Offering, folder: Path) -> None:
        self.data = folder / "agent"
        self.proxy_file = self.data / "relay-proxy"
        root = offering.admin.served()["1.root.json"]
        fingerprint = root_fingerprint(offering.admin.root.der)
        self.places: UpdatePlaces = installed(folder / "opt", "1.2.2", fingerprint, root, offering.url)

    async def join(self, offering: Offering, proxy: str) -> None:
        """As `install.sh --proxy-file` and `join --proxy-file` have it."""
        token = acme().token(relay_url=offering.url, relay_id=offering.process.relay_id)
        given = self.data.with_name("given")
        given.write_text(proxy + "\n")
        words = ("join", "-", "--relay-ca", str(offering.files.authority), "--proxy-file", str(given))
        await asyncio.to_thread(call, *words, data=self.data, stdin=token)
        given.unlink()

    async def look(self, *, ok: bool = True) -> dict[str, Any]:
        """What `alongside-agent update` says."""
        words = ("update", "--check", "--prefix", str(self.places.prefix))
        return await asyncio.to_thread(call, *words, data=self.data, ok=ok)

    async def refused(self) -> str:
        """The code that it ends with."""
        return str((await self.look(ok=False))["error"]["code"])


@pytest.fixture(autouse=True)
def no_proxy_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


async def test_rel_10_the_updater_goes_through_the_proxy_that_the_agent_was_given(
    offering: Offering, tmp_path: Path
) -> None:
    device = Device(offering, tmp_path)
    async with ConnectProxy() as proxy:
        proxy.password = SECRET
        await device.join(offering, proxy.address(SECRET))
        before = len(proxy.asked_for)
        assert (await device.look())["offered"] == "1.2.4"
        assert set(proxy.asked_for[before:]) == {f"{NAME}:{offering.process.control_port}"}
        device.proxy_file.write_text(proxy.address("wrong"))
        told = await device.look(ok=False)
        assert "407" in json.dumps(told)
        device.proxy_file.write_text(f"http://pc:{SECRET}@[127.0.0.1")
        assert await device.refused() == E.E_RELAY_PROXY
        device.proxy_file.write_text(proxy.address(SECRET).replace("http://", "https://"))
        assert await device.refused() == E.E_RELAY_PROXY, "its password would travel in the open"
        before = len(proxy.asked_for)
        device.proxy_file.unlink()
        assert await device.refused() == E.E_RELAY_UNREACHABLE, "the control: no other way leads there"
        assert len(proxy.asked_for) == before
        kept = (device.places.status, device.places.audit)
        assert SECRET not in json.dumps(told) + "".join(file.read_text() for file in kept)


@pytest.mark.skipif(not IS_ROOT, reason="run as root: it gives a file to another user (chown(2))")
async def test_rel_10_no_file_in_the_agents_folder_leads_root_to_another_one_or_holds_it_up(
    offering: Offering, tmp_path: Path
) -> None:
    device = Device(offering, tmp_path)
    async with ConnectProxy() as proxy:
        await device.join(offering, proxy.address())
        others = tmp_path / "of-another-user"
        others.write_text(proxy.address())
        before, started_s = len(proxy.asked_for), time.monotonic()

        def link() -> None:
            device.proxy_file.symlink_to(others)

        def hard_link() -> None:
            os.chown(others, 1000, 1000)
            device.proxy_file.hardlink_to(others)

        attacks: dict[Callable[[], object], ErrorCode] = {
            link: E.E_DATA_DISK,
            hard_link: E.E_CONFIG,
            lambda: os.mkfifo(device.proxy_file): E.E_CONFIG,
            device.proxy_file.mkdir: E.E_CONFIG,
            lambda: device.proxy_file.write_text("http://" + "x" * 4096): E.E_CONFIG,
            lambda: device.proxy_file.write_bytes(b"http://\xff"): E.E_CONFIG,
        }
        for attack, code in attacks.items():
            device.proxy_file.rmdir() if device.proxy_file.is_dir() else device.proxy_file.unlink()
            attack()
            assert await device.refused() == code
        assert time.monotonic() - started_s < QUICKLY_S * len(attacks)
        assert len(proxy.asked_for) == before
        device.proxy_file.unlink()
        device.proxy_file.write_text(proxy.address())
        assert (await device.look())["offered"] == "1.2.4", "the control"


@pytest.mark.skipif(not IS_ROOT, reason="run as root: it gives a file to another user (chown(2))")
async def test_rel_10_the_relay_s_authority_is_read_as_carefully_as_the_proxy(
    offering: Offering, tmp_path: Path
) -> None:
    device = Device(offering, tmp_path)
    authority = device.data / "relay-ca.pem"
    async with ConnectProxy() as proxy:
        await device.join(offering, proxy.address())
        kept = authority.read_text()
        others = tmp_path / "of-another-user"
        others.write_text(kept)
        before, started_s = len(proxy.asked_for), time.monotonic()

        def hard_link() -> None:
            os.chown(others, 1000, 1000)
            authority.hardlink_to(others)

        attacks: dict[Callable[[], object], ErrorCode] = {
            lambda: authority.symlink_to(others): E.E_DATA_DISK,
            hard_link: E.E_CONFIG,
            lambda: os.mkfifo(authority): E.E_CONFIG,
            lambda: authority.write_text(""): E.E_CONFIG,
            lambda: authority.write_text("a secret of somebody's"): E.E_CONFIG,
            lambda: authority.write_text(kept + "#" * (257 << 10)): E.E_CONFIG,
        }
        for attack, code in attacks.items():
            authority.unlink()
            attack()
            told = await device.look(ok=False)
            assert told["error"]["code"] == code
            assert "secret" not in json.dumps(told)
        assert time.monotonic() - started_s < QUICKLY_S * len(attacks)
        assert len(proxy.asked_for) == before, "nothing was asked of anybody"
        authority.unlink()
        authority.write_text(kept)
        assert (await device.look())["offered"] == "1.2.4", "the control"


async def test_rel_10_no_proxy_of_the_environment_takes_the_given_one_away(
    offering: Offering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent goes through the proxy that it was given whatever NO_PROXY says, and so does its updater."""
    device = Device(offering, tmp_path)
    async with ConnectProxy() as proxy:
        await device.join(offering, proxy.address())
        monkeypatch.setenv("NO_PROXY", "*")
        before = len(proxy.asked_for)
        assert (await device.look())["offered"] == "1.2.4"
        assert len(proxy.asked_for) > before
        device.proxy_file.unlink()
        monkeypatch.setenv("HTTPS_PROXY", proxy.address())
        before = len(proxy.asked_for)
        assert await device.refused() == E.E_RELAY_UNREACHABLE, "control: the environment's own is taken away"
        assert len(proxy.asked_for) == before
        monkeypatch.delenv("NO_PROXY")
        assert (await device.look())["offered"] == "1.2.4"
