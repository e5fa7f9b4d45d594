"""What a policy allows, in words for the person who signs it."""

from collections.abc import Iterator, Sequence
from typing import Any

from protocol.grantables import PLAIN_WORDS
from protocol.names import shown_text
from protocol.policy import Consent, Policy
from technician_client.cli.tables import utc_text
from technician_client.policy_changes import Change, Weight

_CONSENT_WORDS = {
    Consent.ASK: "the person is asked each time",
    Consent.UNATTENDED: "no question is asked; the indicator is shown all the same",
}

_MARKS = {Weight.WIDER: "!", Weight.NARROWER: "-", Weight.OTHER: "."}
CHANGE_LIMIT_CHARS = (
    20_000  # of a new entry with every member at its bound; nothing that is signed is left out
)


def policy_document(policy: Policy) -> dict[str, Any]:
    """The policy's summary as JSON."""
    return {
        "organisation_id": policy.organisation_id,
        "version": policy.version,
        "issued_at_utc": utc_text(policy.issued_at_utc),
        "expires_at_utc": utc_text(policy.expires_at_utc),
        "groups": {group: str(consent) for group, consent in sorted(policy.groups.items())},
        "roles": {role: sorted(map(str, words)) for role, words in sorted(policy.roles.items())},
        "technician_lifetime_days_limit": policy.technician_lifetime_days_limit,
        "commands": [entry.command_id for entry in policy.catalogue.entries],
        "sha256": policy.sha256,
    }


def policy_lines(policy: Policy) -> Iterator[str]:
    """The policy's summary for reading."""
    yield f"Policy version {policy.version}, good until {utc_text(policy.expires_at_utc)}"
    yield "Consent by device group (every other group: the person is asked each time):"
    for group, consent in sorted(policy.groups.items()):
        yield f"  {group}: {_CONSENT_WORDS[consent]}"
    for role, grantables in sorted(policy.roles.items()):
        yield f"A {role} may ask for:"
        for grantable in sorted(grantables):
            yield f"  {grantable}: {PLAIN_WORDS[grantable]}"
    yield f"A technician's certificate may live {policy.technician_lifetime_days_limit} days at most."
    risky = [entry for entry in policy.catalogue.entries if entry.risk != "low"]
    yield f"Approved commands: {len(policy.catalogue.entries)}, of them above low risk: {len(risky)}"
    for entry in policy.catalogue.entries:
        yield f"  {entry.command_id} ({entry.risk}): {entry.title}"


def changes_document(before: Policy | None, after: Policy, changes: Sequence[Change]) -> dict[str, Any]:
    """The changes as JSON; `weight` is "wider", "narrower" or "other"."""
    return {
        "from_version": before.version if before else 0,
        "to_version": after.version,
        "changes": [
            {"weight": each.weight.value, "about": each.about, "sentence": each.sentence} for each in changes
        ],
    }


def changes_lines(before: Policy | None, after: Policy, changes: Sequence[Change]) -> Iterator[str]:
    """The changes for reading; what lets more happen stands first and is marked."""
    since = f"since version {before.version}" if before else "(nothing was in force before)"
    if not changes:
        yield f"Version {after.version} changes nothing {since} but its dates."
        return
    yield f"Version {after.version} changes {since}:"
    for weight in (Weight.WIDER, Weight.NARROWER, Weight.OTHER):
        for change in changes:
            if change.weight is weight:
                yield f"  {_MARKS[weight]} {change.about}: {shown_text(change.sentence, CHANGE_LIMIT_CHARS)}"
    wider = sum(change.weight is Weight.WIDER for change in changes)
    if wider:
        yield f"! {wider} of these let more happen than before. Sign only what you meant."
