"""What an agent that starts says of the commands that the run before it left open: nobody repeats them."""

from agent.exec.book import CommandBook
from agent.session_audit import SessionAudit
from protocol.audit import AuditKind


def settle_open_requests(book: CommandBook, audit: SessionAudit) -> None:
    """Close every request that was under way when the agent died; one record each.

    `outcome` is "unknown" when its program may have run, "not_run" when it provably did not and never will.

    Raises:
        EnvironmentFault: E_DATA_DISK, the book cannot be read; then no command may run.
    """
    for request in book.settle():
        audit.note(
            AuditKind.COMMAND_UNKNOWN,
            {
                "request_id": request.request_id,
                "command_id": request.command_id,
                "outcome": request.state.value,
            },
            succeeded=False,
            actor=request.technician_id,
        )
