"""AUD, SEC, REL at the real programs: killed, stopped, without disk, rolled back, searched for secrets."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.local_client import ask_status
from protocol.aio.channel_io import ChannelStream
from protocol.audit import AuditRecord, verify_records
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.ids import DeviceId, new_request_id
from protocol.limits import INPUT_AGE_LIMIT_S
from protocol.messages.commands import CommandEnded, CommandStarted, FromAgent
from protocol.messages.input import FROM_TECHNICIAN_CODEC, InputEvents, TypeText
from technician_client.app import TechnicianApp, technician_app
from technician_client.capabilities.commands import run_command
from technician_client.command_audit import CommandAudit
from technician_client.config import load_config
from technician_client.sessions import TechnicianSession
from tests.e2e.steps import until
from tests.support.agent_process import AgentProcess
from tests.support.canaries import text_canary
from tests.support.desktop import FakeDesktop
from tests.support.office import PASSPHRASE, Office, open_office
from tests.support.proving import records_of
from tests.support.relay_process import RelayProcess
from tests.support.said import command, said_here

pytestmark = [pytest.mark.real, pytest.mark.beside]

PATIENCE_S = 40.0
VIEW, CONTROL, RUN = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL, Grantable.COMMANDS_RUN


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One relay, organisation and technician for this module."""
    with open_office(tmp_path_factory.mktemp("office")) as opened:
        yield opened


class Device:
    """One more device of the office, whose agent a test may hurt."""

    def __init__(self, office: Office, folder: Path) -> None:
        self.office = office
        self.token, _ = office.token()
        joined = office.join(self.token, folder)
        assert joined.status == 0, joined
        self.device_id = DeviceId(joined.documents()[0]["device_id"])
        self.agent = AgentProcess(folder)
        self.data = folder

    def records(self) -> list[AuditRecord]:
        """Its log; the chain is checked."""
        lines = (self.data / "audit.jsonl").read_bytes().splitlines(keepends=True)
        assert verify_records(lines).is_intact
        return records_of(self.data / "audit.jsonl")

    def kinds(self, session_id: str = "") -> list[str]:
        """What its log holds, of one session or of all."""
        return [one.kind for one in self.records() if session_id in ("", one.session_id)]


@pytest.fixture
def device(office: Office, tmp_path: Path) -> Iterator[Device]:
    """A device with a running agent."""
    made = Device(office, tmp_path / "agent")
    with made.agent:
        yield made


@asynccontextmanager
async def session_with(device: Device) -> AsyncIterator[tuple[FakeDesktop, TechnicianSession, TechnicianApp]]:
    """The real technician program in this process, the real agent in its own, a desktop played here."""
    async with (
        FakeDesktop(device.agent.socket_path) as desktop,
        technician_app(load_config(device.office.technician)) as app,
        await app.open_session(device.device_id) as session,
    ):
        yield desktop, session, app


def history_of(device: Device) -> str:
    """What the person reads."""
    words = command("alongside-agent", "history", "--data", str(device.data))
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


async def command_stream(session: TechnicianSession) -> ChannelStream:
    """The commands channel, granted."""
    await session.ask([RUN])
    return await session.open_channel(RUN)


async def run_uptime(session: TechnicianSession, app: TechnicianApp) -> AsyncIterator[FromAgent]:
    """Run a harmless command as `alongside run` does: noted before it is sent, and as it goes on."""
    entry = (await app.policy()).catalogue.find("uptime")
    stream, request_id = await command_stream(session), new_request_id()
    noted = CommandAudit(session.audit, "uptime", request_id)
    noted.requested()
    async with aclosing(run_command(stream, entry, {}, request_id=request_id)) as messages:
        async for message in messages:
            noted.message(message)
            yield message


async def a_command_runs(device: Device) -> None:
    """From the question to the command's end, in a session of its own."""
    async with session_with(device) as (_, session, app):
        ended = [one async for one in run_uptime(session, app)][-1]
        assert isinstance(ended, CommandEnded)
        assert ended.exit_status == 0


async def use(what: str, session: TechnicianSession, app: TechnicianApp) -> None:
    """Have an effect begin at the device."""
    if what == "command.started":
        async for message in run_uptime(session, app):
            if isinstance(message, CommandStarted):
                return
    grantable = CONTROL if what == "input.started" else VIEW
    await session.ask([grantable])
    if what != "grant.given":
        await session.open_channel(grantable)


EFFECTS: dict[str, type[object] | None] = {
    "consent.asked": ipc.ShowPrompt,
    "grant.given": None,
    "screen.started": ipc.StartScreen,
    "input.started": ipc.AllowInput,
    "command.started": None,
}


