"""Who is asked, who is not, and what stands in the record (THREATS.md CON-06, 10, 11, 14, 15, 18, 20)."""

import asyncio
import dataclasses
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.ask_patience import DEVICE_NOES_LIMIT
from agent.config import AgentConfig
from agent.desktop import ipc_messages as ipc
from agent.desktop.prompt_text import indicator_text, prompt_text
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.limits import NAME_LIMIT_CHARS, REASON_LIMIT_CHARS
from protocol.policy import Policy
from tests.rules.test_commands import COMMANDS
from tests.support.desktop import FakeDesktop, deny, leave_open
from tests.support.desktop_service import a_prompt, an_indicator
from tests.support.device_end import attached, device_end
from tests.support.organisation import acme
from tests.support.policies import signed_policy

VIEW = Grantable.SCREEN_VIEW
HIDDEN = re.compile(
    r"stealth|hide|hidden|silent|invisible|unseen|blank|(block|lock).?input|no.?(indicator|prompt)|auto.?accept",
    re.IGNORECASE,
)
HOSTILE_NAMES = [
    "\u202etroppuS tfosorciM", "Micr\u043esoft Support", "Acme Ltd\nVerified: your bank", "x" * 10_000,
    "<b>Dana</b><script>alert(1)</script>",
    "Dana \u2705\U0001f512", "Da\u0000na\u001b[2J", "a" + "\u0301" * 500,
    "Dana\u2028\u2029\u200b\u2066Meyer", "\ufffd" * 40, "   ", "{0.__class__}%s%n",
]  # fmt: skip


