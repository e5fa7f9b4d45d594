"""DER as a tree that may be bent: read, change a node, write it back well formed or not (X.690).

For making certificates that no library would make. Reading takes well-formed DER only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8, PRINTABLE, T61, IA5, UTC_TIME, GENERAL_TIME = 0x0C, 0x13, 0x14, 0x16, 0x17, 0x18
SEQUENCE, SET, BMP = 0x30, 0x31, 0x1E
CONSTRUCTED = 0x20


@dataclass
class Node:
    """One element. `parts` is what a constructed one holds, `content` the bytes of another.

    `length_form` is "" for DER, "long" for a longer spelling of the length, "indefinite" for BER's.
    """

    tag: int
    content: bytes = b""
    parts: list["Node"] = field(default_factory=list)
    length_form: str = ""

    @property
    def is_constructed(self) -> bool:
        """Whether it holds other elements."""
        return bool(self.tag & CONSTRUCTED)

    def encode(self) -> bytes:
        """The element as bytes."""
        inner = b"".join(part.encode() for part in self.parts) if self.is_constructed else self.content
        if self.length_form == "indefinite":
            return bytes((self.tag, 0x80)) + inner + b"\0\0"
        return bytes((self.tag,)) + _length(len(inner), is_long=self.length_form == "long") + inner

    def walk(self) -> Iterator["Node"]:
        """This element and everything below it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def copy(self) -> "Node":
        """A copy that can be changed by itself."""
        return Node(self.tag, self.content, [part.copy() for part in self.parts], self.length_form)


def constructed(tag: int, *parts: Node) -> Node:
    """An element that holds others."""
    return Node(tag, parts=list(parts))


def oid(dotted: str) -> Node:
    """An object identifier (X.690, 8.19)."""
    first, second, *rest = (int(word) for word in dotted.split("."))
    encoded = b""
    for number in (first * 40 + second, *rest):
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(0x80 | (number & 0x7F))
        encoded += bytes(reversed(digits))
    return Node(OID, encoded)


def integer(number: int) -> Node:
    """An integer in its one DER spelling."""
    return Node(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def read(encoded: bytes) -> Node:
    """The tree of one well-formed element.

    Raises:
        ValueError: it is not well formed, or something comes after it.
    """
    node, rest = _read_one(encoded)
    if rest:
        raise ValueError(f"{len(rest)} bytes after the element")
    return node


def _read_one(encoded: bytes) -> tuple[Node, bytes]:
    tag, first = encoded[0], encoded[1]
    size = first & 0x7F if first & 0x80 else 0
    length = int.from_bytes(encoded[2 : 2 + size], "big") if size else first
    start = 2 + size
    inner, rest = encoded[start : start + length], encoded[start + length :]
    if len(inner) != length:
        raise ValueError("cut")
    if not tag & CONSTRUCTED:
        return Node(tag, inner), rest
    parts = []
    while inner:
        part, inner = _read_one(inner)
        parts.append(part)
    return Node(tag, parts=parts), rest


def _length(length: int, *, is_long: bool) -> bytes:
    if length < 128 and not is_long:
        return bytes((length,))
    octets = length.to_bytes(max(1, (length.bit_length() + 7) // 8), "big")
    if is_long and length >= 128:
        octets = b"\0" + octets
    return bytes((0x80 | len(octets),)) + octets
