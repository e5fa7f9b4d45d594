"""The real worker in a real Wayland session: pixelflux captures and encodes, a viewer decodes video."""

import json
import select
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from agent.capabilities.screen.worker import masked
from agent.desktop.ipc_messages import TO_WORKER_CODEC, CoverWindows
from agent.platform.wayland.outputs import OutputWatch, socket_path
from agent.platform.wayland.screen import check_wayland_screen, open_wayland_screen
from protocol.errors import BackendUnavailable, ErrorCode
from protocol.messages.screen import (
    CursorShape,
    Decodes,
    Displays,
    KeyframeWanted,
    Refresh,
    ScreenFailed,
    ShowDisplay,
)
from protocol.private_windows import PrivateWindow
from tests.support.sway import Sway, start_sway
from tests.support.video_viewer import ALL_CODECS, VideoViewer
from tests.support.window_watch import FakeWatch
from tests.support.worker_host import WorkerHost, screen_worker

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(find_spec("pixelflux") is None, reason="install it with: pip install pixelflux"),
]

ORANGE, BLUE = (255, 128, 0), (0, 64, 255)
TOLERANCE = 12
"""Of each colour, after conversion to 4:2:0 and a lossy codec."""


def watch_with(host: WorkerHost, codecs: list[str]) -> None:
    host.viewer = VideoViewer(codecs)
    host.send(Decodes(codecs))


def is_shown(host: WorkerHost, colour: tuple[int, int, int], size: tuple[int, int] = (640, 480)) -> bool:
    canvas = host.viewer.canvas
    if canvas.shape != (size[1], size[0], 4):
        return False
    # away from the cursor, which may rest in the middle or in a corner
    sample = canvas[20:60, 60:200, :3].astype(int)
    return bool(np.all(np.abs(sample - colour) <= TOLERANCE))


@pytest.mark.parametrize("codecs", [ALL_CODECS, ["vp8"], ["vp09.00.51.08"]], ids=lambda codecs: codecs[0])
def test_a_wayland_session_is_shown_in_the_codec_that_the_viewer_decodes(codecs):
    with start_sway() as sway, screen_worker(sway.environment) as host:
        with sway.background("ff8000"):
            watch_with(host, codecs)
            assert host.run_until(lambda: is_shown(host, ORANGE))
        with sway.background("0040ff"):
            assert host.run_until(lambda: is_shown(host, BLUE))
        assert {frame.codec for frame in host.viewer.video.frames} == {codecs[0]}
        (displays,) = [message for _, message in host.messages if isinstance(message, Displays)]
        assert displays.source == "pixelflux"
        assert [(one.width, one.height) for one in displays.displays] == [(640, 480)]
        assert not any(isinstance(message, CursorShape) for _, message in host.messages)


def test_a_monitor_s_mode_is_never_changed_by_being_looked_at_and_a_new_one_is_followed():
    with start_sway() as sway, sway.background("ff8000"), screen_worker(sway.environment) as host:
        watch_with(host, ALL_CODECS)
        assert host.run_until(lambda: is_shown(host, ORANGE))
        assert mode_of(sway) == (640, 480)
        sway.say("output HEADLESS-1 resolution 800x600")
        assert host.run_until(lambda: is_shown(host, ORANGE, (800, 600)))
        host.run(1.0)
        assert mode_of(sway) == (800, 600)
        assert [(one.width, one.height) for one in host.viewer.displays.displays] == [(800, 600)]


def test_a_refresh_and_a_lost_decoder_get_a_keyframe():
    with start_sway() as sway, sway.background("ff8000"), screen_worker(sway.environment) as host:
        watch_with(host, ALL_CODECS)
        assert host.run_until(lambda: is_shown(host, ORANGE))
        # pictures that were sent before the refresh are not for the new viewer
        host.run(3.0)
        host.viewer = VideoViewer(ALL_CODECS)
        host.send(Refresh())
        assert host.run_until(lambda: is_shown(host, ORANGE))
        keys = sum(frame.is_key for frame in host.viewer.video.frames)
        host.run(1.0)
        host.send(KeyframeWanted(host.viewer.video.frames[-1].region_no))
        assert host.run_until(lambda: sum(frame.is_key for frame in host.viewer.video.frames) > keys)


def test_a_still_wayland_session_costs_no_bytes():
    with start_sway() as sway, sway.background("ff8000"), screen_worker(sway.environment) as host:
        watch_with(host, ALL_CODECS)
        assert host.run_until(lambda: is_shown(host, ORANGE))
        host.run(3.0)
        before = host.received_bytes
        host.run(2.0)
        assert host.received_bytes == before


