"""A technician without our organisation: only by support code, only here, and never for much."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from agent.admission import Admitted
from agent.policy_store import Rules
from protocol.certificates import VISITOR_LIFETIME, Role, verify_visitor
from protocol.errors import CertificateRefused, ErrorCode
from protocol.grantables import Grantable
from protocol.policy import Consent

# no commands: nothing that an organisation signed stands behind this technician (THREATS.md 6.2)
VISITOR_GRANTABLES: Final = frozenset(
    {Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL, Grantable.DIAGNOSTICS_READ}
)


def admit_visitor(chain: Sequence[bytes], *, now: datetime) -> Admitted:
    """Let a technician in of whom nothing is proved; the person is always asked, and told so.

    Raises:
        CertificateRefused: E_CERT_*.
    """
    peer = verify_visitor(chain, role=Role.TECHNICIAN, now=now)
    rules = Rules(Consent.ASK, VISITOR_GRANTABLES, VISITOR_LIFETIME, None)
    return Admitted(peer, rules, VISITOR_GRANTABLES)


def still_admitted(admitted: Admitted, now: datetime) -> Admitted:
    """The same visitor at a later ask.

    Raises:
        CertificateRefused: E_CODE_EXPIRED, the visit has lasted long enough; it takes a new code.
    """
    if now - admitted.peer.not_after > timedelta(0):
        raise CertificateRefused("the visit is over", code=ErrorCode.E_CODE_EXPIRED)
    return admitted
