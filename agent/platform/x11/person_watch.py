"""What a person's own devices do at an X server: raw events (XI2proto 2.2) of all devices but the XTEST ones.

A thread waits for them from `open_person_watch` to `close`, so that they never pile up in the server.
"""

from __future__ import annotations

import os
import select
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from agent.platform.input_interface import PersonDid, TellPerson
from agent.platform.x11.bindings import Bindings, load_bindings
from protocol.errors import BackendUnavailable, ErrorCode

log = structlog.get_logger()

XTEST_PROPERTY: Final = "XTEST Device"  # xserver-properties.h, XI_PROP_XTEST_DEVICE
ALL_DEVICES, ALL_MASTERS = 0, 1
CLOSE_WAIT_S: Final = 0.1
_GENERIC: Final = 35
_HIERARCHY, _KEYS, _BUTTONS, _MOTION, _TOUCHES = 11, (13, 14), (15, 16), 17, (22, 23, 24)
_HEAD = struct.Struct("=BBHIHHIIHHI8x")  # with the word that libxcb puts behind the first 32 bytes
_VALUE = struct.Struct("=iI")


@dataclass(frozen=True, slots=True)
class RawEvent:
    """What one event says. `axes`: the values of axes 0 and 1, where it has them."""

    extension: int
    kind: int
    source: int
    axes: dict[int, float]


def read_raw_event(content: bytes) -> RawEvent | None:
    """The raw event in these bytes of libxcb, or None: another event, or one cut short."""
    if len(content) < _HEAD.size or content[0] & 0x7F != _GENERIC:
        return None
    _, extension, _, _, kind, _, _, _, source, words, _ = _HEAD.unpack_from(content)
    mask = int.from_bytes(content[_HEAD.size : _HEAD.size + 4 * words], "little")
    axes: dict[int, float] = {}
    at = _HEAD.size + 4 * words
    for axis in (0, 1):
        if mask >> axis & 1 and at + _VALUE.size <= len(content):
            whole, part = _VALUE.unpack_from(content, at)
            axes[axis] = whole + part / 2**32
            at += _VALUE.size
    return RawEvent(extension, kind, source, axes)


@dataclass(frozen=True, slots=True)
class _Device:
    """`spans`: for each axis that tells places and not ways, the place's range."""

    is_ours: bool
    spans: dict[int, float]


def open_person_watch(display: str, tell: TellPerson) -> X11PersonWatch:
    """Watches the devices of an X server, for example ":0".

    Raises:
        BackendUnavailable: E_INPUT_NONE, the server does not tell of its devices.
    """
    bindings = load_bindings()
    try:
        connection = bindings.xcffib.Connection(display)
    except bindings.xcffib.XcffibException as exc:
        raise BackendUnavailable(f"no X server answers ({exc!r})", code=ErrorCode.E_INPUT_NONE) from exc
    try:
        return X11PersonWatch(bindings, connection, tell)
    except bindings.xcffib.XcffibException as exc:
        connection.disconnect()
        raise BackendUnavailable(
            f"the X server does not tell of its devices: {exc!r}", code=ErrorCode.E_INPUT_NONE
        ) from exc


class X11PersonWatch:
    """One connection and one thread, until `close`."""

    def __init__(self, bindings: Bindings, connection: Any, tell: TellPerson) -> None:
        self._errors = (bindings.xcffib.XcffibException, OSError)
        self._error = bindings.xcffib.Error
        self._connection, self._tell = connection, tell
        self._buffer: Callable[[Any, int], Any] = bindings.xcffib.ffi.buffer
        # xcffib reads behind the end of raw events: it counts an axis as often as its mask's number says
        connection.hoist_event = self._bytes
        self._xinput = connection(bindings.xinput.key)
        self._opcode = connection.core.QueryExtension(15, "XInputExtension").reply().major_opcode
        setup = connection.get_setup()
        screen = setup.roots[connection.pref_screen]
        self._size: tuple[int, int] = (screen.width_in_pixels, screen.height_in_pixels)
        self._devices: dict[int, _Device] = {}
        self._places: dict[tuple[int, int], float] = {}
        self._atom = connection.core.InternAtom(False, len(XTEST_PROPERTY), XTEST_PROPERTY).reply().atom
        self._select(bindings.xinput, screen.root)
        self._ear, self._mouth = os.pipe()
        thread = threading.Thread(target=self._run, name="person", daemon=True)
        self._thread: threading.Thread | None = thread
        thread.start()

    def close(self) -> None:
        """See `PersonWatch`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            os.close(self._mouth)
            thread.join(CLOSE_WAIT_S)  # a server that hangs does not hold up Stop

    def _select(self, xinput: Any, root: int) -> None:
        self._xinput.XIQueryVersion(2, 2).reply()
        raw = 0
        for kind in (*_KEYS, *_BUTTONS, _MOTION, *_TOUCHES):
            raw |= 1 << kind
        masks = [
            xinput.EventMask.synthetic(ALL_MASTERS, 1, [raw]),
            xinput.EventMask.synthetic(ALL_DEVICES, 1, [1 << _HIERARCHY]),
        ]
        self._xinput.XISelectEvents(root, len(masks), masks, is_checked=True).check()

    def _bytes(self, event: Any) -> bytes:
        head = bytes(self._buffer(event, 8))
        is_long = head[0] & 0x7F == _GENERIC
        return bytes(self._buffer(event, 36 + 4 * int.from_bytes(head[4:8], "little") if is_long else 32))

    def _run(self) -> None:
        try:
            waiting = select.poll()
            waiting.register(self._connection.get_file_descriptor(), select.POLLIN)
            waiting.register(self._ear, select.POLLIN)
            while True:
                while (content := self._connection.poll_for_event()) is not None:
                    event = read_raw_event(content)
                    if event is not None and event.extension == self._opcode:
                        self._take(event)
                if any(number == self._ear for number, _ in waiting.poll()):
                    return
        except self._errors as exc:
            log.warning("person_watch.lost", detail=repr(exc))
        finally:
            self._connection.disconnect()
            os.close(self._ear)

    def _take(self, event: RawEvent) -> None:
        if event.kind == _HIERARCHY:
            self._devices.clear()  # numbers are given out anew
            self._places.clear()
            return
        try:
            device = self._device(event.source)
        except self._error:
            device = _Device(is_ours=False, spans={})  # pulled out meanwhile
        if device.is_ours or self._thread is None:
            return
        if event.kind == _MOTION:
            way = [self._way(event.source, axis, event.axes.get(axis), device) for axis in (0, 1)]
            self._tell(PersonDid.MOVED, way[0], way[1])
        elif event.kind in _KEYS:
            self._tell(PersonDid.TYPED, 0.0, 0.0)
        else:
            self._tell(PersonDid.PRESSED, 0.0, 0.0)

    def _way(self, source: int, axis: int, value: float | None, device: _Device) -> float:
        if value is None:
            return 0.0
        span = device.spans.get(axis)
        if span is None:
            return value
        before = self._places.get((source, axis), value)
        self._places[source, axis] = value
        return float((value - before) * self._size[axis] / span)

    def _device(self, number: int) -> _Device:
        if number not in self._devices:
            mark = self._xinput.XIGetProperty(number, False, self._atom, 0, 0, 1).reply()
            spans = {
                part.number: max(1.0, float(part.max.integral - part.min.integral))
                for info in self._xinput.XIQueryDevice(number).reply().infos
                for part in info.classes
                if part.type == 2 and part.mode == 1 and part.number in (0, 1)
            }
            self._devices[number] = _Device(bool(mark.num_items), spans)
        return self._devices[number]
