"""Messages of a D-Bus connection: cut within bounds, read without believing them, written.

Source: freedesktop.org, "D-Bus Specification" 0.43, "Message Protocol". Every program of the person's session
may send to us on the session bus, and every user of the machine on the system bus, so what is too long is
passed over and never kept, and what does not fit says nothing.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from importlib import import_module
from typing import Any

MESSAGE_LIMIT_BYTES = 32 << 10  # what is asked of an icon is far shorter
BUS_LIMIT_BYTES = 128 << 20  # the specification's own, beyond which it is no message at all
_HEAD_BYTES = 16
_NO_REPLY, _NO_START = 1, 2  # flags
_EMPTY_STRUCT = b"()"  # no type of D-Bus; an array of them would never end


class Kind(IntEnum):
    """The specification's message types."""

    CALL = 1
    RETURN = 2
    ERROR = 3
    SIGNAL = 4


@dataclass(frozen=True, slots=True)
class BusMessage:
    """What came; `body` is whatever its sender wrote, a variant in it a pair of type and value.

    `name` is that of a method, signal or error.
    """

    kind: Kind
    serial: int
    reply_to: int
    sender: str
    path: str
    interface: str
    name: str
    body: tuple[object, ...]
    wants_reply: bool


@dataclass(frozen=True, slots=True)
class Content:
    """Values and their types, as the bus writes types."""

    signature: str = ""
    body: tuple[object, ...] = ()


NOTHING = Content()


class Frames:
    """Cuts a stream into messages; one that is longer than `limit_bytes` is passed over."""

    def __init__(self, limit_bytes: int = MESSAGE_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._kept = bytearray()
        self._passed_over_bytes = 0

    def feed(self, content: bytes) -> list[bytes]:
        """The messages that are whole now.

        Raises:
            ValueError: this is not D-Bus.
        """
        self._kept += content
        whole: list[bytes] = []
        while True:
            gone = min(self._passed_over_bytes, len(self._kept))
            del self._kept[:gone]
            self._passed_over_bytes -= gone
            if len(self._kept) < _HEAD_BYTES:
                return whole
            size = _size(self._kept)
            if size > self._limit_bytes:
                self._passed_over_bytes = size
            elif len(self._kept) < size:
                return whole
            else:
                whole.append(bytes(self._kept[:size]))
                del self._kept[:size]


def _size(head: bytearray) -> int:
    order = {ord("l"): "<", ord("B"): ">"}.get(head[0])
    if order is None:
        raise ValueError("neither byte order")
    body, fields = struct.unpack_from(f"{order}I", head, 4)[0], struct.unpack_from(f"{order}I", head, 12)[0]
    size = int((_HEAD_BYTES + fields + 7) // 8 * 8 + body)
    if size > BUS_LIMIT_BYTES:
        raise ValueError("longer than any message may be")
    return size


def read_message(frame: bytes) -> BusMessage | None:
    """One message; None where it is none."""
    if _EMPTY_STRUCT in frame:
        return None
    library: Any = import_module("jeepney.low_level")
    try:
        found = library.Message.from_buffer(frame)
    except (
        ArithmeticError,
        AssertionError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
    ):
        return None
    fields = {int(field): value for field, value in found.header.fields.items()}
    kind, name = Kind(found.header.message_type.value), fields.get(3)
    return BusMessage(
        kind=kind,
        serial=found.header.serial,
        reply_to=_number(fields.get(5)),
        sender=_text(fields.get(7)),
        path=_text(fields.get(1)),
        interface=_text(fields.get(2)),
        name=_text(fields.get(4) if kind is Kind.ERROR else name),
        body=found.body,
        wants_reply=kind is Kind.CALL and not int(found.header.flags) & _NO_REPLY,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class Target:
    """A method or signal of an object; `destination` is a name on the bus, and empty for a signal."""

    destination: str
    path: str
    interface: str
    name: str


def write_call(target: Target, content: Content, serial: int, *, may_start: bool = False) -> bytes:
    """A call; unless it `may_start` who is called, nothing is started for it."""
    return _written(Kind.CALL, _fields(target), content, serial, 0 if may_start else _NO_START)


def write_signal(target: Target, content: Content, serial: int) -> bytes:
    """Tell everybody."""
    return _written(Kind.SIGNAL, _fields(target), content, serial, _NO_REPLY)


def write_reply(message: BusMessage, content: Content, serial: int) -> bytes:
    """The answer to a call."""
    return _written(Kind.RETURN, {5: message.serial, 6: message.sender}, content, serial, _NO_REPLY)


def write_error(message: BusMessage, name: str, serial: int) -> bytes:
    """A refusal of a call."""
    fields: dict[int, object] = {4: name, 5: message.serial, 6: message.sender}
    return _written(Kind.ERROR, fields, NOTHING, serial, _NO_REPLY)


def _fields(target: Target) -> dict[int, object]:
    fields: dict[int, object] = {1: target.path, 2: target.interface, 3: target.name}
    return {**fields, 6: target.destination} if target.destination else fields


def _written(kind: Kind, fields: dict[int, object], content: Content, serial: int, flags: int) -> bytes:
    library: Any = import_module("jeepney.low_level")
    if content.signature:
        fields = {**fields, 8: content.signature}
    named = {library.HeaderFields(field): value for field, value in fields.items()}
    head = library.Header(library.Endianness.little, kind, flags, 1, 0, serial, named)
    return bytes(library.Message(head, content.body).serialise())
