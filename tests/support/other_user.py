"""A real other user of this machine, as seen by the kernel: a process of its own with that user's id."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OTHER_UID = 65534  # nobody
THIRD_UID = 65533  # nobody's neighbour: a user needs no name to the kernel
WHY_ROOT = "run as root: it starts a process of another user"
IS_ROOT = os.geteuid() == 0

# connects, sends what standard input holds, and prints what came back until the end as hex, or the error
_CLIENT = """
import socket, sys
sent = sys.stdin.buffer.read()
for _ in range(int(sys.argv[2])):
    try:
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(20)
            tried.connect(sys.argv[1])
            tried.sendall(sent)
            if sys.argv[3] == "True":
                tried.shutdown(socket.SHUT_WR)
            answer = b""
            while read := tried.recv(4096):
                answer += read
            print("answered", answer.hex())
    except OSError as exc:
        print(type(exc).__name__)
"""


def as_other_user(
    code: str,
    *words: str,
    stdin: bytes = b"",
    uid: int = OTHER_UID,
    with_site: bool = False,
    timeout_s: float = 60,
) -> list[str]:
    """What this Python code prints as that user, by lines; `with_site`: it may import what is installed."""
    ended = subprocess.run(
        [sys.executable, "-I", *([] if with_site else ["-S"]), "-c", code, *words],
        input=stdin,
        capture_output=True,
        timeout=timeout_s,
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.decode().splitlines()


def connect_as_other_user(
    socket_path: Path, payload: bytes, times: int = 1, uid: int = OTHER_UID, *, stop_sending: bool = False
) -> list[str]:
    """How each connection ended: "answered HEX", or the error's name. `stop_sending`: nothing follows."""
    frame = len(payload).to_bytes(4, "big") + payload
    return as_other_user(_CLIENT, str(socket_path), str(times), str(stop_sending), stdin=frame, uid=uid)


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that other users may pass through, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="alongside-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
