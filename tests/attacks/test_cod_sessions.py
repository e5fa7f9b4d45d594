"""Support codes attacked over real tunnels (THREATS.md 3.2); what is counted is counted at the agent."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.desktop.ipc_messages import HelpOutcome
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.limits import CODE_LIFETIME_S
from protocol.messages.consent import Ask
from protocol.messages.pairing import PairingConfirmation, PairingElement
from protocol.messages.session import FROM_TECHNICIAN_CODEC
from tests.support.code_ends import (
    no_prompt_and_nothing_granted,
    other_secret,
    raw_technician,
    visiting_device,
    visitor,
)
from tests.support.device_end import DeviceEnd, attached, device_end, shown_code
from tests.support.organisation import acme, intruders
from tests.support.policies import signed_policy

pytestmark = [pytest.mark.real, pytest.mark.beside]

ATTEMPTS = 60


async def refusal(device: DeviceEnd, code, technician) -> ErrorCode:
    """How a technician is refused who comes with this code."""
    with pytest.raises(SupportError) as refused:
        await device.connect_by_code(code, technician)
    return refused.value.code


async def test_cod_01_the_right_code_gives_a_session_and_is_used_up(tmp_path: Path) -> None:
    ada = acme().technician()
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        async with shown_code(device) as shown:
            async with await device.connect_by_code(shown.code, ada) as session:
                news = await shown.news
                assert (news.outcome, news.technician_name) == (HelpOutcome.TECHNICIAN, "Ada")
                assert news.readback == session.readback
                assert session.device_id == device.device_id
                answer = await session.ask([Grantable.DIAGNOSTICS_READ])
                assert len(answer.granted) == 1
                [prompt] = desktop.all_of(ipc.ShowPrompt)
                assert (prompt.organisation_name, prompt.readback) == ("Acme", session.readback)
            assert await refusal(device, shown.code, ada) in (
                ErrorCode.E_CODE_UNKNOWN,
                ErrorCode.E_CODE_USED,
            )
        await device.over()
    kinds = device.kinds()
    assert kinds.index("code.tried") < kinds.index("code.matched") < kinds.index("session.ready")
    assert kinds.count("code.tried") == 1


async def test_cod_02_one_wrong_code_burns_it_and_the_person_hears(tmp_path: Path) -> None:
    ada = acme().technician()
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        async with shown_code(device) as shown:
            assert await refusal(device, other_secret(shown.code), ada) is ErrorCode.E_CODE_WRONG
            assert (await shown.news).outcome is HelpOutcome.WRONG
            assert await refusal(device, shown.code, ada) in (
                ErrorCode.E_CODE_UNKNOWN,
                ErrorCode.E_CODE_USED,
            )
        await device.over()
        assert not desktop.all_of(ipc.ShowPrompt)
    assert device.kinds().count("code.tried") == 1
    assert "code.refused" in device.kinds()
    assert no_prompt_and_nothing_granted(device)


async def test_cod_03_of_many_parallel_attempts_one_is_evaluated(tmp_path: Path) -> None:
    async with visiting_device(tmp_path) as device, shown_code(device) as shown:
        wrong = other_secret(shown.code)
        attempts = [refusal(device, wrong, visitor()) for _ in range(ATTEMPTS)]
        codes = await asyncio.gather(*attempts)
        await device.over(10)
    assert device.kinds().count("code.tried") == 1
    assert codes.count(ErrorCode.E_CODE_WRONG) == 1
    assert set(codes) <= {ErrorCode.E_CODE_WRONG, ErrorCode.E_CODE_USED, ErrorCode.E_CODE_UNKNOWN}
    assert no_prompt_and_nothing_granted(device)


async def test_cod_03_a_new_link_or_session_brings_no_second_guess(tmp_path: Path) -> None:
    """An attempt that is cut after its element was taken is a guess; the next one finds the code used."""
    async with visiting_device(tmp_path) as device, shown_code(device) as shown:
        async with raw_technician(device, visitor(), shown.code) as attacker:
            await attacker.exchange_elements()
        assert await refusal(device, shown.code, visitor()) in (
            ErrorCode.E_CODE_USED,
            ErrorCode.E_CODE_UNKNOWN,
        )
        assert (await shown.news).outcome is HelpOutcome.WRONG
    assert device.kinds().count("code.tried") == 1


@pytest.mark.parametrize("early_s", [1.0, -1.0])
async def test_cod_05_ten_minutes_count_on_a_clock_that_nobody_sets(tmp_path: Path, early_s: float) -> None:
    """The wall clock plays no part: the desk has no access to it."""
    async with visiting_device(tmp_path) as device, shown_code(device) as shown:
        device.code_clock_s += CODE_LIFETIME_S - early_s
        if early_s > 0:
            async with await device.connect_by_code(shown.code, visitor()) as session:
                assert session.ready.offers
        else:
            assert await refusal(device, shown.code, visitor()) is ErrorCode.E_CODE_EXPIRED
            assert (await shown.news).outcome is HelpOutcome.EXPIRED
        await device.over()


async def test_cod_06_a_cancelled_code_is_void(tmp_path: Path) -> None:
    async with visiting_device(tmp_path) as device:
        async with shown_code(device) as shown:
            code = shown.code
        async with asyncio.timeout(5):
            await device.no_nameplate.wait()
        assert await refusal(device, code, visitor()) is ErrorCode.E_CODE_UNKNOWN
        assert not device.held_nameplates
    assert "code.tried" not in device.kinds()


async def test_cod_06_a_code_is_void_after_a_restart_of_the_agent(tmp_path: Path) -> None:
    """The secret is in memory alone; nothing on the disk could bring it back."""
    async with visiting_device(tmp_path) as device, shown_code(device) as shown:
        code = shown.code
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert code.secret.encode() not in path.read_bytes()
    async with visiting_device(tmp_path) as device:
        assert await refusal(device, code, visitor()) is ErrorCode.E_CODE_UNKNOWN


async def test_cod_09_a_wrong_confirmation_shows_no_prompt(tmp_path: Path) -> None:
    async with visiting_device(tmp_path) as device, attached(device) as desktop, shown_code(device) as shown:
        async with raw_technician(device, visitor(), shown.code) as attacker:
            await attacker.exchange_elements()
            await attacker.send(PairingConfirmation(b"\0" * 32))
            answer = await attacker.hear()
            assert isinstance(answer, PairingConfirmation)  # noise, so that right and wrong look alike
            assert await attacker.refusal() == ErrorCode.E_CODE_WRONG
        await device.over()
        assert not desktop.orders
    assert no_prompt_and_nothing_granted(device)


async def test_cod_09_an_early_confirmation_ends_it_without_a_guess(tmp_path: Path) -> None:
    async with visiting_device(tmp_path) as device, shown_code(device) as shown:
        async with raw_technician(device, visitor(), shown.code) as attacker:
            await attacker.send(PairingConfirmation(b"\0" * 32))
            assert await attacker.refusal() == ErrorCode.E_PROTOCOL
        await device.over()
    assert "code.tried" not in device.kinds()


async def test_cod_09_an_ask_before_the_confirmation_ends_it(tmp_path: Path) -> None:
    ask = FROM_TECHNICIAN_CODEC.encode(Ask(1, ["screen.view"], "", "", 60))
    async with visiting_device(tmp_path) as device, attached(device) as desktop, shown_code(device) as shown:
        async with raw_technician(device, visitor(), shown.code) as attacker:
            await attacker.exchange_elements()
            await attacker.send_bytes(ask)
            assert await attacker.refusal() == ErrorCode.E_MESSAGE_UNKNOWN
        await device.over()
        assert not desktop.orders
    assert no_prompt_and_nothing_granted(device)


async def test_cod_09_an_ask_instead_of_a_pairing_ends_it_without_a_guess(tmp_path: Path) -> None:
    """As a relay gets it that hides from a technician's client that the session is one by code."""
    async with (
        device_end(acme(), tmp_path) as device,
        attached(device) as desktop,
        shown_code(device) as shown,
    ):
        async with raw_technician(device, acme().technician(), shown.code) as technician:
            await technician.send_bytes(FROM_TECHNICIAN_CODEC.encode(Ask(1, ["screen.view"], "", "", 60)))
            assert await technician.refusal() == ErrorCode.E_MESSAGE_UNKNOWN
        await device.over()
        assert not desktop.orders
    assert "code.tried" not in device.kinds()


