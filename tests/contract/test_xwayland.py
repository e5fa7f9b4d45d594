"""Xwayland is refused by every source that reads X11: it has windows of X programs only, and no desktop."""

from collections.abc import Iterator

import pytest

from agent.platform.select import doctor_reports, open_screen
from protocol.errors import BackendUnavailable
from tests.support.xvfb import Xvfb
from tests.support.xwayland import start_xwayland

pytestmark = pytest.mark.real


@pytest.fixture(params=[("-rootless",), ()], ids=["rootless", "in a window"])
def xwayland(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Xvfb]:
    """As compositors run it, and as one window that looks like a desktop."""
    with start_xwayland(*request.param) as server:
        monkeypatch.setenv("DISPLAY", server.display)
        # as for a program that was started without the session's whole environment
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        yield server


@pytest.mark.parametrize("source", ["xcffib", "mss"])
def test_a_real_xwayland_is_refused_with_the_sign_and_the_remedy(xwayland, source):
    with pytest.raises(BackendUnavailable) as refused:
        open_screen(source)
    assert refused.value.detail.startswith(f"{source}: DISPLAY {xwayland.display!r} is Xwayland (")
    assert "log in to an X11 (Xorg) session" in refused.value.detail


def test_nothing_is_shown_instead_of_the_desktop(xwayland):
    with pytest.raises(BackendUnavailable) as refused:
        open_screen()
    assert refused.value.detail.count("is Xwayland") == 2


def test_the_doctor_says_it_too(xwayland):
    reports = {name: (is_ok, text) for name, is_ok, text in doctor_reports()}
    for name in ("screen by xcffib", "screen by mss"):
        is_ok, text = reports[name]
        assert not is_ok
        assert "is Xwayland" in text
