"""RLY-14, P1: nothing of a session can be read by the relay that carries it.

Fresh random strings and pixels are typed, shown, said, printed by a command, and handed to the technician. A
hostile relay's whole hearing is searched for them in every form we know, and so are the memory, the database
and the log of the real one. The same search finds all of them where they are: inside of the tunnel.

The clipboard and files have no canary: this product has no capability for them yet.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zstandard

from agent.desktop import ipc_messages as ipc
from protocol.grantables import Grantable
from protocol.messages import screen
from protocol.messages.control import DeviceFacts
from technician_client.capabilities.commands import run_command
from technician_client.capabilities.diagnostics import read_snapshot
from technician_client.opening import open_session
from technician_client.sessions import TechnicianSession
from tests.support.approved_commands import entry, signed_policy
from tests.support.attacked import (
    AttackedDevice,
    Stage,
    running_device,
    stage,
    tap,
    technician_link,
    typed,
    until,
)
from tests.support.canaries import Canary, pixel_canary, text_canary
from tests.support.desktop import FakeDesktop
from tests.support.device_end import QuietAudit
from tests.support.organisation import Organisation, acme
from tests.support.picture_decoder import residues_of
from tests.support.relay_process import RelayProcess, claim_relay

pytestmark = [pytest.mark.real, pytest.mark.beside]

NOISE = np.random.default_rng().integers(0, 256, (64, 64, 3), np.uint8)  # pixels that do not compress
PAGE_BYTES = 4096
UNWRITTEN = bytes(PAGE_BYTES)
PIXELS_AT = 6000  # in the middle of the picture, where no header cuts them in two


@dataclass(frozen=True)
class Secrets:
    """One canary for each place where something secret can be."""

    said: Canary = field(default_factory=lambda: text_canary("the reason of an ask"))
    ticket: Canary = field(default_factory=lambda: text_canary("the ticket's number"))
    typed: Canary = field(default_factory=lambda: text_canary("typed text"))
    printed: Canary = field(default_factory=lambda: text_canary("a command's output"))
    shown: Canary = field(
        default_factory=lambda: pixel_canary("the screen, as it travels", residues_of(NOISE)[PIXELS_AT:])
    )
    pixels: Canary = field(
        default_factory=lambda: pixel_canary("the screen, as it is", NOISE.tobytes()[PIXELS_AT:])
    )

    def all(self) -> list[Canary]:
        """Each of them."""
        return [self.said, self.ticket, self.typed, self.printed, self.shown, self.pixels]

    @property
    def inside(self) -> set[str]:
        """Where the search has to find them inside of the tunnel; raw pixels never travel as they are."""
        return {canary.place for canary in self.all()} - {self.pixels.place}


def picture() -> bytes:
    """The noise as a screen worker sends it."""
    packed = zstandard.ZstdCompressor(level=1).compress(residues_of(NOISE))
    whole = screen.Rectangle(0, 0, 64, 64)
    return screen.FROM_AGENT_CODEC.encode(screen.PicturePart(1, 0, 64, 64, True, True, [whole], packed))


async def go_through(
    session: TechnicianSession, desktop: FakeDesktop, commands: Any, secrets: Secrets
) -> None:
    """A session in which every one of them is used."""
    everything = [
        Grantable.SCREEN_VIEW,
        Grantable.INPUT_CONTROL,
        Grantable.COMMANDS_RUN,
        Grantable.DIAGNOSTICS_READ,
    ]
    said, ticket = secrets.said.secret.decode(), secrets.ticket.secret.decode()
    for wanted in everything:
        assert (await session.ask([wanted], reason=said, ticket_number=ticket)).granted
    prompt = desktop.all_of(ipc.ShowPrompt)[-1]
    assert (prompt.reason, prompt.ticket_number) == (said, ticket), "they came to the person"
    view = await session.open_channel(Grantable.SCREEN_VIEW)
    await (await desktop.worker()).send(picture())
    assert await view.receive() == picture()
    keys = await session.open_channel(Grantable.INPUT_CONTROL)
    await keys.receive()
    await keys.send(typed(secrets.typed.secret.decode()))
    await desktop.order(ipc.Inject)
    output = b""
    stream = await session.open_channel(Grantable.COMMANDS_RUN)
    async for message in run_command(stream, commands.find("print"), {}):
        output += getattr(message, "chunk", b"")
    assert secrets.printed.secret in output
    await read_snapshot(await session.open_channel(Grantable.DIAGNOSTICS_READ))


def printing_policy(organisation: Organisation, folder: Path, secrets: Secrets) -> tuple[int, bytes]:
    """A policy, which everybody may read, whose one command prints a file that nobody else may."""
    file = folder / "secret.txt"
    file.write_bytes(secrets.printed.secret)
    made = signed_policy(organisation, [entry("print", "/bin/cat", str(file))], version=2)
    return made.policy.version, made.envelope


async def _policy_of(on_stage: Stage, made: tuple[int, bytes]) -> Any:
    version, envelope = made
    on_stage.device.policies.accept(envelope, datetime.now(UTC))
    await until(lambda: on_stage.device.policies.version == version)
    policy = on_stage.device.policies.policy
    assert policy is not None
    return policy.catalogue


async def test_rly_14_p1_a_hostile_relay_hears_nothing_that_it_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets, plain = Secrets(), tap(monkeypatch)
    async with stage(tmp_path) as on_stage:
        catalogue = await _policy_of(on_stage, printing_policy(on_stage.organisation, tmp_path, secrets))
        async with await on_stage.connect() as session:
            await go_through(session, on_stage.desktop, catalogue, secrets)
        await on_stage.device.idle()
        assert plain.found(*secrets.all()) == secrets.inside, "the control: the search can find them"
        assert on_stage.relay.overheard.size > len(picture())
        assert on_stage.relay.overheard.found(*secrets.all()) == set()


async def test_rly_14_nor_does_it_when_it_breaks_into_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends give away in their alarm, and in sessions that begin again, is no plaintext either."""
    from tests.support.hostile_middle import Direction
    from tests.support.hostile_sessions import large

    secrets, plain = Secrets(), tap(monkeypatch)
    async with stage(tmp_path) as on_stage:
        catalogue = await _policy_of(on_stage, printing_policy(on_stage.organisation, tmp_path, secrets))
        relay = on_stage.relay
        for attack in (relay.drop, relay.duplicate, relay.replay, relay.reorder):
            session = await on_stage.connect()
            struck = attack(large(Direction.TO_TECHNICIAN, 5000))
            with contextlib.suppress(Exception):  # whatever it is that ends it
                async with asyncio.timeout(3):
                    await go_through(session, on_stage.desktop, catalogue, secrets)
            await struck.happened()
            await session.end()
            await on_stage.device.idle()
        assert secrets.shown.place in plain.found(*secrets.all())
        assert relay.overheard.found(*secrets.all()) == set()


