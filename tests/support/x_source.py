"""The X11 source with the ways of reading pixels that a test wants, instead of the first that works."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from agent.platform.x11.bindings import load_bindings
from agent.platform.x11.connection import connect
from agent.platform.x11.readers import SHARED_WAYS, SharedWay, open_reader
from agent.platform.x11.screen import X11Screen


@contextmanager
def opened_by(display: str, ways: Sequence[SharedWay] = SHARED_WAYS) -> Iterator[X11Screen]:
    """Open, and closed at the end; GetImage comes after `ways`."""
    desk = connect(load_bindings(), display)
    source = X11Screen(desk, open_reader(desk, ways))
    try:
        yield source
    finally:
        source.close()
