"""Who may have a session on this device: the technician's certificate, and what policy offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.policy_store import PolicyStore, Rules
from protocol.certificates import Role, VerifiedPeer
from protocol.errors import CertificateRefused, ErrorCode
from protocol.grantables import Grantable


@dataclass(frozen=True, slots=True)
class Admitted:
    """A technician who may ask, and for what."""

    peer: VerifiedPeer
    rules: Rules
    offers: frozenset[Grantable]


def admit(chain: Sequence[bytes], policies: PolicyStore, *, group: str, now: datetime) -> Admitted:
    """Check chain, role, lifetime, status and scope. Nothing is shown to the person before this returned.

    Raises:
        CertificateRefused: E_CERT_*. DocumentRefused: no policy or status list holds.
    """
    policies.trust.require_fresh(now)
    rules = policies.rules(group, Role.TECHNICIAN.value, now)
    peer = policies.trust.verify(
        chain, roles={Role.TECHNICIAN}, now=now, lifetime_limit=rules.technician_lifetime_limit
    )
    if not peer.scope.covers_group(group):
        raise CertificateRefused(f"{peer.subject_id} does not cover {group!r}", code=ErrorCode.E_CERT_SCOPE)
    offers = frozenset(grantable for grantable in rules.grantables if peer.scope.covers(grantable))
    return Admitted(peer, rules, offers)
