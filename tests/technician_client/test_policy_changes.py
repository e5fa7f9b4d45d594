"""What is read before signing: every change has its sentence, and what lets more happen is a warning."""

import dataclasses
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.catalogue import CommandEntry
from protocol.grantables import Grantable
from protocol.policy import Policy, parse_policy
from technician_client.policy_changes import ENTRY_SENTENCES, Change, Weight, changes_between
from tests.support.approved_commands import entry
from tests.support.organisation import acme

PING = entry(
    "ping",
    "/usr/bin/ping",
    "-c",
    "{count}",
    "{host}",
    parameters={
        "host": {"type": "hostname", "description": "Whom"},
        "count": {"type": "integer", "minimum": 1, "maximum": 5, "description": "How often"},
    },
)
WITHOUT_EFFECT = {"version", "issued_at_utc", "expires_at_utc", "sha256"}


def policy(*entries: dict[str, Any], **members: Any) -> Policy:
    document = acme().policy_document(catalogue={"commands": list(entries)}, **members)
    return parse_policy(json.dumps(document).encode())


def changes(before: Policy | None, after: Policy) -> list[Change]:
    return changes_between(before, after)


def told(*entries: dict[str, Any]) -> list[tuple[Weight, str]]:
    """The changes from PING alone to these entries."""
    return [(each.weight, each.sentence) for each in changes(policy(PING), policy(*entries))]


def test_the_same_policy_with_other_dates_and_in_another_order_changes_nothing() -> None:
    more = entry("more", "/usr/bin/true")
    before, after = policy(PING, more), policy(more, PING, version=9, expires_at_utc="2027-01-01T00:00:00Z")
    assert changes(before, after) == []


def test_a_new_command_is_shown_with_its_argv_its_risk_and_what_the_person_reads() -> None:
    reboot = entry("reboot", "/usr/sbin/reboot", "--force now", risk="high", person_text="Restarts it.")
    [(weight, sentence)] = told(PING, reboot)
    assert weight is Weight.WIDER
    for word in ("/usr/sbin/reboot '--force now'", "high risk, takes two people", "Restarts it."):
        assert word in sentence


@pytest.mark.parametrize(
    ("changed", "weight", "words"),
    [
        ({"risk": "high"}, Weight.NARROWER, "raised to high"),
        ({"argv": ["/usr/bin/ping", "-f", "{count}", "{host}"]}, Weight.WIDER, "/usr/bin/ping -c"),
        ({"needs_second_person": True}, Weight.NARROWER, "takes two people"),
        ({"timeout_s": 99}, Weight.WIDER, "99 seconds (was: 10)"),
        ({"output_limit_bytes": 10}, Weight.NARROWER, "10 bytes"),
        ({"platforms": ["linux", "macos"]}, Weight.WIDER, "linux, macos"),
        ({"title": "Pong"}, Weight.OTHER, "'Pong' (was: 'ping')"),
        ({"person_text": "Harmless."}, Weight.OTHER, "'Harmless.' (was: 'Runs ping.')"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_a_changed_member_of_a_command_is_told(changed: dict[str, Any], weight: Weight, words: str) -> None:
    found, sentence = told(PING | changed)[0]
    assert (found, words in sentence) == (weight, True)


def test_a_lowered_risk_that_lets_one_person_alone_run_it_is_two_warnings() -> None:
    before, after = policy(PING | {"risk": "high"}), policy(PING | {"risk": "low"})
    found = changes(before, after)
    assert [each.weight for each in found] == [Weight.WIDER, Weight.WIDER]
    assert "one person alone" in found[1].sentence


@pytest.mark.parametrize(
    ("count", "weight"),
    [
        ({"maximum": 9}, Weight.WIDER),
        ({"minimum": 2}, Weight.NARROWER),
        ({"description": "Times"}, Weight.OTHER),
        ({"default": "2"}, Weight.OTHER),
    ],
)
def test_a_changed_parameter_is_told_by_what_it_lets_through(count: dict[str, Any], weight: Weight) -> None:
    parameters = PING["parameters"] | {"count": PING["parameters"]["count"] | count}
    assert [found for found, _ in told(PING | {"parameters": parameters})] == [weight]


def test_a_removed_command_cannot_be_run_any_more() -> None:
    assert [(weight, "taken out" in text) for weight, text in told()] == [(Weight.NARROWER, True)]


def test_consent_that_becomes_unattended_is_a_warning_and_back_is_none() -> None:
    asked, unattended = policy(groups={"lab": "ask"}), policy(groups={"lab": "unattended"})
    assert [(each.weight, each.about) for each in changes(asked, unattended)] == [(Weight.WIDER, "group lab")]
    assert [each.weight for each in changes(unattended, asked)] == [Weight.NARROWER]
    assert changes(None, unattended)[0].weight is Weight.WIDER


def test_the_first_policy_says_everything_that_it_allows() -> None:
    found = {each.about for each in changes(None, policy(PING))}
    assert {"role technician", "command ping", "policy"} <= found


def test_every_member_of_an_entry_has_its_sentence() -> None:
    assert set(ENTRY_SENTENCES) == set(CommandEntry.__struct_fields__) - {"command_id"}


ENTRIES = st.fixed_dictionaries(
    {
        "command_id": st.sampled_from(["a", "b"]),
        "argv": st.sampled_from([["/bin/a"], ["/bin/b"], ["/bin/a", "x y"], ["/bin/a", "x", "y"]]),
        "risk": st.sampled_from(["low", "medium", "high"]),
        "needs_second_person": st.booleans(),
        "timeout_s": st.integers(1, 3),
        "title": st.sampled_from(["One", "Two"]),
    }
)
POLICIES = st.fixed_dictionaries(
    {
        "groups": st.dictionaries(st.sampled_from(["g", "h"]), st.sampled_from(["ask", "unattended"])),
        "roles": st.dictionaries(
            st.sampled_from(["technician", "admin"]), st.lists(st.sampled_from(list(Grantable)), unique=True)
        ),
        "technician_lifetime_days_limit": st.integers(1, 3),
        "support_codes": st.booleans(),
        "private_windows": st.lists(
            st.fixed_dictionaries({"title": st.sampled_from(["A*", "B"])}), max_size=1
        ),
        "catalogue": st.lists(ENTRIES, max_size=2, unique_by=lambda each: each["command_id"]),
    }
)


def made(members: dict[str, Any]) -> Policy:
    commands = [entry(each["command_id"], "/x") | each for each in members["catalogue"]]
    return parse_policy(
        json.dumps(acme().policy_document(**members | {"catalogue": {"commands": commands}})).encode()
    )


def effect(one: Policy) -> dict[str, Any]:
    """Everything of a policy that has an effect; a group that is asked is as one that is not named."""
    members = {each.name: getattr(one, each.name) for each in dataclasses.fields(one)}
    members["groups"] = {group for group, consent in one.groups.items() if consent == "unattended"}
    members["roles"] = {role: kept for role, kept in one.roles.items() if kept}
    members["catalogue"] = {each.command_id: msgspec.json.encode(each) for each in one.catalogue.entries}
    return {name: members[name] for name in members.keys() - WITHOUT_EFFECT}


@settings(max_examples=150)
@given(POLICIES, POLICIES)
def test_two_policies_have_a_change_exactly_when_they_have_another_effect(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    before, after = made(one), made(other)
    assert bool(changes(before, after)) == (effect(before) != effect(after))
    assert len(changes(before, after)) == len(changes(after, before))
