"""AUD between two ends: who notices a log that changed, and what happens where it cannot be written."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from protocol.aio.audit_log import AuditLog
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.messages.diagnostics import FROM_TECHNICIAN_CODEC, ReadSnapshot
from protocol.receipt import trail_of
from technician_client.notices import PeerAlarm
from technician_client.sessions import TechnicianSession
from tests.support.desktop import FakeDesktop, allow_all
from tests.support.device_end import DeviceEnd, attached, device_end
from tests.support.organisation import acme
from tests.support.proving import ProvingTechnician, ended, prove

pytestmark = [pytest.mark.real, pytest.mark.beside]

VIEW, CONTROL, READ = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL, Grantable.DIAGNOSTICS_READ
FULL = Path("/dev/full")  # every write to it is ENOSPC by the kernel


@asynccontextmanager
async def two_ends(folder: Path) -> AsyncIterator[tuple[DeviceEnd, FakeDesktop, ProvingTechnician]]:
    """A device with a desktop, and a technician, each with a log and receipts on disk."""
    ada = ProvingTechnician(acme().technician(), folder / "ada")
    async with device_end(acme(), folder) as device, attached(device) as desktop:
        prove(device)
        yield device, desktop, ada


async def one_session(device: DeviceEnd, ada: ProvingTechnician) -> TechnicianSession:
    """From Ready to its receipt."""
    session = await ada.connect(device)
    await session.ask([VIEW])
    await ended(session, device)
    return session


def cut(path: Path) -> None:
    """The tail goes, the chain holds."""
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))


def fresh(path: Path) -> None:
    """The log begins anew."""
    path.unlink()


# -- who notices, in the next session


@pytest.mark.parametrize("attack", [cut, fresh])
async def test_aud_04_a_device_whose_log_was_cut_or_made_anew_is_noticed_by_the_technicians_program(
    tmp_path: Path, attack: Callable[[Path], None]
) -> None:
    async with two_ends(tmp_path) as (device, _, ada):
        control = await one_session(device, ada)
        assert control.alarm == ""
        attack(device.audit_path)
        session = await ada.connect(device)
        await session.ask([VIEW])
        assert session.alarm == ErrorCode.E_AUDIT_PEER
        notices = [session.notices.get_nowait() for _ in range(session.notices.qsize())]
        assert PeerAlarm(ErrorCode.E_AUDIT_PEER) in notices
        await ended(session, device)
        again = await one_session(device, ada)
        assert again.alarm == ErrorCode.E_AUDIT_PEER, "it is raised again until somebody accepts it"
    assert "audit.alarm" in [record.kind for record in ada.records()]


async def test_aud_05_a_device_rolled_back_to_a_snapshot_is_noticed_although_its_log_has_grown_since(
    tmp_path: Path,
) -> None:
    async with two_ends(tmp_path) as (device, _, ada):
        await one_session(device, ada)
        snapshot = device.audit_path.read_bytes()
        await one_session(device, ada)
        device.audit_path.write_bytes(snapshot)
        bob = ProvingTechnician(acme().technician("bob"), tmp_path / "bob")
        for _ in range(2):
            assert (await one_session(device, bob)).alarm == ""  # he knew nothing of what is gone
        assert (await one_session(device, ada)).alarm == ErrorCode.E_AUDIT_PEER


@pytest.mark.parametrize("attack", [cut, fresh])
async def test_aud_05_a_technicians_log_that_was_cut_or_made_anew_is_noticed_by_the_agent(
    tmp_path: Path, attack: Callable[[Path], None]
) -> None:
    async with two_ends(tmp_path) as (device, _, ada):
        await one_session(device, ada)
        assert "audit.alarm" not in device.kinds()
        attack(ada.log_path)
        await one_session(device, ada)
        alarms = [record for record in device.records() if record.kind == "audit.alarm"]
    assert [alarm.facts["code"] for alarm in alarms] == [ErrorCode.E_AUDIT_PEER]
    assert not alarms[0].succeeded


async def test_aud_13_both_ends_records_of_a_session_say_the_same_and_each_fits_the_receipt(
    tmp_path: Path,
) -> None:
    async with two_ends(tmp_path) as (device, _, ada):
        session = await one_session(device, ada)
        receipt = ada.receipt(device, session.session_id)
        facts = receipt.facts()
        for role, records in (("device", device.records()), ("technician", ada.records())):
            trail = trail_of(records, session.session_id)
            half = receipt.half(role)
            assert half is not None
            assert trail.mark == half.log
            assert trail.ended is not None
            assert (sorted(trail.grants), trail.ended.facts["cause"]) == (facts.grants, facts.cause)
            assert len(trail.commands) == facts.commands_count


# -- where the log cannot be written


def fill(device: DeviceEnd) -> None:
    """From now on every append of the device's log fails with ENOSPC."""
    log = device.side.audit_log
    assert isinstance(log, AuditLog)
    log.path = FULL


