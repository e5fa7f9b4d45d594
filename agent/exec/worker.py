"""One approved command, in its own process: decide again, start, pass on output, leave nothing behind."""

import os
import subprocess
import time
from datetime import UTC, datetime

from agent.exec.approval import Approved, approve_order, command_environment
from agent.exec.book import CommandBook
from agent.exec.lifetime import Cause
from agent.exec.limits import CommandLimits
from agent.exec.messages import (
    DETAIL_LIMIT_CHARS,
    ExecEnded,
    ExecRefused,
    ExecVerified,
    Go,
    RunOrder,
)
from agent.exec.program_place import settled_program
from agent.exec.running import Program, RunningCommand
from agent.exec.service_link import ServiceLink
from protocol.errors import ErrorCode, PeerViolation, SupportError
from protocol.ids import RequestId
from protocol.limits import COMMAND_OUTPUT_LIMIT_BYTES, COMMAND_TIMEOUT_LIMIT_S
from protocol.names import shown_text

ORDER_TIMEOUT_S = 20.0
FLUSH_TIMEOUT_S = 30.0
ENDED_BY_US = -1
SIGNAL_STATUS_BASE = 128  # the shells' convention for "ended by signal n"
LIMITS = CommandLimits()


def serve(read_fd: int, write_fd: int, book: CommandBook) -> None:
    """One order, from the service's pipe to the last message on the other one; below `guardian.guarded`.

    `book` knows whether a newer policy was seen and whether the request was begun before.
    """
    link = ServiceLink(read_fd, write_fd)
    try:
        program = _permitted(link, book)
    except SupportError as exc:
        link.send(ExecRefused(exc.code, shown_text(exc.detail, DETAIL_LIMIT_CHARS)))
    else:
        link.send(_run(program, link))
    link.flush(FLUSH_TIMEOUT_S)


def _permitted(link: ServiceLink, book: CommandBook) -> Program:
    link.check_peer()
    order = link.receive(ORDER_TIMEOUT_S)
    if not isinstance(order, RunOrder):
        raise PeerViolation("an order was expected")
    approved = approve_order(order, datetime.now(UTC))
    book.raise_floor(approved.policy)
    link.send(ExecVerified(approved.argv))
    if not isinstance(link.receive(ORDER_TIMEOUT_S), Go):
        raise PeerViolation("the word to go was expected")
    program = _program(approved)
    book.begin(RequestId(order.request.request_id))
    return program


def _program(approved: Approved) -> Program:
    entry = approved.entry
    return Program(
        executable=settled_program(approved.argv[0]),
        argv=approved.argv,
        environment=command_environment(approved.argv, os.getuid()),
        timeout_s=min(entry.timeout_s, COMMAND_TIMEOUT_LIMIT_S),
        output_limit_bytes=min(entry.output_limit_bytes, COMMAND_OUTPUT_LIMIT_BYTES),
        limits=LIMITS,
    )


def _run(program: Program, link: ServiceLink) -> ExecEnded:
    try:
        running = RunningCommand(program, link)
    except FileNotFoundError:
        return ExecEnded(ENDED_BY_US, False, 0.0, ErrorCode.E_COMMAND_MISSING)
    except (OSError, subprocess.SubprocessError):  # the latter: a limit could not be set
        return ExecEnded(ENDED_BY_US, False, 0.0, ErrorCode.E_COMMAND_FAILED)
    running.run()
    took_s = time.monotonic() - running.started_s
    return _ended(running, took_s)


def _ended(running: RunningCommand, took_s: float) -> ExecEnded:
    cause, returned = running.lifetime.cause, running.process.returncode
    if cause is Cause.EXITED and returned is not None:
        status = returned if returned >= 0 else SIGNAL_STATUS_BASE - returned
        return ExecEnded(status, running.is_truncated, took_s, "")
    return ExecEnded(ENDED_BY_US, running.is_truncated, took_s, _CODES[cause])


_CODES = {
    Cause.EXITED: ErrorCode.E_COMMAND_OUTCOME.value,  # how is not known: somebody else took leave of it
    Cause.TIMED_OUT: ErrorCode.E_COMMAND_TIMEOUT.value,
    Cause.CANCELLED: "",
    Cause.EXCEEDED: ErrorCode.E_COMMAND_LIMIT.value,
    Cause.LOST: ErrorCode.E_COMMAND_OUTCOME.value,
}
