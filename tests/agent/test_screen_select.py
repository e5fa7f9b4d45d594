"""Which screen source is tried where, and that the reasons are kept."""

import subprocess
import sys

import numpy as np
import pytest

from agent.platform.select import (
    Candidate,
    doctor_reports,
    input_reports,
    open_first,
    screen_candidates,
    session_kind,
)
from agent.platform.x11.connection import xwayland_sign
from agent.platform.x11.cursor import straight_rgba
from agent.platform.x11.screen import eight_bit, open_x11_screen
from protocol.errors import BackendUnavailable, UsageError
from tests.support.screen_source import FakeScreen
from tests.support.xvfb import xvfb

__all__ = ["xvfb"]


def refusing(name: str, reason: str) -> Candidate:
    def refuse():
        raise BackendUnavailable(reason)

    return Candidate(name, refuse)


@pytest.mark.parametrize(
    ("platform", "environment", "kind"),
    [
        ("linux", {"DISPLAY": ":0"}, "x11"),
        ("linux", {"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}, "wayland"),
        ("linux", {}, "headless"),
        ("win32", {}, "windows"),
        ("darwin", {"DISPLAY": ":0"}, "macos"),
    ],
)
def test_the_kind_of_session_is_read_from(platform, environment, kind):
    assert session_kind(platform, environment) == kind


def test_the_second_source_is_used_where_the_first_says_why_it_cannot_work():
    screen = FakeScreen()
    opened = open_first([refusing("xcffib", "no DAMAGE"), Candidate("mss", lambda: screen)], "auto")
    assert opened.source is screen
    assert opened.reasons == ("xcffib: no DAMAGE",)
    screen.close()


def test_a_wanted_source_is_the_only_one_that_is_tried():
    with pytest.raises(BackendUnavailable) as refused:
        open_first([Candidate("xcffib", FakeScreen), refusing("mss", "not here")], "mss")
    assert refused.value.detail == "mss: not here"


def test_when_none_works_each_one_s_reason_is_said():
    with pytest.raises(BackendUnavailable) as refused:
        open_first([refusing("xcffib", "no DAMAGE"), refusing("mss", "not here")], "auto")
    assert refused.value.detail == "xcffib: no DAMAGE; mss: not here"


def test_without_a_session_the_missing_display_is_named():
    with pytest.raises(BackendUnavailable) as refused:
        open_first(screen_candidates("headless", {}), "auto")
    assert "DISPLAY is not set" in refused.value.detail


def test_an_unknown_source_is_the_caller_s_mistake():
    with pytest.raises(UsageError):
        open_first([], "telepathy")


def test_an_empty_display_is_refused_before_a_library_is_loaded():
    with pytest.raises(BackendUnavailable):
        open_x11_screen("")


@pytest.mark.parametrize(
    ("extensions", "outputs", "is_xwayland"),
    [
        ({"DAMAGE", "XWAYLAND"}, [], True),
        ({"DAMAGE"}, ["XWAYLAND0"], True),
        ({"DAMAGE"}, ["HDMI-1", "eDP-1"], False),
    ],
)
def test_xwayland_is_known_by_its_extension_or_its_outputs(extensions, outputs, is_xwayland):
    assert bool(xwayland_sign(extensions, outputs)) == is_xwayland


def test_a_cursor_is_no_longer_premultiplied():
    half_red = bytes([0, 0, 128, 128])
    opaque_blue = bytes([255, 0, 0, 255])
    nothing = bytes(4)
    assert straight_rgba(half_red + opaque_blue + nothing, 3, 1) == bytes(
        [255, 0, 0, 128, 0, 0, 255, 255, 0, 0, 0, 0]
    )


@pytest.mark.parametrize("may_write", [True, False])
def test_ten_bit_colours_keep_their_eight_highest_bits(may_write):
    words = np.random.default_rng(1).integers(0, 1 << 30, (77, 33), np.uint32)
    words[0, :4] = (0, 0x3FFFFFFF, 0x3FF00000, 3)
    given = words.copy().view(np.uint8).reshape(77, 33, 4)
    given.flags.writeable = may_write
    cut = eight_bit(given)
    assert [tuple(pixel) for pixel in cut[0, :4, :3]] == [(0, 0, 0), (255, 255, 255), (0, 0, 255), (0, 0, 0)]
    assert np.array_equal(cut[..., :3], np.stack([words >> shift & 0xFF for shift in (2, 12, 22)], axis=-1))
    assert may_write or np.array_equal(given.view(np.uint32)[..., 0], words)


@pytest.mark.real
def test_the_doctor_names_each_source_and_input_on_a_real_display(xvfb):
    reports = {name: (is_ok, text) for name, is_ok, text in [*doctor_reports(), *input_reports()]}
    assert reports["screen by xcffib"] == (True, "X11, MIT-SHM by file descriptor; screen 1280x800")
    assert reports["screen by mss"][0]
    assert reports["input by xtest"][0]


def test_the_doctor_says_what_is_missing_without_a_display(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":54321")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    reports = [*doctor_reports(), *input_reports()]
    failed = {name for name, is_ok, text in reports if not is_ok and text}
    assert failed == {"screen by xcffib", "screen by mss", "input by xtest"}


@pytest.mark.real
def test_the_platform_modules_load_without_any_capture_library():
    blocked = ["numpy", "mss", "xcffib", "zstandard"]
    program = (
        f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
        "import agent.platform.select, agent.capabilities.screen.worker\n"
        "try: agent.platform.select.open_screen()\n"
        "except Exception as exc: print(type(exc).__name__, exc)\n"
    )
    environment = {"DISPLAY": ":54321", "PATH": "/usr/bin"}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=True)
    said = ran.stdout.decode()
    assert said.startswith("BackendUnavailable")
    assert "xcffib cannot be loaded" in said
    assert "mss cannot be loaded" in said
