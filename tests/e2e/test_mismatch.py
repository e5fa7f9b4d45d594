"""Four digits that do not match, with every part real: technician's command, relay, agent, prompt, card."""

import json
import time

import pytest

from tests.e2e.steps import until
from tests.support.person import ARMED_AFTER_S, Person
from tests.support.system import WholeSystem

pytestmark = pytest.mark.real

CARD = "alongside-card"


def code_of(system: WholeSystem) -> str:
    """Why the technician gets nothing, as the command line says it."""
    ended = system.alongside("diagnose", system.device_id, "--json", status=3)
    error: dict[str, str] = json.loads(ended.stdout)["error"]
    assert "blocked by the person until" in error["detail"], error
    return error["code"]


def test_con_12_con_10_who_did_not_match_is_kept_out_over_a_killed_agent_until_the_person_lifts_it(
    system: WholeSystem,
) -> None:
    person = Person(system.screen)
    asking = system.start_alongside("diagnose", system.device_id, "--json")
    person.wait_for_prompt()
    person.press("verify")
    time.sleep(ARMED_AFTER_S)
    person.press("mismatched")
    said, _ = asking.communicate(timeout=30)
    assert (asking.returncode, json.loads(said)["error"]["code"]) == (3, "E_READBACK_MISMATCH")
    person.wait_for_window(CARD)
    assert not person.sees_part("card:good"), "who was a fraud is not rated"
    assert code_of(system) == "E_READBACK_BLOCKED"

    system.kill_agent()
    system.start_agent()
    assert code_of(system) == "E_READBACK_BLOCKED"
    [row] = json.loads(system.agent("blocks", "list", "--json").stdout)["blocks"]
    assert row["is_mismatch"]
    assert 0 < row["left_s"] <= 3600
    assert json.loads(system.agent("blocks", "lift", row["id"], "--json").stdout) == {"lifted": [row["id"]]}
    asking = system.start_alongside("diagnose", system.device_id, "--json")
    person.wait_for_prompt()
    person.allow()
    said, _ = asking.communicate(timeout=30)
    assert asking.returncode == 0, said
    until(lambda: {"block.started", "block.ended"} <= set(system.audit_kinds()))
