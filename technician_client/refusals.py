"""Codes that came over a wire, as the errors they stand for."""

from protocol.errors import ErrorCode, PeerViolation, Refused, SupportError


def refusal(code: str, detail: str = "") -> SupportError:
    """The error for a code that the relay or the agent sent; an unknown one is a violation."""
    try:
        return Refused(detail, code=ErrorCode(code))
    except ValueError:
        return PeerViolation(f"unknown code {code[:40]!r}")
