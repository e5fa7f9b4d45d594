"""What a compositor says of its outputs, and which packets are keyframes: read from bytes, nothing real."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.platform.interfaces import Area
from agent.platform.wayland.keyframes import is_keyframe
from agent.platform.wayland.outputs import OutputWatch, socket_path
from protocol.errors import BackendUnavailable

DISPLAY, REGISTRY, CALLBACK, FIRST_OUTPUT = 1, 2, 3, 4
CURRENT = 1


def text(value: str) -> bytes:
    raw = value.encode() + b"\0"
    return struct.pack("=I", len(raw)) + raw + b"\0" * (-len(raw) % 4)


def event(sender: int, opcode: int, arguments: bytes = b"") -> bytes:
    return struct.pack("=II", sender, (len(arguments) + 8) << 16 | opcode) + arguments


def announced(name: int) -> bytes:
    return event(REGISTRY, 0, struct.pack("=I", name) + text("wl_output") + struct.pack("=I", 4))


def described(number: int, name: str, place: tuple[int, int], size: tuple[int, int]) -> bytes:
    maker = struct.pack("=iiiii", *place, 0, 0, 0) + text("maker") + text("model") + struct.pack("=i", 0)
    mode = struct.pack("=Iiii", CURRENT, *size, 60000)
    other = struct.pack("=Iiii", 0, 4096, 2160, 60000)
    return b"".join(
        (
            event(number, 0, maker),
            event(number, 1, mode),
            event(number, 1, other),
            event(number, 4, text(name)),
            event(number, 2),
        )
    )


TWO_OUTPUTS = [
    announced(7) + announced(9) + event(CALLBACK, 0, bytes(4)),
    described(4, "DP-1", (0, 0), (640, 480))
    + described(5, "DP-2", (640, 0), (800, 600))
    + event(CALLBACK, 0, bytes(4)),
]


@contextmanager
def compositor(path: Path, answers: list[bytes]) -> Iterator[list[socket.socket]]:
    """Answers each wl_display.sync with the next of these; the list then has the socket to say more by."""
    connected: list[socket.socket] = []

    def serve() -> None:
        accepted, _ = listening.accept()
        connected.append(accepted)
        heard, left = b"", list(answers)
        while left:
            heard += accepted.recv(4096)
            while len(heard) >= 8:
                sender, word = struct.unpack_from("=II", heard)
                heard = heard[word >> 16 :]
                if (sender, word & 0xFFFF) == (DISPLAY, 0):
                    accepted.sendall(left.pop(0))

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield connected
        finally:
            thread.join(5)
            for one in connected:
                one.close()


def test_outputs_have_the_current_mode_and_one_that_is_unplugged_is_gone(tmp_path):
    with compositor(tmp_path / "wayland-0", TWO_OUTPUTS) as connected:
        watch = OutputWatch(socket_path("wayland-0", str(tmp_path)))
        assert {one.name: one.area for one in watch.displays()} == {
            "DP-1": Area(0, 0, 640, 480),
            "DP-2": Area(640, 0, 800, 600),
        }
        assert not watch.changed()
        connected[0].sendall(event(REGISTRY, 1, struct.pack("=I", 9)))
        assert watch.changed()
        assert [one.name for one in watch.displays()] == ["DP-1"]
        assert not watch.changed()
        watch.close()


def test_an_event_that_arrives_in_pieces_is_taken_once_it_is_whole(tmp_path):
    with compositor(tmp_path / "wayland-0", TWO_OUTPUTS) as connected:
        watch = OutputWatch(str(tmp_path / "wayland-0"))
        removed = event(REGISTRY, 1, struct.pack("=I", 9))
        connected[0].sendall(removed[:5])
        assert not watch.changed()
        connected[0].sendall(removed[5:])
        assert watch.changed()
        watch.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (struct.pack("=II", 2, 4 << 16), "no message"),
        (struct.pack("=II", 2, 0xFFFF << 16), "no message"),
        (event(DISPLAY, 0, struct.pack("=II", 1, 1) + text("no")), "refused us"),
    ],
    ids=["shorter than its header", "longer than any event", "a protocol error"],
)
def test_a_compositor_that_says_what_is_no_event_is_a_lost_screen(tmp_path, said, reason):
    with compositor(tmp_path / "wayland-0", TWO_OUTPUTS) as connected:
        watch = OutputWatch(str(tmp_path / "wayland-0"))
        connected[0].sendall(said)
        with pytest.raises(BackendUnavailable, match=reason):
            watch.changed()
        watch.close()


def test_a_path_is_taken_as_it_is_and_a_name_lies_in_the_runtime_folder():
    assert socket_path("/run/other/wayland-3", "/run/user/7") == "/run/other/wayland-3"
    assert socket_path("wayland-3", "/run/user/7") == "/run/user/7/wayland-3"


@pytest.mark.parametrize(
    ("codec", "packet", "is_key"),
    [
        ("avc1.42E033", b"\0\0\0\1\x67abc\0\0\0\1\x68d\0\0\1\x65picture", True),
        ("avc1.42E033", b"\0\0\0\1\x06sei\0\0\1\x41picture", False),
        ("avc1.42E033", b"\0\0\0\1\x67abc", False),
        ("avc1.42E033", b"", False),
        ("vp8", b"\x10\x02\x00\x9d\x01\x2a", True),
        ("vp8", b"\x11\x02\x00", False),
        ("vp8", b"", False),
        ("vp09.00.51.08", b"\x82\x49\x83\x42", True),
        ("vp09.00.51.08", b"\x86\x00", False),
        ("vp09.00.51.08", b"\x88", False),
        ("vp09.00.51.08", b"\x02", False),
    ],
)
def test_a_keyframe_is_known_by_its_first_bytes(codec, packet, is_key):
    assert is_keyframe(codec, packet) is is_key
