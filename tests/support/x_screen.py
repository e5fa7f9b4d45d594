"""Reading a whole X screen as a viewer should have it, and painting a known pattern on it."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import xcffib
import xcffib.xproto as x

PATTERN_SEED = 20261121


@contextmanager
def with_cookie(screen: dict[str, str]) -> Iterator[None]:
    """While it lasts, X libraries in this process find the display's cookie."""
    before = os.environ.get("XAUTHORITY")
    os.environ["XAUTHORITY"] = screen.get("XAUTHORITY", "")
    try:
        yield
    finally:
        del os.environ["XAUTHORITY"]
        if before is not None:
            os.environ["XAUTHORITY"] = before


@contextmanager
def connected(screen: dict[str, str]) -> Iterator[xcffib.Connection]:
    """A connection of our own to this display, with its cookie."""
    with with_cookie(screen):
        connection = xcffib.connect(display=screen["DISPLAY"])
    try:
        yield connection
    finally:
        connection.disconnect()


def screen_rgba(screen: dict[str, str]) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    """Every pixel of the root window, rows by columns by RGBA, alpha 255, without the cursor."""
    with connected(screen) as connection:
        root = connection.get_setup().roots[0]
        width, height = root.width_in_pixels, root.height_in_pixels
        image = connection.core.GetImage(
            x.ImageFormat.ZPixmap, root.root, 0, 0, width, height, 0xFFFFFFFF
        ).reply()
        bgrx = np.frombuffer(image.data.buf(), np.uint8).reshape(height, width, 4)
    rgba = bgrx[:, :, [2, 1, 0, 3]].copy()
    rgba[:, :, 3] = 255
    return rgba


def screen_sha256(screen: dict[str, str]) -> str:
    """SHA-256 of `screen_rgba`, as a page computes it over `getImageData`."""
    return hashlib.sha256(screen_rgba(screen).tobytes()).hexdigest()


@contextmanager
def pattern_window(
    screen: dict[str, str], *, side: int = 320, at: tuple[int, int] = (40, 120)
) -> Iterator[None]:
    """A window of single-colour cells and of noise, that no lossy codec would keep; gone at the end."""
    noise = np.random.default_rng(PATTERN_SEED)
    pixels = noise.integers(0, 256, (side, side, 4), np.uint8)
    pixels[: side // 2] = np.repeat(np.repeat(pixels[: side // 2 : 16, ::16], 16, 0), 16, 1)
    with connected(screen) as connection:
        root = connection.get_setup().roots[0]
        window, graphics = connection.generate_id(), connection.generate_id()
        connection.core.CreateWindow(
            root.root_depth, window, root.root, *at, side, side, 0, x.WindowClass.InputOutput,
            root.root_visual, x.CW.OverrideRedirect, [1],
        )  # fmt: skip
        connection.core.CreateGC(graphics, window, 0, [])
        connection.core.MapWindow(window, is_checked=True).check()
        for top in range(0, side, 16):
            band = pixels[top : top + 16].tobytes()
            connection.core.PutImage(
                x.ImageFormat.ZPixmap, window, graphics, side, 16, 0, top, 0, root.root_depth,
                len(band), band, is_checked=True,
            ).check()  # fmt: skip
        yield
