"""Codes that came over a wire, as the errors they stand for."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from protocol.errors import ErrorCode, PeerViolation, Refused, SupportError
from protocol.limits import BLOCK_LENGTH_S, PAUSE_LENGTH_S
from protocol.messages.session import EndSession

WAIT_LIMIT_S = max(PAUSE_LENGTH_S, BLOCK_LENGTH_S)
_WHAT_LASTS: Mapping[str, str] = {
    ErrorCode.E_CONSENT_PAUSED: "paused",
    ErrorCode.E_READBACK_BLOCKED: "blocked",
    ErrorCode.E_READBACK_MISMATCH: "blocked",
}


TOLD_UNTIL = frozenset(_WHAT_LASTS)
"""For these a person may read the detail: it says until when."""


def refusal(code: str, detail: str = "") -> SupportError:
    """The error for a code that the relay or the agent sent; an unknown one is a violation."""
    try:
        return Refused(detail, code=ErrorCode(code))
    except ValueError:
        return PeerViolation(f"unknown code {code[:40]!r}")


def said_goodbye(goodbye: EndSession) -> SupportError:
    """The error that the agent's `session.end` stands for."""
    return refusal(goodbye.cause, goodbye_detail(goodbye))


def goodbye_detail(goodbye: EndSession) -> str:
    """What the agent says beside the cause: until when that holds, by this computer's clock; else ""."""
    what = _WHAT_LASTS.get(goodbye.cause)
    if what is None or goodbye.wait_s <= 0:
        return ""
    ends = datetime.now().astimezone() + timedelta(seconds=min(goodbye.wait_s, WAIT_LIMIT_S))
    return f"{what} by the person until {ends:%H:%M}"