@pytest.mark.real
async def test_con_06_a_desktop_process_that_dies_with_the_prompt_open_is_a_no(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device:
        async with attached(device, leave_open) as desktop:
            session = await device.connect(acme().technician())
            asking = asyncio.create_task(session.ask([VIEW]))
            await desktop.order(ipc.ShowPrompt)
            await desktop.die()
            try:
                codes = set((await asking).refused.values())
            except SupportError as exc:
                codes = {str(exc.code)}
            assert codes == {ErrorCode.E_CONSENT_NOBODY}
        await session.end()
        await device.over()
    assert "grant.given" not in device.kinds()


@pytest.mark.real
@pytest.mark.parametrize("consent", ["ask", "unattended"])
async def test_con_14_where_nobody_is_logged_in_nothing_is_granted(tmp_path: Path, consent: str) -> None:
    """Unattended never means unseen: without a desktop there is no indicator."""
    async with device_end(acme(), tmp_path, "kiosks") as device:
        device.publish(signed_policy(acme(), groups={"kiosks": consent}))
        async with await device.connect(acme().technician()) as session:
            assert (await session.ask([VIEW])).refused == {VIEW: ErrorCode.E_CONSENT_NOBODY}
            async with attached(device, deny):
                answer = await session.ask([VIEW])
                assert bool(answer.granted) is (consent == "unattended"), "the control"
        await device.over()


@pytest.mark.real
async def test_con_15_a_second_seat_is_neither_asked_nor_can_it_grant(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, leave_open) as desktop:
        session = await device.connect(acme().technician())
        asking = asyncio.create_task(session.ask([VIEW]))
        prompt = await desktop.order(ipc.ShowPrompt)
        async with FakeDesktop(device.server.socket_path) as other:
            answer = ipc.PromptAnswered(prompt.prompt_no, [VIEW], "", "0" * 64, 2.0)
            await other.say(answer)
            assert await other.is_hung_up()
            assert other.all_of(ipc.ShowPrompt) == []
            assert [order.code for order in other.all_of(ipc.IpcRefused)] == [ErrorCode.E_ALREADY_RUNNING]
        assert not asking.done()
        await desktop.say(answer)  # the control
        assert (await asking).granted
        granted = next(iter(device.runners.values())).live_grants[0]
        assert granted.parties.os_session == f"{os.geteuid()}/x11:99"
        await session.end()
        await device.over()


@pytest.mark.real
async def test_con_15_another_user_of_the_computer_is_no_desktop(tmp_path: Path) -> None:
    """By the kernel's word on who connects; here we are that other user."""
    async with device_end(acme(), tmp_path) as device:
        device.server._allowed_uids = frozenset({os.geteuid() + 1})
        async with FakeDesktop(device.server.socket_path) as other:
            assert await other.is_hung_up()
        assert device.desktop_link.seat is None
        device.server._allowed_uids = frozenset({os.geteuid()})
        async with attached(device):  # the control
            assert device.desktop_link.seat is not None


@pytest.mark.real
async def test_con_10_many_technicians_together_get_few_prompts_and_one_at_a_time(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, deny) as desktop:
        codes: list[str] = []

        async def wear_down(name: str) -> None:
            async with await device.connect(acme().technician(name)) as session:
                for _ in range(3):
                    codes.append(str((await session.ask([VIEW])).refused[VIEW]))

        for first in range(0, 24, 4):
            await asyncio.gather(*(wear_down(f"t{first + number}") for number in range(4)))
        assert len(desktop.all_of(ipc.ShowPrompt)) == DEVICE_NOES_LIMIT
        assert set(codes) == {ErrorCode.E_CONSENT_DENIED, ErrorCode.E_BUSY, ErrorCode.E_RATE}
        assert len(codes) == 72
        await device.over()
    denied = [record for record in device.records() if record.kind == "consent.denied"]
    assert len(denied) == 72, "each refusal has its record"


@pytest.mark.real
async def test_con_10_who_was_blocked_is_not_asked_for_in_any_session(tmp_path: Path) -> None:
    def block(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
        return ipc.PromptAnswered(prompt.prompt_no, [], ErrorCode.E_CONSENT_BLOCKED, "0" * 64, 2.0)

    async with device_end(acme(), tmp_path) as device, attached(device, block) as desktop:
        codes = []
        for _ in range(2):
            async with await device.connect(acme().technician()) as session:
                codes.append((await session.ask([VIEW])).refused[VIEW])
        assert codes == [ErrorCode.E_CONSENT_DENIED, ErrorCode.E_CONSENT_BLOCKED]
        async with await device.connect(acme().technician("bob")) as session:
            await session.ask([VIEW])
        assert [prompt.technician_id for prompt in desktop.all_of(ipc.ShowPrompt)] == ["ada", "bob"]
        await device.over()


@pytest.mark.parametrize("text", HOSTILE_NAMES)
def test_con_11_no_text_of_a_technician_looks_like_ours(text: str) -> None:
    plain = prompt_text(a_prompt(), has_hot_key=True)
    order = msgspec.structs.replace(a_prompt(), technician_name=text, reason=text, ticket_number=text)
    shown = prompt_text(order, has_hot_key=True)
    assert (shown.identity, shown.is_verified) == (plain.identity, plain.is_verified)
    assert shown.reason_title == "Why, in the technician's own words"
    who, _ = indicator_text(an_indicator(name=text))
    lengths = {
        shown.headline: NAME_LIMIT_CHARS + 40,
        shown.reason: REASON_LIMIT_CHARS,
        who: 2 * NAME_LIMIT_CHARS,
    }
    for line, limit in lengths.items():
        assert len(line) <= limit
        categories = {unicodedata.category(character) for character in line}
        assert not categories & {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"}, categories
    assert len(shown.lines()) <= len(plain.lines()), "no text becomes a line of its own"


def test_con_18_no_setting_policy_or_option_hides_anything() -> None:
    words = [each.name for each in dataclasses.fields(AgentConfig)]
    words += list(
        Policy.__dataclass_fields__ if dataclasses.is_dataclass(Policy) else Policy.__struct_fields__
    )
    words += [option for command in COMMANDS if "agent" in command.words for option in command.options]
    found = [word for word in words if HIDDEN.search(word)]
    assert found == []
    assert HIDDEN.search("--hide-indicator"), "the control"


@pytest.mark.real
async def test_con_20_what_the_person_read_and_how_long_it_took_is_in_the_record(tmp_path: Path) -> None:
    sha256 = "ab" * 32

    def answer(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
        return ipc.PromptAnswered(prompt.prompt_no, prompt.grantables, "", sha256, 3.25, "en")

    async with device_end(acme(), tmp_path) as device, attached(device, answer):
        async with await device.connect(acme().technician()) as session:
            await session.ask([VIEW])
        await device.over()
    [allowed] = [record for record in device.records() if record.kind == "consent.allowed"]
    facts: dict[str, Any] = allowed.facts
    assert (facts["text_sha256"], facts["locale"], facts["took_ms"]) == (sha256, "en", 3250)
    assert allowed.actor == "person"
