"""The counter in the picture: 32 black or white cells that survive a lossy codec, read back with a checksum.

Rows of 8 cells: a nibble 1010, 16 bits of counter with the highest first, its CRC-8, a nibble 0101.
"""

import numpy as np
import numpy.typing as npt

CELL_PX = 8
COLUMNS = 8
ROWS = 4
WIDTH_PX = COLUMNS * CELL_PX
HEIGHT_PX = ROWS * CELL_PX
COUNTER_LIMIT = 1 << 16
HEAD, TAIL = 0b1010, 0b0101
MIDDLE = slice(2, CELL_PX - 2)  # a codec blurs the edges of a cell
THRESHOLD = 128
CRC_POLYNOMIAL = 0x07  # CRC-8/SMBUS

Pixels = npt.NDArray[np.uint8]


def crc8(counter: int) -> int:
    """CRC-8/SMBUS of the counter's two bytes."""
    crc = 0
    for byte in counter.to_bytes(2, "big"):
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ CRC_POLYNOMIAL) & 0xFF if crc & 0x80 else crc << 1
    return crc


def draw_stamp(counter: int) -> Pixels:
    """The code of this counter: HEIGHT_PX by WIDTH_PX by BGRX."""
    assert 0 <= counter < COUNTER_LIMIT
    word = HEAD << 28 | counter << 12 | crc8(counter) << 4 | TAIL
    bits = [(word >> (31 - place)) & 1 for place in range(32)]
    cells = np.array(bits, np.uint8).reshape(ROWS, COLUMNS) * np.uint8(255)
    plane = np.repeat(np.repeat(cells, CELL_PX, 0), CELL_PX, 1)
    return np.repeat(plane[:, :, None], 4, 2)


def read_stamp(bgrx: Pixels) -> int | None:
    """The counter; None for half a picture, a torn one or something else."""
    grey = bgrx[:, :, 1].reshape(ROWS, CELL_PX, COLUMNS, CELL_PX)
    cells = grey[:, MIDDLE, :, MIDDLE].mean(axis=(1, 3)) >= THRESHOLD
    word = int.from_bytes(np.packbits(cells.reshape(-1)).tobytes(), "big")
    counter = (word >> 12) & 0xFFFF
    is_whole = word >> 28 == HEAD and word & 0xF == TAIL and (word >> 4) & 0xFF == crc8(counter)
    return counter if is_whole else None