@pytest.mark.parametrize("record", EFFECTS)
async def test_aud_08_an_agent_killed_at_the_moment_of_an_effect_has_the_record_of_it_on_disk(
    device: Device, record: str
) -> None:
    async with session_with(device) as (desktop, session, app):
        using = asyncio.create_task(use(record, session, app))
        order = EFFECTS[record]
        if order is not None:
            await desktop.order(order)  # what the person's side hears first of it
        else:
            await using  # what the technician hears of it
        os.kill(device.agent.pid, signal.SIGKILL)
        device.agent.kill()
        assert record in device.kinds(session.session_id)
        using.cancel()
        await asyncio.gather(using, return_exceptions=True)
    assert "session.ended" not in device.kinds(session.session_id)


async def test_aud_08_a_session_cut_by_a_kill_is_ended_at_the_next_start_and_signed_at_the_next_contact(
    device: Device,
) -> None:
    async with session_with(device) as (_, session, app):
        ended = [one async for one in run_uptime(session, app)][-1]
        assert isinstance(ended, CommandEnded)
        device.agent.kill()
    cut = session.session_id
    [own] = app.proving.own.book.newest(device.device_id).values()
    assert (own.roles, own.facts().is_truncated) == (["technician"], True)
    device.agent.start()
    assert device.kinds(cut)[-2:] == ["session.ended", "receipt.signed"]
    history = said_here("alongside-agent", "history", "--json", "--data", str(device.data))
    [told] = history.documents()[0]["receipts"]
    assert (told["signed_by"], told["is_truncated"]) == (["device"], True)
    async with session_with(device) as (_, session, _):
        await session.ask([VIEW])
    signed = app.proving.own.book.newest(device.device_id)
    assert {one.is_complete for one in signed.values()} == {True}
    facts = signed[cut].facts()
    assert (facts.is_truncated, facts.grants) == (True, [RUN])
    assert [(line.command_id, line.outcome) for line in facts.commands] == [("uptime", "exit 0")]
    told_people = history_of(device)
    assert (
        "Ada was allowed: Run commands that your organisation approved; ran: uptime (exit 0)" in told_people
    )
    assert told_people.count("[signed by device and technician]") == 2


async def test_aud_07_rel_05_a_running_agent_without_disk_refuses_says_so_and_goes_on_later(
    device: Device,
) -> None:
    async with session_with(device) as (desktop, session, app):
        await session.ask([VIEW])
        device.agent.fill_disk()
        with pytest.raises(SupportError) as refusal:
            await session.open_channel(VIEW)
        assert refusal.value.code == ErrorCode.E_AUDIT_WRITE
        answer = await session.ask([CONTROL])
        assert answer.refused == {CONTROL: ErrorCode.E_AUDIT_WRITE}
        assert len(desktop.all_of(ipc.ShowPrompt)) == 1
        with pytest.raises(SupportError) as declined:
            await app.open_session(device.device_id)
        assert declined.value.code == ErrorCode.E_AUDIT_WRITE
        assert not desktop.all_of(ipc.StartScreen)
        device.agent.free_disk()
        await session.open_channel(VIEW)
        await desktop.order(ipc.StartScreen)
    assert "screen.started" in device.kinds(session.session_id)


async def test_aud_05_a_rolled_back_device_is_found_by_the_relays_anchors_the_receipts_and_the_next_session(
    device: Device, tmp_path: Path
) -> None:
    office = device.office
    snapshot = tmp_path / "snapshot.jsonl"
    shutil.copy(device.data / "audit.jsonl", snapshot)
    async with session_with(device) as (_, session, _):
        await session.ask([VIEW])
    device.agent.stop()
    device.agent.start()  # its link comes up anew, and leaves an anchor
    anchors = tmp_path / "anchors.jsonl"
    root = office.technician / "org" / "root.pem"

    def fetched() -> int:
        said = office.alongside("audit", "anchors", device.device_id, "--out", str(anchors), "--json")
        assert said.status == 0, said
        return len(said.documents()[0]["anchors"])

    await asyncio.to_thread(until, lambda: fetched() >= 2, 20)
    device.agent.stop()
    evidence = [str(device.data), str(anchors), str(office.technician / "receipts"), str(root)]
    good = office.alongside("audit", "verify", *evidence[:2], evidence[3], "--json")
    assert good.status == 0, good
    assert office.alongside("audit", "verify", "--json").status == 0
    (device.data / "audit.jsonl").write_bytes(snapshot.read_bytes())
    bad = office.alongside("audit", "verify", evidence[0] + "/audit.jsonl", evidence[1], "--json")
    assert bad.status == 5, bad
    receipts = office.technician / "receipts" / f"{device.device_id}.jsonl"
    bad = office.alongside(
        "audit", "verify", evidence[0] + "/audit.jsonl", str(receipts), str(root), "--json"
    )
    assert bad.status == 5, bad
    device.agent.start()
    async with FakeDesktop(device.agent.socket_path):
        ran = await asyncio.to_thread(office.alongside, "run", device.device_id, "uptime")
    assert ran.status == 0, ran
    assert f"Code: {ErrorCode.E_AUDIT_PEER}" in ran.remarks
    assert '"audit.alarm"' in (office.technician / "audit.jsonl").read_text()
    accepted = office.alongside("audit", "accept", device.device_id)
    assert accepted.status == 0, accepted
    async with FakeDesktop(device.agent.socket_path):
        ran = await asyncio.to_thread(office.alongside, "run", device.device_id, "uptime")
    assert ErrorCode.E_AUDIT_PEER not in ran.remarks


