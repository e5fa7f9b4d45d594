"""The pause in the real agent process: it outlives the process, and the desktop has no part in it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import ErrorCode
from protocol.limits import PAUSE_LENGTH_S
from tests.support.agent_commands import call, new_token
from tests.support.agent_process import AgentProcess
from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess, claim_relay, running_relay

pytestmark = [pytest.mark.real, pytest.mark.beside]


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    """A claimed relay."""
    with running_relay(tmp_path / "relay") as started:
        asyncio.run(claim_relay(started, acme()))
        yield started


def test_con_10_a_pause_outlives_a_killed_service_and_no_code_is_shown_in_it(
    relay: RelayProcess, tmp_path: Path
) -> None:
    data = tmp_path / "agent"
    call("join", "--token-file", "-", "--name", "Reception", data=data, stdin=new_token(relay, acme()))
    with AgentProcess(data) as agent:
        assert call("status", data=data)["paused_s"] == 0
        assert call("pause", data=data)["paused_s"] == pytest.approx(PAUSE_LENGTH_S, abs=60)
        agent.kill()
        agent.start()
        assert 0 < call("status", data=data)["paused_s"] < PAUSE_LENGTH_S
        refused = call("help-me", data=data, ok=False)
        assert refused["error"]["code"] == ErrorCode.E_CONSENT_PAUSED
        assert call("pause", "--end", data=data)["paused_s"] == 0
    assert not (data / "pause.json").exists()
