"""What is left when a session is over: one receipt that both ends signed, or one that says why not."""

import asyncio
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from protocol.errors import ErrorCode
from protocol.grantables import Grantable
from protocol.messages import session as messages
from protocol.receipt import CommandLine
from tests.support.desktop import allow_all
from tests.support.device_end import attached, device_end
from tests.support.organisation import acme
from tests.support.proving import ProvingTechnician, ended, lose_link, prove

pytestmark = pytest.mark.real

VIEW = Grantable.SCREEN_VIEW


async def test_both_ends_keep_the_same_receipt_with_both_signatures(tmp_path: Path) -> None:
    ada = ProvingTechnician(acme().technician(), tmp_path / "ada")
    async with device_end(acme(), tmp_path) as device, attached(device, allow_all):
        book = prove(device)
        session = await ada.connect(device)
        await session.ask([VIEW])
        await ended(session, device, "finished")
    ours, theirs = ada.receipt(device, session.session_id), book.newest("ada")[session.session_id]
    assert ours == theirs
    assert ours.is_complete
    facts = ours.facts()
    assert (facts.technician_id, facts.device_id) == ("ada", device.device_id)
    assert (facts.grants, facts.cause, facts.is_truncated) == ([VIEW], "finished", False)
    assert "receipt.signed" in device.kinds()
    assert [record.kind for record in ada.records()][-2:] == ["session.ended", "receipt.signed"]


async def test_the_persons_stop_is_in_the_receipt_of_both(tmp_path: Path) -> None:
    ada = ProvingTechnician(acme().technician(), tmp_path / "ada")
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        book = prove(device)
        session = await ada.connect(device)
        await session.ask([VIEW])
        await desktop.stop(session.session_id)
        await device.over()
        await session.end()
    receipt = book.newest("ada")[session.session_id]
    assert receipt.is_complete
    assert receipt.facts().cause == ErrorCode.E_SESSION_STOPPED
    assert ada.receipt(device, session.session_id) == receipt


async def test_a_cut_session_leaves_a_receipt_of_each_end_alone_and_is_signed_by_both_at_the_next_contact(
    tmp_path: Path,
) -> None:
    ada = ProvingTechnician(acme().technician(), tmp_path / "ada")
    async with device_end(acme(), tmp_path) as device, attached(device):
        book = prove(device)
        session = await ada.connect(device)
        await session.ask([VIEW])
        await lose_link(session)
        await device.over()
        for one in (ada.receipt(device, session.session_id), book.newest("ada")[session.session_id]):
            assert not one.is_complete
            assert one.facts().is_truncated
            assert one.facts().cause == ErrorCode.E_LINK_LOST
        await ended(await ada.connect(device), device)
    signed = book.newest("ada")[session.session_id]
    assert signed.is_complete
    assert signed.facts().is_truncated
    assert ada.receipt(device, session.session_id) == signed


async def test_a_session_that_is_cancelled_while_the_technician_hangs_leaves_its_receipt_and_no_indicator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = ProvingTechnician(acme().technician(), tmp_path / "ada")
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        book = prove(device)
        session = await ada.connect(device)
        await session.ask([VIEW])
        [(task, runner)] = device.runners.items()
        assert runner._live is not None
        monkeypatch.setattr(runner._live._io, "drain", asyncio.Event().wait)
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled()
        receipt = book.newest("ada")[session.session_id]
        await desktop.order(ipc.HideIndicator)
        await session.end()
    assert receipt.roles == ["device"]
    assert receipt.facts().is_truncated


async def test_a_technicians_program_that_never_signs_leaves_the_agents_receipt_alone(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device):
        book = prove(device)
        session = await device.connect(acme().technician())
        await session.ask([VIEW])
        await ended(session, device)
    [receipt] = book.newest("ada").values()
    assert receipt.roles == ["device"]
    assert receipt.facts().is_truncated


async def test_a_receipt_with_a_command_that_was_never_asked_for_is_not_signed(tmp_path: Path) -> None:
    ada = ProvingTechnician(acme().technician(), tmp_path / "ada")
    async with device_end(acme(), tmp_path) as device, attached(device):
        book = prove(device)
        session = await ada.connect(device)
        await session.ask([VIEW])
        runner = next(iter(device.runners.values()))
        assert runner._live is not None
        trail = runner._live._audit.trail
        trail.commands["r-1"] = CommandLine("r-1", "reboot", "exit 0")
        await ended(session, device)
    [receipt] = book.newest("ada").values()
    assert receipt.roles == ["device"]
    assert "receipt.refused" in device.kinds()
    assert [record.facts["code"] for record in ada.records() if record.kind == "receipt.refused"] == [
        ErrorCode.E_RECEIPT
    ]


async def test_the_next_session_asks_about_the_other_ends_log_and_is_content(tmp_path: Path) -> None:
    ada = ProvingTechnician(acme().technician(), tmp_path / "ada")
    async with device_end(acme(), tmp_path) as device, attached(device):
        prove(device)
        for _ in range(2):
            session = await ada.connect(device)
            await session.ask([VIEW])
            assert session.alarm == ""
            await ended(session, device)
    assert "audit.alarm" not in device.kinds()
    assert "audit.alarm" not in [record.kind for record in ada.records()]


async def test_an_answer_to_a_receipt_that_was_not_offered_ends_the_session(tmp_path: Path) -> None:
    ada = ProvingTechnician(acme().technician(), tmp_path / "ada")
    async with device_end(acme(), tmp_path) as device, attached(device):
        prove(device)
        session = await ada.connect(device)
        await session._send(messages.AnswerReceipt("s-none", b"", "E_RECEIPT"))
        async with asyncio.timeout(5):
            await device.over()
        await session.end()
    ends = [record.facts["cause"] for record in device.records() if record.kind == "session.ended"]
    assert ends == [ErrorCode.E_PROTOCOL]
