"""A viewer in memory: decodes picture parts into a frame buffer, as a canvas would hold it."""

import numpy as np

from protocol.messages.screen import CursorMoved, CursorShape, Displays, FromAgent, PicturePart, ScreenFailed
from technician_client.capabilities.screen import PictureDecoder


class Viewer:
    """Paint the parts in order; `frame` is RGBA."""

    def __init__(self) -> None:
        self._decoder = PictureDecoder()
        self.frame = np.zeros((0, 0, 4), np.uint8)
        self.displays: Displays | None = None
        self.cursor_shape: CursorShape | None = None
        self.cursor_place: tuple[int, int] | None = None
        self.failure = ""
        self.pictures: list[PicturePart] = []

    def show(self, message: FromAgent) -> int:
        """Take any message of the agent; the number of the picture that it completed, or 0."""
        match message:
            case PicturePart():
                self.paint(message)
                return message.picture_no if message.is_last else 0
            case Displays():
                self.displays = message
            case CursorShape():
                self.cursor_shape = message
            case CursorMoved():
                self.cursor_place = (message.x, message.y)
            case ScreenFailed():
                self.failure = message.code
        return 0

    def paint(self, part: PicturePart) -> None:
        """Decode and draw one part."""
        if part.is_reset:
            self.frame = np.zeros((part.height, part.width, 4), np.uint8)
        self.pictures.append(part)
        for one in self._decoder.feed(part):
            pixels = np.frombuffer(one.rgba, np.uint8).reshape(one.height, one.width, 4)
            self.frame[one.y : one.y + one.height, one.x : one.x + one.width] = pixels

    def bgr(self) -> np.ndarray:
        """The frame in the order in which an X server has it."""
        return self.frame[..., 2::-1]
