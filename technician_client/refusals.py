"""Codes that came over a wire, as the errors they stand for."""

from datetime import datetime, timedelta

from protocol.errors import ErrorCode, PeerViolation, Refused, SupportError
from protocol.limits import PAUSE_LENGTH_S
from protocol.messages.session import EndSession


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
    """What the agent says beside the cause: when a pause is over, by this computer's clock; else ""."""
    if goodbye.cause != ErrorCode.E_CONSENT_PAUSED or goodbye.wait_s <= 0:
        return ""
    ends = datetime.now().astimezone() + timedelta(seconds=min(goodbye.wait_s, PAUSE_LENGTH_S))
    return f"paused by the person until {ends:%H:%M}"
