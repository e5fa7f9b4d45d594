"""Every exception this project raises on purpose, with its permanent code, sentence and remedy.

Codes cross the wire, reach logs, audit records and exit statuses. A code is never renamed and never
reused; PROTOCOL.md lists each one and a test compares both lists.
"""

from enum import IntEnum
from typing import NamedTuple

from protocol.error_codes import ERROR_TEXTS
from protocol.error_codes import ErrorCode as ErrorCode


class ExitStatus(IntEnum):
    """What a command of ours returns to its shell (PROTOCOL.md, "Exit statuses")."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    TRUST = 5
    ENVIRONMENT = 6
    REMOTE_FAILED = 7


class ErrorText(NamedTuple):
    """What happened, and what to do next, in plain words for a person."""

    sentence: str
    remedy: str


class SupportError(Exception):
    """Root of the tree; catching it never hides a programming mistake.

    `code` is safe to send to the peer. `str(exc)` is for our own log and may hold paths or host
    names, so it is never put in a message.
    """

    default_code = ErrorCode.E_INTERNAL

    def __init__(self, detail: str = "", *, code: ErrorCode | None = None) -> None:
        self.code = code or self.default_code
        self.detail = detail
        super().__init__(f"{self.code}: {detail}" if detail else str(self.code))

    @property
    def text(self) -> ErrorText:
        """The registry's sentence and remedy for this code."""
        return error_text(self.code)


class PeerViolation(SupportError):
    """The other side broke the protocol; the session ends."""

    default_code = ErrorCode.E_PROTOCOL


class WrongState(SupportError):
    """Our own caller asked for something the current state does not allow."""

    default_code = ErrorCode.E_STATE


class Refused(SupportError):
    """A rule said no: consent, grant, policy, ticket, rate. `code` says which."""

    default_code = ErrorCode.E_GRANT_NONE


class NotGranted(Refused):
    """A capability was used without its grant."""

    default_code = ErrorCode.E_GRANT_NONE


class CertificateRefused(SupportError):
    """A certificate or a chain is not what it has to be; `code` names the rule."""

    default_code = ErrorCode.E_CERT_CHAIN


class DocumentRefused(SupportError):
    """A signed document (policy, catalogue, join token, sealed grant) is not acceptable."""

    default_code = ErrorCode.E_POLICY_SIGNATURE


class Unreachable(SupportError):
    """A relay or a peer cannot be reached, or went away; trying again later may help."""

    default_code = ErrorCode.E_RELAY_UNREACHABLE


class BackendUnavailable(SupportError):
    """This back end cannot work here; the detail says what would fix it."""

    default_code = ErrorCode.E_SCREEN_NONE


class EnvironmentFault(SupportError):
    """The machine we run on stands in the way: disk, port, permission, missing program."""

    default_code = ErrorCode.E_DATA_DISK


class UsageError(SupportError):
    """The person's words at the command line or in a setting cannot be followed."""

    default_code = ErrorCode.E_USAGE


def error_text(code: str) -> ErrorText:
    """Sentence and remedy of a code; a code of a newer peer gets a general sentence."""
    try:
        sentence, remedy, _ = ERROR_TEXTS[ErrorCode(code)]
    except ValueError:
        return ErrorText(f"The other side refused ({code[:40]}).", "Update this program, then try again.")
    return ErrorText(sentence, remedy)


def exit_status(code: str) -> ExitStatus:
    """The exit status that a command ends with for this code."""
    try:
        return ExitStatus(ERROR_TEXTS[ErrorCode(code)][2])
    except ValueError:
        return ExitStatus.REFUSED
