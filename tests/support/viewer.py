"""A viewer in memory: decodes picture parts into a frame buffer, as a canvas would hold it."""

import hashlib

import numpy as np

from protocol.messages.screen import (
    BandProof,
    Copy,
    CursorMoved,
    CursorShape,
    Displays,
    FromAgent,
    PicturePart,
    ProofFailed,
    ScreenFailed,
    ScrollCopies,
)
from technician_client.capabilities.screen import PictureOrder
from tests.support.picture_decoder import PictureDecoder


class Viewer:
    """Paint the parts in order; `frame` is RGBA."""

    def __init__(self) -> None:
        self._order = PictureOrder()
        self._decoder = PictureDecoder()
        self.frame = np.zeros((0, 0, 4), np.uint8)
        self.displays: Displays | None = None
        self.cursor_shape: CursorShape | None = None
        self.cursor_place: tuple[int, int] | None = None
        self.failure = ""
        self.pictures: list[PicturePart] = []
        self.copies: list[Copy] = []
        self.proofs: list[BandProof] = []
        self.failed_proofs: list[ProofFailed] = []

    def show(self, message: FromAgent) -> int:
        """Take any message of the agent; the number of the picture that it completed, or 0."""
        match message:
            case PicturePart():
                self.paint(message)
                return message.picture_no if message.is_last else 0
            case ScrollCopies():
                self.move(message)
            case BandProof():
                self.check(message)
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
        self._order.part(part)
        if part.is_reset:
            self.frame = np.zeros((part.height, part.width, 4), np.uint8)
        self.pictures.append(part)
        for one in self._decoder.feed(part):
            pixels = np.frombuffer(one.rgba, np.uint8).reshape(one.height, one.width, 4)
            self.frame[one.y : one.y + one.height, one.x : one.x + one.width] = pixels

    def move(self, message: ScrollCopies) -> None:
        """Carry out the copies, one after the other."""
        self._order.copies(message)
        for one in message.copies:
            source = self.frame[one.y : one.y + one.height, one.x : one.x + one.width].copy()
            assert source.shape[:2] == (one.height, one.width)
            target = self.frame[one.to_y : one.to_y + one.height, one.to_x : one.to_x + one.width]
            target[...] = source
            self.copies.append(one)

    def check(self, proof: BandProof) -> None:
        """Note the proof, and whether it fails."""
        self._order.proof(proof)
        rows = np.ascontiguousarray(self.bgr()[proof.y : proof.y + proof.height])
        self.proofs.append(proof)
        if hashlib.sha256(rows.tobytes()).digest() != proof.sha256:
            self.failed_proofs.append(ProofFailed(proof.picture_no, proof.y))

    def bgr(self) -> np.ndarray:
        """The frame in the order in which an X server has it."""
        return self.frame[..., 2::-1]
