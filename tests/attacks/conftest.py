"""Fixtures of the desktop process, for the attacks on it."""

from tests.agent.conftest import desktop, display, person

__all__ = ["desktop", "display", "person"]
