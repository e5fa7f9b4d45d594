"""Fixtures that several tests of the desktop process share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desktop_person import SLEEPER
from tests.support.desktop_service import DesktopProcess
from tests.support.x_display import x_display
from tests.support.x_person import XPerson


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with x_display(has_window_manager=True) as name:
        yield name


@pytest.fixture
def desktop(display: str, tmp_path: Path) -> Iterator[DesktopProcess]:
    process = DesktopProcess(tmp_path, display, SLEEPER)
    yield process
    if process.child.poll() is None:
        assert process.close() == 0


@pytest.fixture
def person(display: str) -> Iterator[XPerson]:
    someone = XPerson(display)
    yield someone
    someone.close()
