"""The technician's own audit records of one command."""

from protocol.audit import AuditKind
from protocol.messages.commands import CommandEnded, CommandRefused, CommandStarted, FromAgent
from technician_client.session_audit import SessionAudit


class CommandAudit:
    """Notes what was asked for and how it went; never the output, never the values."""

    def __init__(self, audit: SessionAudit, command_id: str, request_id: str) -> None:
        self._audit = audit
        self._command: dict[str, str | int] = {"command_id": command_id, "request_id": request_id}

    def requested(self) -> None:
        """About to be sent."""
        self._audit.note(AuditKind.COMMAND_REQUESTED, succeeded=True, **self._command)

    def lost(self) -> None:
        """The session ended before the agent said how it ended, or that it was refused."""
        self._audit.note(AuditKind.COMMAND_UNKNOWN, succeeded=False, **self._command)

    def message(self, message: FromAgent) -> None:
        """What the agent says of it; call before the person sees it."""
        match message:
            case CommandStarted():
                self._audit.note(AuditKind.COMMAND_STARTED, succeeded=True, **self._command)
            case CommandEnded(_, exit_status, _, _, code):
                self._audit.note(
                    AuditKind.COMMAND_ENDED,
                    succeeded=exit_status == 0 and not code,
                    **self._command,
                    exit_status=exit_status,
                    code=code,
                )
            case CommandRefused(_, code, _):
                self.refused(code)

    def refused(self, code: str) -> None:
        """Not run, by the agent's refusal or ours."""
        self._audit.note(AuditKind.COMMAND_REFUSED, succeeded=False, **self._command, code=code)