@pytest.mark.parametrize(
    "element",
    [b"A" + bytes([1] + [0] * 31), b"A" + b"\0" * 32, b"A" + b"\xff" * 32, b"B" + b"\x07" * 32],
    ids=["identity", "low order", "not canonical", "own side"],
)
async def test_cod_08_a_bad_element_ends_it_and_counts_as_the_guess(tmp_path: Path, element: bytes) -> None:
    async with visiting_device(tmp_path) as device, shown_code(device) as shown:
        async with raw_technician(device, visitor(), shown.code) as attacker:
            await attacker.send(PairingElement(element))
            assert await attacker.refusal() == ErrorCode.E_HANDSHAKE
        assert (await shown.news).outcome is HelpOutcome.WRONG
        await device.over()
    assert device.kinds().count("code.tried") == 1
    assert no_prompt_and_nothing_granted(device)


async def test_cod_12_a_stranger_with_the_right_code_does_not_get_into_an_organisation(
    tmp_path: Path,
) -> None:
    async with device_end(acme(), tmp_path) as device, shown_code(device) as shown:
        for stranger in (visitor(), intruders().technician()):
            assert await refusal(device, shown.code, stranger) in (
                ErrorCode.E_CERT_CHAIN,
                ErrorCode.E_HANDSHAKE,
                ErrorCode.E_CERT_ORG,
            )
        await device.over()
        assert "code.tried" not in device.kinds()
        async with await device.connect_by_code(shown.code, acme().technician()) as session:  # the control
            assert session.is_verified
        await device.over()