def test_the_second_of_two_monitors_is_shown_when_it_is_asked_for():
    with start_sway(outputs=2) as sway, screen_worker(sway.environment) as host:
        sway.say("output HEADLESS-2 resolution 400x300")
        with sway.background("ff8000"):
            watch_with(host, ALL_CODECS)
            assert host.run_until(lambda: is_shown(host, ORANGE))
            assert host.run_until(lambda: len(host.viewer.displays.displays) == 2)
            host.send(ShowDisplay(1))
            assert host.run_until(lambda: is_shown(host, ORANGE, (400, 300)))
            host.send(ShowDisplay(0))
            assert host.run_until(lambda: is_shown(host, ORANGE))


def test_a_viewer_without_a_codec_is_told_and_the_reason_is_kept():
    with start_sway() as sway, screen_worker(sway.environment) as host:
        host.send(Decodes(["av01.0.08M.08"]))
        assert host.run_until(lambda: any(isinstance(one, ScreenFailed) for _, one in host.messages))
        assert "the viewer decodes none of: avc1.42E033, vp8, vp09.00.51.08" in host.wait()
        assert host.process.returncode == 7


def test_a_list_of_private_windows_ends_a_wayland_screen_also_in_mid_session_and_an_empty_one_does_not():
    with start_sway() as sway, sway.background("ff8000"), screen_worker(sway.environment) as host:
        watch_with(host, ALL_CODECS)
        host.link.send(TO_WORKER_CODEC.encode(CoverWindows([])))
        assert host.run_until(lambda: is_shown(host, ORANGE))
        host.link.send(TO_WORKER_CODEC.encode(CoverWindows([PrivateWindow(window_class="Vault")])))
        assert host.run_until(lambda: any(isinstance(one, ScreenFailed) for _, one in host.messages))
        failed = [one for _, one in host.messages if isinstance(one, ScreenFailed)]
        assert [one.code for one in failed] == [ErrorCode.E_SCREEN_PRIVATE]
        assert "E_SCREEN_PRIVATE" in host.wait()


def test_even_where_windows_can_be_told_apart_none_is_covered_in_what_is_encoded_and_so_nothing_is_shown(
    monkeypatch,
):
    # opening sets it for the rest of the process
    monkeypatch.setenv("XDG_STATE_HOME", "/nowhere")
    with start_sway() as sway:
        watch = FakeWatch()
        source = open_wayland_screen(sway.display, sway.runtime_folder)
        with pytest.raises(BackendUnavailable, match="encoded already") as refused:
            masked(source, watch, [PrivateWindow(window_class="Vault")])
        assert refused.value.code is ErrorCode.E_SCREEN_PRIVATE
        assert not Path(f"/proc/self/fd/{source.wake_fd}").exists()


def test_a_compositor_that_ends_is_a_lost_screen():
    with start_sway() as sway, screen_worker(sway.environment) as host:
        with sway.background("ff8000"):
            watch_with(host, ALL_CODECS)
            assert host.run_until(lambda: is_shown(host, ORANGE))
        sway.end()
        assert host.run_until(lambda: any(isinstance(one, ScreenFailed) for _, one in host.messages))
        assert "Wayland compositor" in host.wait()
        assert host.process.returncode == 7


def test_outputs_are_read_with_names_sizes_and_scale_and_changes_are_noticed():
    with start_sway(outputs=2) as sway:
        sway.say("output HEADLESS-2 resolution 400x300 position 640 0 scale 2")
        watch = OutputWatch(socket_path(sway.display, sway.runtime_folder))
        try:
            # wlroots tells places by another protocol, and 0, 0 for each output by this one
            found = {one.name: (one.area.width, one.area.height, one.scale) for one in watch.displays()}
            assert found == {"HEADLESS-1": (640, 480, 1.0), "HEADLESS-2": (400, 300, 2.0)}
            assert not watch.changed()
            sway.say("output HEADLESS-2 transform 90")
            assert host_sees(watch, {"HEADLESS-1": (640, 480), "HEADLESS-2": (300, 400)})
            sway.say("create_output")
            sway.say("output HEADLESS-3 resolution 800x600")
            assert host_sees(
                watch, {"HEADLESS-1": (640, 480), "HEADLESS-2": (300, 400), "HEADLESS-3": (800, 600)}
            )
        finally:
            watch.close()
            watch.close()


def test_the_doctor_s_check_names_the_outputs_and_asks_nobody():
    with start_sway() as sway:
        said = check_wayland_screen(sway.display, sway.runtime_folder)
        assert said == "Wayland, encoded by pixelflux; HEADLESS-1 640x480"
        with pytest.raises(BackendUnavailable) as refused:
            check_wayland_screen("wayland-77", sway.runtime_folder)
        assert "start the agent inside the person's session" in refused.value.detail


def host_sees(watch: OutputWatch, sizes: dict[str, tuple[int, int]]) -> bool:
    for _ in range(20):
        select.select([watch], [], [], 0.2)
        watch.changed()
        if {one.name: (one.area.width, one.area.height) for one in watch.displays()} == sizes:
            return True
    return False


def mode_of(sway: Sway) -> tuple[int, int]:
    (output,) = json.loads(sway.say("--type", "get_outputs"))
    return output["current_mode"]["width"], output["current_mode"]["height"]
