"""ENR-06: two computers with one device's key, as after copying a disk. Real relay, real agents."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from protocol.errors import ErrorCode
from protocol.messages.control import DeviceFacts, SetDeviceStatus
from protocol.messages.presence import PresenceChanged
from tests.support.agent_commands import call, new_token, running_agent
from tests.support.agent_process import AgentProcess
from tests.support.at_the_relay import approve, device_rows, opening, outcome_of_log_in, refusal_of
from tests.support.organisation import acme
from tests.support.proving import records_of
from tests.support.relay_process import ControlClient, RelayProcess, log_in_client

pytestmark = [pytest.mark.real, pytest.mark.beside]

# real restarts of a real agent; the whole count: ALONGSIDE_RESTARTS=20 python -m pytest THIS_FILE
RESTARTS = int(os.environ.get("ALONGSIDE_RESTARTS", "2"))
QUICK_LINKS = 20
CLONED = ErrorCode.E_DEVICE_CLONED


async def until(is_true: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a fact of the outside world."""
    for _ in range(600):
        if await is_true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never came: {what}")


async def status_of(relay: RelayProcess, device_id: str) -> str:
    return (await device_rows(relay))[device_id].status


def refusals(data: Path) -> list[object]:
    """The codes of the refused log-ins in an agent's log."""
    return [one.facts["code"] for one in records_of(data / "audit.jsonl") if one.kind == "login.refused"]


async def outcome_of_opening(relay: RelayProcess, device_id: str) -> str:
    technician = await log_in_client(relay, acme().technician("ada"))
    try:
        return await opening(technician, device_id)
    finally:
        await technician.close()


async def test_enr_06_a_copied_device_is_quarantined_until_both_join_anew(
    relay: RelayProcess, tmp_path: Path
) -> None:
    one, two = tmp_path / "one" / "agent", tmp_path / "two" / "agent"
    one.parent.mkdir()
    device_id = call("join", "--token-file", "-", data=one, stdin=new_token(relay, acme()))["device_id"]
    shutil.copytree(one, two)
    with ExitStack() as running:
        running.enter_context(running_agent(one))
        assert await outcome_of_opening(relay, device_id) == "opened", "the control: one alone is served"
        running.enter_context(running_agent(two))
        await until(lambda: _is(status_of(relay, device_id), "quarantined"), "the quarantine")
        assert await outcome_of_opening(relay, device_id) == CLONED
        for data in (one, two):
            await until(lambda data=data: _now(bool(refusals(data))), "the refusal at the agent")
            status = call("status", data=data)
            assert (status["link"], status["link_code"]) == ("refused", CLONED)
        assert [refusals(data) for data in (one, two)] == [[CLONED], [CLONED]], "one record each"
    new_ids = set()
    for data in (one, two):
        call("leave", data=data)
        token = new_token(relay, acme())
        new_ids.add(call("join", "--token-file", "-", data=data, stdin=token)["device_id"])
    assert len({*new_ids, device_id}) == 3
    with running_agent(one), running_agent(two):
        for joined in new_ids:
            assert await outcome_of_opening(relay, joined) == "opened"
    assert await status_of(relay, device_id) == "quarantined", "the copied key stays out"


async def test_enr_06_control_one_agent_that_is_killed_and_started_again_is_never_quarantined(
    relay: RelayProcess, tmp_path: Path
) -> None:
    data = tmp_path / "agent"
    device_id = call("join", "--token-file", "-", data=data, stdin=new_token(relay, acme()))["device_id"]
    agent = AgentProcess(data)
    for number in range(RESTARTS):
        agent.start()
        agent.kill() if number % 2 else agent.stop()
    with agent:
        assert await outcome_of_opening(relay, device_id) == "opened"
    assert refusals(data) == []


async def link_of(relay: RelayProcess, device: object, instance_id: str) -> ControlClient:
    """A link of the device; the relay has taken its facts in."""
    client = await log_in_client(relay, device)
    await client.send(DeviceFacts("pc", "linux", "1", instance_id))
    return client


async def test_enr_06_control_quick_reconnects_over_links_that_were_not_closed_are_no_clone(
    relay: RelayProcess,
) -> None:
    """A network that changes leaves links half open; a crash loop brings a new run each time."""
    device = acme().device()
    links = [await link_of(relay, device, "the same run") for _ in range(QUICK_LINKS)]
    links += [await link_of(relay, device, f"run {number}") for number in range(QUICK_LINKS)]
    assert await outcome_of_opening(relay, device.subject_id) == "opened"
    assert await status_of(relay, device.subject_id) == "approved"
    for link in links:
        await link.close()


async def test_enr_06_nobody_without_the_key_brings_a_device_into_quarantine(relay: RelayProcess) -> None:
    device, thief = acme().device(), acme().device()
    await (await link_of(relay, device, "run")).close()
    for instance_id in ("run", "other", "run", "other"):
        await (await link_of(relay, thief, instance_id)).close()
    await until(lambda: _is(status_of(relay, thief.subject_id), "quarantined"), "what it did to itself")
    order = SetDeviceStatus(5, device.subject_id, "quarantined")
    for sender, code in (
        (acme().technician("ada"), ErrorCode.E_CERT_ROLE),
        (acme().admin(), ErrorCode.E_MESSAGE_FORMAT),
    ):
        client = await log_in_client(relay, sender)
        assert await refusal_of(client, order) == code
        await client.close()
    assert await status_of(relay, device.subject_id) == "approved"
    assert await outcome_of_log_in(relay, device) == "in"


async def test_enr_06_an_admin_who_knows_that_the_copy_is_gone_lets_the_device_in_again(
    relay: RelayProcess,
) -> None:
    device = acme().device()
    technician = await log_in_client(relay, acme().technician("ada"))
    for instance_id in ("a", "b", "a"):
        await (await link_of(relay, device, instance_id)).close()
    assert await status_of(relay, device.subject_id) == "approved", "one return may be a late message"
    last = await link_of(relay, device, "b")
    while (await technician.wait_for(PresenceChanged)).device.status != "quarantined":
        pass
    assert await outcome_of_log_in(relay, device) == CLONED
    await last.close()
    await approve(relay, device.subject_id)
    again = await link_of(relay, device, "b")
    assert await outcome_of_opening(relay, device.subject_id) == "opened"
    await again.close()
    await technician.close()


async def _is(status: Awaitable[str], wanted: str) -> bool:
    return await status == wanted


async def _now(fact: bool) -> bool:
    return fact
