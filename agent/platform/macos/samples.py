"""What a sample of ScreenCaptureKit carries: pixels in a CVPixelBuffer, and which of them changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from agent.platform.interfaces import Area
from protocol.errors import BackendUnavailable

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

READ_ONLY = 1
"""kCVPixelBufferLock_ReadOnly."""
RECTANGLES_LIMIT = 64


def dirty_areas(quartz: Any, said: Any, whole: Area, scale: float) -> list[Area]:
    """What SCStreamFrameInfoDirtyRects says, in pixels of the picture; all of it where that cannot be read.

    A rectangle is a CGRect's dictionary or an NSValue. Apple does not say whether it counts pixels or
    points. Both places are named: too much costs a comparison, too little leaves a viewer with old pixels.
    """
    if not said or len(said) > RECTANGLES_LIMIT:
        return [whole]
    areas: list[Area] = []
    for one in said:
        if hasattr(one, "rectValue"):
            rectangle = one.rectValue()
        else:
            is_read, rectangle = quartz.CGRectMakeWithDictionaryRepresentation(one, None)
            if not is_read:
                return [whole]
        areas += [_outward(rectangle, factor) for factor in {1.0, scale}]
    return [cut for cut in (area.common_with(whole) for area in areas) if cut is not None] or [whole]


def _outward(rectangle: Any, factor: float) -> Area:
    x, y = math.floor(rectangle.origin.x * factor), math.floor(rectangle.origin.y * factor)
    right = math.ceil((rectangle.origin.x + rectangle.size.width) * factor)
    bottom = math.ceil((rectangle.origin.y + rectangle.size.height) * factor)
    return Area(x, y, right - x, bottom - y)


def copied(quartz: Any, image: Any) -> Pixels:
    """A CVPixelBuffer's pixels; its rows may be longer than the picture is wide."""
    import numpy as np

    if quartz.CVPixelBufferLockBaseAddress(image, READ_ONLY) != 0:
        raise BackendUnavailable("macOS does not let a picture be read")
    try:
        width, height = quartz.CVPixelBufferGetWidth(image), quartz.CVPixelBufferGetHeight(image)
        row_bytes = quartz.CVPixelBufferGetBytesPerRow(image)
        raw = quartz.CVPixelBufferGetBaseAddress(image).as_buffer(row_bytes * height)
        rows = np.frombuffer(raw, np.uint8).reshape(height, row_bytes)
        pixels = rows[:, : width * 4].reshape(height, width, 4).copy()
    finally:
        quartz.CVPixelBufferUnlockBaseAddress(image, READ_ONLY)
    # it is cut again until there is news: whoever paints over private windows does so in a copy
    pixels.setflags(write=False)
    return pixels
