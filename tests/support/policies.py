"""Signed policies for tests."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from protocol.envelope import sign_envelope
from protocol.policy import POLICY_TYPE, default_policy
from tests.support.organisation import Organisation


def signed_policy(organisation: Organisation, **changed: Any) -> bytes:
    """The default policy with these members changed, in its envelope."""
    document = default_policy(organisation.organisation_id, now=datetime.now(UTC)) | changed
    return sign_envelope(POLICY_TYPE, msgspec.json.encode(document), organisation.policy_signer())