# -- the real relay


@dataclass
class HonestRelay:
    """The real relay, as far as the ends have to know it."""

    process: RelayProcess
    rows: list[str]
    policy: None = None

    @property
    def url(self) -> str:
        """Its address."""
        return self.process.relay_url

    @property
    def relay_id(self) -> str:
        """Its id."""
        return self.process.relay_id


def memory_of(pids: Iterable[int]) -> bytes:
    """Everything that these processes can write to: heaps, stacks and all (proc(5))."""
    found = []
    for pid in pids:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                where = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if where and "[vv" not in line:
                    start, end = (int(each, 16) for each in where.groups())
                    with contextlib.suppress(OSError):
                        memory.seek(start)
                        found += _written_pages(memory.read(end - start))
    return b"".join(found)


def _written_pages(region: bytes) -> Iterator[bytes]:
    for start in range(0, len(region), PAGE_BYTES):
        page = region[start : start + PAGE_BYTES]
        if page != UNWRITTEN:
            yield page


def found_raw(haystack: bytes, canaries: Iterable[Canary]) -> set[str]:
    """The places of the canaries that are in it, in any form that is not compressed."""
    return {canary.place for canary in canaries if any(form in haystack for form in canary.forms())}


@contextlib.asynccontextmanager
async def real_stage(
    folder: Path, name: Canary
) -> AsyncIterator[tuple[RelayProcess, AttackedDevice, FakeDesktop]]:
    """A real relay process, and a device that is logged in there and calls itself so."""
    with RelayProcess(folder / "relay") as process:
        await claim_relay(process, acme())
        (folder / "device").mkdir()
        device = AttackedDevice(acme(), folder / "device", HonestRelay(process, []))
        device.link._parts = replace(
            device.link._parts, facts=DeviceFacts(name.secret.decode(), "linux", "1")
        )
        honest = HonestRelay(process, [device.device_id])
        async with running_device(device, honest) as desktop:
            await until(lambda: device.link.state == "connected")
            yield process, device, desktop


async def test_rly_14_memory_database_and_log_of_the_real_relay_hold_nothing_of_a_session(
    tmp_path: Path,
) -> None:
    secrets = Secrets()
    seen = text_canary("the name that a device gives itself")
    async with real_stage(tmp_path, seen) as (process, device, desktop):
        _, envelope = printing_policy(acme(), tmp_path, secrets)
        device.policies.accept(envelope, datetime.now(UTC))
        honest = HonestRelay(process, [])
        technician = acme().technician()
        async with technician_link(honest, technician, tmp_path / "ada") as link:
            session = await open_session(link, device.device_id, identity=technician, audit=QuietAudit())
            assert device.policies.policy is not None
            await go_through(session, desktop, device.policies.policy.catalogue, secrets)
            family = [process.pid, *(one.pid for one in psutil.Process(process.pid).children(recursive=True))]
            assert len(family) > 1, "the session's own worker is looked at too"
            memory = memory_of(family)
            await session.end()
        files = b"".join(one.read_bytes() for one in (tmp_path / "relay").rglob("*") if one.is_file())
        files += process.log_text().encode()
        assert found_raw(memory, [seen]) == found_raw(files, [seen]) == {seen.place}, "the control"
        assert len(memory) > 10 << 20
        assert found_raw(memory + files, secrets.all()) == set()
