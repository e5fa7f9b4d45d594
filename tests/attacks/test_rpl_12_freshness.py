"""A peer that is dead or held behind bytes that still come, and input that was held; virtual time."""

import asyncio

from protocol.errors import ErrorCode
from protocol.grantables import Grantable
from protocol.limits import INPUT_AGE_LIMIT_S, SESSION_HEARTBEAT_S, SESSION_SILENCE_LIMIT_S
from protocol.messages import input as input_messages
from protocol.messages.session import EndSession, FromAgent
from tests.attacks.test_con_01_matrix import Scene
from tests.support.virtual_time import run_virtually

CONTROL = Grantable.INPUT_CONTROL


async def _trickle(*, is_answering: bool) -> tuple[float, list[FromAgent]]:
    """A technician who is gone, while a relay lets out what it held back, a message a second."""
    scene = Scene("granted", CONTROL)
    await scene.reach()
    scene.stage.open_channel(1, "input", scene.grant_ids[CONTROL])
    await asyncio.sleep(0.5)
    scene.stage.answers_heartbeats = is_answering
    from_s = asyncio.get_running_loop().time()
    for _ in range(60):
        scene.stage.act(1, "input")
        await asyncio.sleep(1)
        if scene.stage.is_over:
            break
    took_s = asyncio.get_running_loop().time() - from_s
    await scene.stage.close()
    return took_s, scene.heard


def test_rpl_12_bytes_that_were_held_back_do_not_keep_a_dead_peer_alive() -> None:
    took_s, heard = run_virtually(_trickle(is_answering=False))
    assert took_s <= SESSION_SILENCE_LIMIT_S + SESSION_HEARTBEAT_S + 1
    assert EndSession(ErrorCode.E_PEER_SILENT) in heard


def test_rpl_12_the_control_a_peer_that_answers_goes_on() -> None:
    took_s, _ = run_virtually(_trickle(is_answering=True))
    assert took_s >= 60


async def _held(for_s: float) -> tuple[int, int]:
    """Input that a relay holds back for so long: how much acts, and how often the technician is told."""
    scene = Scene("granted", CONTROL)
    await scene.reach()
    scene.stage.open_channel(1, "input", scene.grant_ids[CONTROL])
    await asyncio.sleep(0.5)
    held = scene.stage.action("input")
    await asyncio.sleep(for_s)
    scene.stage.send(1, held)
    await asyncio.sleep(0.5)
    await scene.stage.close()
    told = [input_messages.FROM_AGENT_CODEC.decode(content) for content in scene.stage.received(1)]
    dropped = [each for each in told if isinstance(each, input_messages.InputDropped)]
    assert all(each.code == ErrorCode.E_INPUT_LATE for each in dropped)
    return len(scene.stage.effects.seen), len(dropped)


def test_rpl_11_held_input_does_not_act_and_both_sides_know() -> None:
    assert run_virtually(_held(INPUT_AGE_LIMIT_S + 0.1)) == (0, 1)


def test_rpl_11_the_control_fresh_input_acts() -> None:
    assert run_virtually(_held(INPUT_AGE_LIMIT_S - 0.5)) == (1, 0)
