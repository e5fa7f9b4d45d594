"""Other products on the same stage, each with its own viewer."""

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.actors import ActorFailed
from tests.bench.stage import Running, Stage, families, free_port, with_displays
from tests.bench.usage import TcpPort

NOVNC_FOLDER = Path("/usr/share/novnc")
DEBIAN_PACKAGES = (
    "xvfb", "openbox", "chromium", "iproute2", "fonts-dejavu-core",
    "tigervnc-scraping-server", "tigervnc-viewer", "x11vnc", "novnc", "websockify",
)  # fmt: skip
SELKIES_PROGRAM = "SELKIES_PROGRAM"  # environment: its `selkies`, when it is not on the PATH
LISTEN_TIMEOUT_S = 20.0
NOVNC_PAGE = """<!doctype html><title>noVNC</title>
<style>html, body, #screen { margin: 0; width: 100%; height: 100%; overflow: hidden }</style>
<div id="screen"></div>
<script type="module">
import RFB from "./core/rfb.js";
const rfb = new RFB(document.getElementById("screen"), "ws://" + location.host + "/websockify");
rfb.addEventListener("connect", () => rfb.focus());
</script>
"""


def floor(stage: Stage) -> Running:
    """Nothing in between: the source display is the viewer's. What the harness itself adds."""
    alone = Stage(stage.source, stage.source, stage.folder, None, stage.scope)
    return Running("floor", alone, lambda: {"X source": [stage.source.pid]}, None, ())


def tigervnc(stage: Stage) -> Running:
    """x0vncserver, without the wrapper that puts it into the background, and the native viewer."""
    port = free_port()
    words = ["X0tigervnc", "-display", stage.source.display, "-rfbport", str(port), "-localhost"]
    server = stage.start("x0vncserver", [*words, "-SecurityTypes", "None"], stage.source.environment)
    until_listening(port)
    host = stage.shape(port)
    words = ["xtigervncviewer", "-SecurityTypes", "None", "-FullScreen", "-MenuKey=", "-RemoteResize=0"]
    viewer = stage.start("vncviewer", [*words, f"{host}::{port}"], stage.viewer.environment)
    roles = with_displays(stage, families(agent=server, viewer=viewer))
    return Running("tigervnc", stage, roles, TcpPort(port, is_listener=True))


def novnc(stage: Stage) -> Running:
    """x11vnc, websockify and noVNC's library in Chromium, full screen and unscaled."""
    port, web_port = free_port(), free_port()
    words = ["x11vnc", "-display", stage.source.display, "-rfbport", str(port), "-localhost", "-forever"]
    server = stage.start("x11vnc", [*words, "-shared", "-nopw", "-quiet"], stage.source.environment)
    until_listening(port)
    folder = stage.folder / "novnc"
    folder.mkdir()
    for part in ("core", "vendor"):
        (folder / part).symlink_to(NOVNC_FOLDER / part)
    (folder / "index.html").write_text(NOVNC_PAGE)
    words = ["websockify", "--web", str(folder), f"127.0.0.1:{web_port}", f"127.0.0.1:{port}"]
    proxy = stage.start("websockify", words)
    until_listening(web_port)
    host = stage.shape(web_port)
    browser = stage.chromium(f"http://{host}:{web_port}/index.html")
    roles = with_displays(stage, families(agent=server, websockify=proxy, browser=browser))
    return Running("novnc", stage, roles, TcpPort(web_port, is_listener=True))


def selkies(stage: Stage) -> Running:
    """Selkies in WebSocket mode with CPU encoders and no login."""
    program = os.environ.get(SELKIES_PROGRAM) or shutil.which("selkies")
    if not program:
        raise ActorFailed(
            f"no selkies; pip install it in an environment of its own and set {SELKIES_PROGRAM}"
        )
    port = free_port()
    words = [program, "--addr", "127.0.0.1", "--port", str(port), "--mode", "websockets", "--use-cpu", "true"]
    words += ["--enable-basic-auth", "false", "--audio-enabled", "false", "--microphone-enabled", "false"]
    words += ["--gamepad-enabled", "false", "--enable-resize", "false", "--ui-show-sidebar", "false"]
    words += ["--manual-width", "1920", "--manual-height", "1080", "--file-transfers", "none"]
    environment = {**stage.source.environment, "HOME": str(stage.folder)}
    server = stage.start("selkies", words, environment)
    until_listening(port)
    host = stage.shape(port)
    browser = stage.chromium(f"http://{host}:{port}/")
    roles = with_displays(stage, families(agent=server, browser=browser))
    return Running("selkies", stage, roles, TcpPort(port, is_listener=True))


PEERS: dict[str, Callable[[Stage], Running]] = {
    "floor": floor,
    "tigervnc": tigervnc,
    "novnc": novnc,
    "selkies": selkies,
}


def until_listening(port: int) -> None:
    """Wait until somebody accepts connections there.

    Raises:
        ActorFailed: nobody does.
    """
    deadline_s = time.monotonic() + LISTEN_TIMEOUT_S
    while True:
        try:
            with socket.socket() as probe:
                # a failed bind says that it is taken; connecting would make us a client
                probe.bind(("127.0.0.1", port))
        except OSError:
            return
        if time.monotonic() > deadline_s:
            raise ActorFailed(f"nothing listens on port {port}")
        time.sleep(0.05)