async def test_cod_12_a_technician_outside_of_the_scope_does_not_touch_the_code(tmp_path: Path) -> None:
    from protocol.certificates import Scope

    narrow = acme().technician("bob", scope=Scope(frozenset({"servers"}), frozenset({"*"})))
    async with device_end(acme(), tmp_path) as device, shown_code(device) as shown:
        assert await refusal(device, shown.code, narrow) is ErrorCode.E_CERT_SCOPE
        await device.over()
    assert "code.tried" not in device.kinds()


async def test_cod_12_a_policy_without_codes_shows_none_whoever_asks(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device:
        device.publish(signed_policy(acme(), support_codes=False))
        with pytest.raises(SupportError) as refused:
            async with shown_code(device):
                pass
        assert refused.value.code is ErrorCode.E_CODE_POLICY
        assert not device.held_nameplates


async def test_cod_12_an_unverified_technician_is_shown_as_such_and_gets_less(tmp_path: Path) -> None:
    async with visiting_device(tmp_path) as device, attached(device) as desktop, shown_code(device) as shown:
        async with await device.connect_by_code(shown.code, visitor()) as session:
            assert not session.is_verified
            news = await shown.news
            assert (news.technician_name, news.organisation_name) == ("", "")
            assert set(session.ready.offers) == {"screen.view", "input.control", "diagnostics.read"}
            answer = await session.ask(
                [Grantable.DIAGNOSTICS_READ, Grantable.COMMANDS_RUN], reason="x", length_s=8 * 3600
            )
            assert answer.refused == {Grantable.COMMANDS_RUN: ErrorCode.E_POLICY_CAPABILITY}
            [given] = answer.granted
            assert given.remaining_s <= 1800
            [prompt] = desktop.all_of(ipc.ShowPrompt)
            assert (prompt.organisation_name, prompt.technician_name) == ("", "")
            assert prompt.length_s == 1800
            assert prompt.grantables == ["diagnostics.read"]
        await device.over()


async def test_cod_12_a_visit_is_over_after_thirty_minutes_whatever_is_asked_again(tmp_path: Path) -> None:
    from agent.visitor_admission import admit_visitor, still_admitted

    now = datetime.now(UTC)
    admitted = admit_visitor(visitor().chain, now=now)
    assert still_admitted(admitted, now + timedelta(minutes=30)) is admitted
    with pytest.raises(SupportError) as refused:
        still_admitted(admitted, now + timedelta(minutes=30, seconds=1))
    assert refused.value.code is ErrorCode.E_CODE_EXPIRED
