"""Runs one command's coroutine, with our logs out of the way of its output."""

import asyncio
import logging
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end. Logs go to standard error, warnings and above only."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return asyncio.run(work)
