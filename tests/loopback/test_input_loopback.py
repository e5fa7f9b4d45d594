"""`input` through a whole session in one process: events act in order, old ones never, keys go up."""

import asyncio
import time
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from protocol.errors import ErrorCode
from protocol.grantables import Grantable
from protocol.messages import input as messages
from tests.support.device_end import attached, device_end, open_channel
from tests.support.organisation import acme

pytestmark = pytest.mark.real

CONTROL = Grantable.INPUT_CONTROL
PRESS = messages.Key(keysym=0x61, is_pressed=True)
RELEASE = messages.Key(keysym=0x61, is_pressed=False)


def events(*sent: messages.Event, age_s: float = 0.0) -> bytes:
    """A message of the technician, made so long ago."""
    sent_at_ms = int((time.monotonic() - age_s) * 1000)
    return messages.FROM_TECHNICIAN_CODEC.encode(messages.InputEvents(sent_at_ms, 0, list(sent)))


async def test_events_reach_the_desktop_in_order_and_all_is_released_at_the_end(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, CONTROL) as opened:
        state = messages.FROM_AGENT_CODEC.decode(await opened.stream.receive())
        assert state == messages.InputState(is_active=True, code="")
        await opened.stream.send(events(PRESS, RELEASE))
        await opened.stream.send(events(messages.PointerMove(3, 4)))
        await opened.desktop.order(ipc.Inject, 2)
        assert opened.desktop.injected == [PRESS, RELEASE, messages.PointerMove(3, 4)]
    assert opened.desktop.all_of(ipc.EndInput)
    kinds = [kind for kind in opened.device.kinds() if kind.startswith("input")]
    assert kinds == ["input.started", "input.ended"]


async def test_events_older_than_two_seconds_are_dropped_and_what_is_down_goes_up(tmp_path: Path) -> None:
    async with open_channel(acme(), tmp_path, CONTROL) as opened:
        await opened.stream.receive()
        await asyncio.sleep(0.1)  # the first heartbeat is answered, so both clocks are known
        await opened.stream.send(events(PRESS, age_s=2.5))
        await opened.stream.send(events(RELEASE))
        await opened.desktop.order(ipc.Inject)
        assert opened.desktop.injected == [RELEASE]
        assert opened.desktop.all_of(ipc.ReleaseInput)


async def test_a_desktop_that_cannot_inject_says_so(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        desktop.input_code = ErrorCode.E_INPUT_NONE
        async with await device.connect(acme().technician()) as session:
            await session.ask([CONTROL])
            stream = await session.open_channel(CONTROL)
            state = messages.FROM_AGENT_CODEC.decode(await stream.receive())
            assert state == messages.InputState(is_active=False, code=ErrorCode.E_INPUT_NONE)
        assert desktop.injected == []