async def test_aud_11_sec_03_no_log_and_no_audit_of_any_program_holds_what_was_typed_or_is_secret(
    device: Device,
) -> None:
    office = device.office
    typed = text_canary("typed text").secret.decode()
    async with session_with(device) as (desktop, session, app):
        for wanted in (VIEW, CONTROL):
            await session.ask([wanted])
        stream = await session.open_channel(CONTROL)
        await stream.receive()
        events = InputEvents(int(asyncio.get_running_loop().time() * 1000), 0, [TypeText(typed)])
        await stream.send(FROM_TECHNICIAN_CODEC.encode(events))
        injected = await desktop.order(ipc.Inject)
        assert typed in repr(injected), "the control: it did arrive"
        said = [one async for one in run_uptime(session, app)]
        assert isinstance(said[-1], CommandEnded)
    output = b"".join(getattr(one, "chunk", b"") for one in said).decode().split("load average")[0].strip()
    assert output
    kept = [
        *(device.data / "receipts").iterdir(),
        *(office.technician / "receipts").iterdir(),
        device.data / "audit.jsonl",
        device.data / "log",
        office.technician / "audit.jsonl",
        office.relay.log_file,
    ]
    secrets = [typed, device.token, PASSPHRASE, output, "PRIVATE KEY"]
    everything = {path: path.read_bytes().decode("utf-8", errors="replace") for path in kept}
    assert all(everything.values())
    found = [(path.name, secret) for path, text in everything.items() for secret in secrets if secret in text]
    assert found == []
    assert json.loads(everything[device.data / "audit.jsonl"].splitlines()[-1])


# -- REL: a relay that is killed or stopped under them


@contextmanager
def stopped(relay: RelayProcess) -> Iterator[None]:
    """None of its processes runs."""
    pids = [relay.pid, *relay.child_pids()]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def typed_now(text: str) -> bytes:
    """As the technician's program sends it now."""
    now_ms = int(asyncio.get_running_loop().time() * 1000)
    return FROM_TECHNICIAN_CODEC.encode(InputEvents(now_ms, 0, [TypeText(text)]))


def is_linked(agent: Device) -> bool:
    """What its person is told."""
    return asyncio.run(ask_status(agent.agent.socket_path)).link == "connected"


async def test_rel_01_a_killed_relay_costs_no_record_no_second_run_and_nobody_has_to_help(
    device: Device,
) -> None:
    async with session_with(device) as (desktop, session, app):
        ended = [one async for one in run_uptime(session, app)][-1]
        assert isinstance(ended, CommandEnded)
        await session.ask([CONTROL])
        stream = await session.open_channel(CONTROL)
        device.office.relay.kill()
        with contextlib.suppress(SupportError):
            while True:
                await stream.receive()
        await asyncio.to_thread(
            until, lambda: "session.ended" in device.kinds(session.session_id), PATIENCE_S
        )
        device.office.relay.restart()
        await asyncio.to_thread(until, lambda: is_linked(device), PATIENCE_S)
        prompts = len(desktop.all_of(ipc.ShowPrompt))
        async with await app.open_session(device.device_id) as again:
            with pytest.raises(SupportError) as refused:
                await again.open_channel(CONTROL)
            assert refused.value.code is ErrorCode.E_GRANT_NONE, "what was allowed ended with the session"
            assert (await again.ask([CONTROL])).granted
        assert len(desktop.all_of(ipc.ShowPrompt)) == prompts + 1
    kinds = device.kinds(session.session_id)
    assert [kinds.count(kind) for kind in ("command.started", "command.ended", "session.ended")] == [1, 1, 1]
    assert "Traceback" not in device.agent.log_text()


async def test_rel_02_what_a_stopped_relay_held_is_too_old_when_it_comes_and_the_session_goes_on(
    device: Device,
) -> None:
    async with session_with(device) as (desktop, session, _):
        await session.ask([CONTROL])
        stream = await session.open_channel(CONTROL)
        await stream.receive()
        await stream.send(typed_now("before"))
        assert "before" in repr(await desktop.order(ipc.Inject))
        with stopped(device.office.relay):
            await stream.send(typed_now("held"))
            await asyncio.sleep(INPUT_AGE_LIMIT_S + 0.5)
        await stream.send(typed_now("after"))
        await asyncio.to_thread(until, lambda: "after" in repr(desktop.all_of(ipc.Inject)), PATIENCE_S)
        assert "held" not in repr(desktop.all_of(ipc.Inject))