def free(device: DeviceEnd) -> None:
    """There is space again."""
    log = device.side.audit_log
    assert isinstance(log, AuditLog)
    log.path = device.audit_path


async def test_aud_07_no_session_starts_while_the_log_cannot_be_written(tmp_path: Path) -> None:
    async with two_ends(tmp_path) as (device, desktop, ada):
        fill(device)
        with pytest.raises(SupportError) as refusal:
            await ada.connect(device)
        assert refusal.value.code == ErrorCode.E_AUDIT_WRITE
        assert desktop.orders == []
        await device.over()
        free(device)
        await one_session(device, ada)


async def test_aud_07_nothing_is_granted_when_the_log_fills_up_while_the_person_reads(tmp_path: Path) -> None:
    ada = ProvingTechnician(acme().technician(), tmp_path / "ada")

    def fill_and_allow(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
        fill(device)
        return allow_all(prompt)

    async with device_end(acme(), tmp_path) as device, attached(device, fill_and_allow) as desktop:
        session = await ada.connect(device)
        answer = await session.ask([VIEW, CONTROL])
        assert answer.granted == []
        assert answer.refused == {VIEW: ErrorCode.E_AUDIT_WRITE, CONTROL: ErrorCode.E_CONSENT_LATER}
        assert desktop.all_of(ipc.ShowPrompt)
        await ended(session, device)


@pytest.mark.parametrize("grantable", [VIEW, CONTROL, READ])
async def test_aud_07_no_channel_opens_and_nothing_acts_while_the_log_cannot_be_written(
    tmp_path: Path, grantable: Grantable
) -> None:
    async with two_ends(tmp_path) as (device, desktop, ada):
        session = await ada.connect(device)
        await session.ask([grantable])
        fill(device)
        with pytest.raises(SupportError) as refusal:
            await session.open_channel(grantable)
        assert refusal.value.code == ErrorCode.E_AUDIT_WRITE
        assert not desktop.all_of(ipc.StartScreen)
        assert not desktop.all_of(ipc.AllowInput)
        free(device)
        await session.open_channel(grantable)  # the control: now it opens
        await ended(session, device)
    assert "channel.opened" in device.kinds()


async def test_aud_07_diagnostics_are_not_read_when_the_log_fills_up_behind_the_open_channel(
    tmp_path: Path,
) -> None:
    async with two_ends(tmp_path) as (device, _, ada):
        session = await ada.connect(device)
        await session.ask([READ])
        stream = await session.open_channel(READ)
        fill(device)
        await stream.send(FROM_TECHNICIAN_CODEC.encode(ReadSnapshot(1)))
        with pytest.raises(SupportError) as refusal:
            await stream.receive()
        assert refusal.value.code == ErrorCode.E_AUDIT_WRITE
        free(device)
        await ended(session, device)
    assert "diagnostics.read" not in device.kinds()


async def test_aud_07_a_technicians_own_full_disk_stops_the_technician(tmp_path: Path) -> None:
    async with two_ends(tmp_path) as (device, desktop, ada):
        session = await ada.connect(device)
        log = session.audit._sink
        assert isinstance(log, AuditLog)
        log.path = FULL
        with pytest.raises(SupportError) as refusal:
            await session.ask([VIEW])
        assert refusal.value.code == ErrorCode.E_AUDIT_WRITE
        assert not desktop.all_of(ipc.ShowPrompt)
        log.path = ada.log_path
        await ended(session, device)


async def test_aud_07_nothing_is_added_to_a_log_whose_newest_record_was_changed(tmp_path: Path) -> None:
    async with two_ends(tmp_path) as (device, desktop, ada):
        await one_session(device, ada)
        kept = tmp_path / "kept.jsonl"
        shutil.copy(device.audit_path, kept)
        damaged = device.audit_path.read_bytes()[:-20] + b"x" + device.audit_path.read_bytes()[-19:]
        device.audit_path.write_bytes(damaged)
        with pytest.raises(SupportError) as refusal:
            await ada.connect(device)
        assert refusal.value.code == ErrorCode.E_AUDIT_CHAIN
        await device.over()
        assert len(desktop.all_of(ipc.ShowPrompt)) == 1
        assert device.audit_path.read_bytes() == damaged
        shutil.copy(kept, device.audit_path)
