"""What a policy allows, in words for the person who signs it."""

from collections.abc import Iterator
from typing import Any

from protocol.grantables import PLAIN_WORDS
from protocol.policy import Consent, Policy
from technician_client.cli.tables import utc_text

_CONSENT_WORDS = {
    Consent.ASK: "the person is asked each time",
    Consent.UNATTENDED: "no question is asked; the indicator is shown all the same",
}


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
