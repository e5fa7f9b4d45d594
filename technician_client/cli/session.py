"""`alongside connect` and `alongside console`: the page for devices, sessions and the screen."""

import asyncio
import os
import sys
import webbrowser
from dataclasses import dataclass, field
from typing import Annotated, Final

import typer

from protocol.errors import ErrorCode, UsageError, error_text
from technician_client.cli.asking import app_for, code_or_device
from technician_client.cli.options import (
    DataOption,
    DeviceOrCodeArgument,
    JsonOption,
    VisitRelayCaOption,
    VisitRelayOption,
)
from technician_client.cli.output import Output
from technician_client.cli.running import run_async
from technician_client.config import TechnicianConfig, load_config
from technician_client.relay_address import RelayAddress

NoBrowserOption = Annotated[
    bool, typer.Option("--no-browser", help="Only print the address; do not open a browser.")
]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
]


NO_VISIT: Final = RelayAddress("")


@dataclass(frozen=True, slots=True)
class ConsoleWish:
    """How the console is to be opened."""

    device: str = field(default="", repr=False)  # may be a support code
    is_kiosk: bool = False
    has_browser: bool = True
    port: int = 0
    visit: RelayAddress = NO_VISIT


def connect(
    device: DeviceOrCodeArgument,
    data: DataOption = None,
    is_json: JsonOption = False,
    no_browser: NoBrowserOption = False,
    port: PortOption = 0,
    relay: VisitRelayOption = "",
    relay_ca: VisitRelayCaOption = None,
) -> None:
    """Open the console with a session to the device. The person is asked before anything is shown."""
    visit = RelayAddress(relay, tls_ca=str(relay_ca or ""))
    wish = ConsoleWish(code_or_device(device), has_browser=not no_browser, port=port, visit=visit)
    run_async(serve_console(load_config(data), wish, Output(is_json=is_json)))


def console(
    data: DataOption = None,
    is_json: JsonOption = False,
    no_browser: NoBrowserOption = False,
    port: PortOption = 0,
    device: Annotated[
        str, typer.Option("--connect", metavar="DEVICE", help="Start a session with this device.")
    ] = "",
    kiosk: Annotated[
        bool, typer.Option("--kiosk", help="Show only the screen, 1:1. Needs --connect.")
    ] = False,
) -> None:
    """Serve the console on 127.0.0.1 until interrupted; with --json its first line is {"url": ...}.

    The address works once. The technician's key stays in this process and never reaches the page.
    """
    if kiosk and not device:
        raise UsageError("--kiosk needs --connect DEVICE")
    wish = ConsoleWish(device=device, is_kiosk=kiosk, has_browser=not no_browser, port=port)
    run_async(serve_console(load_config(data), wish, Output(is_json=is_json)))


async def serve_console(config: TechnicianConfig, wish: ConsoleWish, output: Output) -> None:
    """Serve until cancelled.

    Raises:
        SupportError: no identity; the device is not known (only with a device is the relay needed).
    """
    # the console is imported where it is used: every other command starts without it
    from technician_client.console.server import ConsoleOptions, run_console

    opening: set[asyncio.Task[None]] = set()

    def ready(url: str) -> None:
        if output.is_json:
            output.line({"url": url})
        else:
            output.remark(f"The console is at {url}\nThis address works once. Ctrl-C ends the console.")
        if wish.has_browser:
            opening.add(asyncio.create_task(_open_browser(url, output)))

    async with app_for(config, wish.device, wish.visit) as app:
        device_id = ""
        if wish.device:
            with output.working("Looking for the device …"):
                device_id = await app.reach_for_console(wish.device)
        await run_console(app, ConsoleOptions(wish.port, device_id, wish.is_kiosk, ready))


async def _open_browser(url: str, output: Output) -> None:
    if not await asyncio.to_thread(_browser_opened, url):
        sentence, remedy = error_text(ErrorCode.E_BROWSER_NONE)
        output.remark(f"{sentence} {remedy}\n  {url}\n  Code: {ErrorCode.E_BROWSER_NONE}")


def _browser_opened(url: str) -> bool:
    # without a display the standard library would start a text browser in this terminal
    if sys.platform == "linux" and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        return False
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
