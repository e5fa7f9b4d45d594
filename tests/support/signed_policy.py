"""Signed policies of the throw-away organisation."""

import json
from datetime import UTC, datetime

from protocol.envelope import sign_envelope
from protocol.policy import POLICY_TYPE, default_policy
from tests.support.organisation import Organisation


def signed_policy(organisation: Organisation, *, version: int = 1, **changes: object) -> bytes:
    """The default policy with this version and these members, signed."""
    document = default_policy(organisation.organisation_id, now=datetime.now(UTC))
    payload = json.dumps(document | {"version": version} | changes).encode()
    return sign_envelope(POLICY_TYPE, payload, organisation.policy_signer())
