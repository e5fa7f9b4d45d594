"""Logs: event names with fields, on standard error. Never a payload, never a secret."""

import asyncio
import logging
import ssl
import sys
from typing import Any

import structlog

from protocol.log_text import plain_values

_LOG = structlog.get_logger()
# an open port meets these all day; they are the other side's business
_OTHER_SIDE_FAULTS = (OSError, ssl.SSLError, TimeoutError)


class _LibraryHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _LOG.warning("library.message", logger=record.name, text=record.getMessage()[:300])


def set_up_logs() -> None:
    """Once a process, before anything is logged."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            plain_values,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(
                key_order=["at", "level", "event"], bool_as_flag=False, drop_missing=True
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(handlers=[_LibraryHandler()], level=logging.WARNING, force=True)


def log_loop_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's exception handler."""
    exc = context.get("exception")
    if isinstance(exc, _OTHER_SIDE_FAULTS):
        _LOG.info("connection.failed", reason=type(exc).__name__)
    else:
        _LOG.error("loop.fault", text=str(context.get("message"))[:300], exc_info=exc)
