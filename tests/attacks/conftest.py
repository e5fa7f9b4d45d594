"""Fixtures of the desktop process and of the console in a browser, for the attacks on them."""

from tests.agent.conftest import desktop, display, person
from tests.technician_client.conftest import browser, desk

__all__ = ["browser", "desk", "desktop", "display", "person"]
