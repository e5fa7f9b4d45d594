"""The screen worker: a process of its own that captures, encodes and sends, for one session.

    python -I -m agent.capabilities.screen.worker --socket PATH --session ID --source auto

The 32-byte ticket comes on standard input, and after it, if there are any, the entries of the list of
private windows: a length of four bytes, big endian, and MessagePack. It ends at once when the service closes
the socket or its parent dies, also when an encoder is stuck. Exit statuses: 0 the service ended it, 4 the
service cannot be reached or broke the protocol, 6 no screen can be read or private windows cannot be covered
here (standard error says why), 7 the screen was lost.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence

from agent.capabilities.screen.worker_link import LENGTH_BYTES, WorkerLink
from agent.desktop.ipc_messages import (
    HELLO_CODEC,
    TO_WORKER_CODEC,
    WORKER_TICKET_BYTES,
    CoverWindows,
    ToWorker,
    WorkerHello,
)
from agent.platform.interfaces import EncodedScreenSource, ScreenSource, WindowWatch
from protocol.errors import (
    BackendUnavailable,
    ErrorCode,
    ExitStatus,
    SupportError,
    Unreachable,
    UsageError,
    exit_status,
)
from protocol.limits import PRIVATE_WINDOWS_LIMIT_BYTES
from protocol.messages.screen import (
    FROM_AGENT_CODEC,
    Follow,
    FromAgent,
    ScreenFailed,
    ShowAll,
    ShowDisplay,
)
from protocol.private_windows import PrivateWindow, decode_private_windows

AnySource = ScreenSource | EncodedScreenSource

CONNECT_TIMEOUT_S = 5.0
FAREWELL_TIMEOUT_S = 1.0
PR_SET_PDEATHSIG = 1  # prctl(2)
# mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
KEPT_FREE_BYTES = 1 << 19


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until the service ends it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="agent.capabilities.screen.worker")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--session", required=True)
    parser.add_argument("--source", default="auto")
    given = parser.parse_args(argv)
    try:
        end_with_parent()
        hold_little_memory()
        ticket, private_windows = read_ticket(), read_private_windows()
        link = connect(given.socket, given.session, ticket)
        return serve(link, given.source, private_windows)
    except SupportError as exc:
        print(f"{exc.code}: {exc.detail}", file=sys.stderr)
        return int(exit_status(exc.code))


def read_ticket() -> bytes:
    """The ticket from standard input. Raises UsageError if it is not whole."""
    ticket = sys.stdin.buffer.read(WORKER_TICKET_BYTES)
    if len(ticket) != WORKER_TICKET_BYTES:
        raise UsageError(f"standard input must hold the {WORKER_TICKET_BYTES}-byte ticket")
    return ticket


def read_private_windows() -> tuple[PrivateWindow, ...]:
    """The entries behind the ticket on standard input; none if nothing is there.

    Raises:
        UsageError: the list was cut: a part of it is never used as if it were all.
        PeerViolation: it is malformed or too large.
    """
    header = sys.stdin.buffer.read(LENGTH_BYTES)
    if not header:
        return ()
    size_bytes = int.from_bytes(header, "big")
    encoded = sys.stdin.buffer.read(min(size_bytes, PRIVATE_WINDOWS_LIMIT_BYTES + 1))
    if len(header) != LENGTH_BYTES or len(encoded) < min(size_bytes, PRIVATE_WINDOWS_LIMIT_BYTES):
        raise UsageError("the list of private windows on standard input was cut")
    return decode_private_windows(encoded)


def end_with_parent() -> None:
    """Have the kernel kill us when the thread that started us ends (Linux; elsewhere the socket does)."""
    if sys.platform.startswith("linux"):
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(ExitStatus.OK)


def hold_little_memory() -> None:
    """Have the C library give what is freed back to the system (glibc; elsewhere nothing happens).

    By itself it takes ever larger blocks from its heap, where one live block keeps all freed ones below it:
    with video at 1920x1080 that is 16 MiB more at the peak, and 35 MiB more after the video. numpy's linear
    algebra, which nothing here uses, gets no thread for each core.
    """
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if set_option is not None:
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            set_option(option, KEPT_FREE_BYTES)
        set_option(M_ARENA_MAX, 1)


def connect(socket_path: str, session_id: str, ticket: bytes) -> WorkerLink:
    """Connects and says who we are. Raises Unreachable."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(CONNECT_TIMEOUT_S)
    try:
        connected.connect(socket_path)
    except OSError as exc:
        connected.close()
        raise Unreachable(f"{socket_path}: {exc}", code=ErrorCode.E_NOT_RUNNING) from None
    end_with_socket(connected)
    link = WorkerLink(connected, TO_WORKER_CODEC.limit_bytes)
    link.send(HELLO_CODEC.encode(WorkerHello(session_id, ticket)))
    return link


def end_with_socket(connected: socket.socket) -> None:
    """End the whole process at once when the service closes, whatever the main thread is busy with."""
    watched = select.poll()
    watched.register(connected.fileno(), getattr(select, "POLLRDHUP", select.POLLHUP))

    def watch() -> None:
        watched.poll()
        os._exit(ExitStatus.OK)

    threading.Thread(target=watch, name="end-with-socket", daemon=True).start()


def serve(link: WorkerLink, wanted_source: str, private_windows: Sequence[PrivateWindow]) -> int:
    """Opens the screen and shares it; on failure the viewer gets a code."""
    try:
        share_screen(link, open_masked(wanted_source, private_windows))
    except Unreachable:
        return ExitStatus.OK
    except SupportError as exc:
        link.send(FROM_AGENT_CODEC.encode(ScreenFailed(exc.code)))
        link.finish(FAREWELL_TIMEOUT_S)
        raise
    return ExitStatus.OK


def open_source(wanted: str) -> AnySource:
    """The screen source; why better ones were passed over goes to standard error.

    Raises:
        BackendUnavailable: E_SCREEN_NONE, none works here.
    """
    from agent.platform.select import open_screen

    opened = open_screen(wanted)
    for reason in opened.reasons:
        print(f"not used: {reason}", file=sys.stderr)
    return opened.source


def open_masked(wanted: str, private_windows: Sequence[PrivateWindow]) -> AnySource:
    """The screen source, which paints these windows over, and the system's own prompts where it knows them.

    Raises:
        BackendUnavailable: E_SCREEN_PRIVATE, windows cannot be told apart here, so nothing is shown;
            otherwise as `open_source`.
    """
    from agent.platform.select import open_window_watch

    try:
        watch = open_window_watch()
    except BackendUnavailable:
        if private_windows:
            raise
        return open_source(wanted)
    try:
        source = open_source(wanted)
    except SupportError:
        watch.close()
        raise
    if isinstance(source, EncodedScreenSource) and not private_windows:
        watch.close()
        return source
    return masked(source, watch, private_windows)


def masked(source: AnySource, watch: WindowWatch, private_windows: Sequence[PrivateWindow]) -> ScreenSource:
    """Both as one, which owns them. Raises BackendUnavailable with both closed."""
    from agent.capabilities.screen.privacy import MaskedSource

    try:
        if isinstance(source, EncodedScreenSource):
            raise BackendUnavailable(
                f"{source.detail}: nothing can be painted over what is encoded already",
                code=ErrorCode.E_SCREEN_PRIVATE,
            )
        return MaskedSource(source, watch, private_windows, say)
    except SupportError:
        watch.close()
        source.close()
        raise


def covering(source: AnySource, private_windows: Sequence[PrivateWindow]) -> AnySource:
    """The source to go on with, which paints these windows over and no others.

    Raises:
        BackendUnavailable: E_SCREEN_PRIVATE, windows cannot be told apart here.
    """
    from agent.capabilities.screen.privacy import MaskedSource
    from agent.platform.select import open_window_watch

    if isinstance(source, MaskedSource):
        source.cover(private_windows)
        return source
    if not private_windows:
        return source  # what could be watched for the system's prompts is a `MaskedSource` already
    return masked(source, open_window_watch(), private_windows)


def say(text: str) -> None:
    """One line for the log of the desktop process."""
    print(text, file=sys.stderr, flush=True)


def share_screen(link: WorkerLink, source: AnySource) -> None:
    """The loop; one thread for socket, screen and clock. It closes the source.

    Raises:
        Unreachable: the service closed.
        BackendUnavailable: E_SCREEN_FAILED, the screen is gone; E_SCREEN_PRIVATE, windows are to be covered
            from now on and cannot be.
        PeerViolation: the viewer sent what it must not.
    """
    # numpy and zstandard are loaded here, after the service has got its hello
    from agent.capabilities.screen.encoded import EncodedShare
    from agent.capabilities.screen.sharing import ScreenShare

    try:
        share: ScreenShare | EncodedShare = (
            EncodedShare(source)
            if isinstance(source, EncodedScreenSource)
            else ScreenShare(source, lambda _began_s: time.monotonic())
        )
        is_woken = False
        reported = 0
        while True:
            send_all(link, share.advance(time.monotonic(), is_woken=is_woken, has_room=link.has_room))
            if share.heals > reported:
                reported = share.heals
                print(f"proofs failed: {share.proof_failures}; everything is sent anew", file=sys.stderr)
            now_s = time.monotonic()
            watched = source.wake_fd if share.watches_source(now_s) else None
            is_woken = wait(link, watched, share.wake_at_s() - now_s)
            for message in newest([TO_WORKER_CODEC.decode(frame) for frame in link.receive()]):
                if isinstance(message, CoverWindows):
                    source = covering(source, message.private_windows)
                    if isinstance(share, ScreenShare) and not isinstance(source, EncodedScreenSource):
                        share.show(source)
                else:
                    share.received(message, time.monotonic())
    except BackendUnavailable as exc:
        code = exc.code if exc.code is ErrorCode.E_SCREEN_PRIVATE else ErrorCode.E_SCREEN_FAILED
        raise BackendUnavailable(exc.detail, code=code) from exc
    finally:
        source.close()


def newest(messages: Sequence[ToWorker]) -> list[ToWorker]:
    """In their order, without wishes for one display, all or the followed one that another wish follows.

    Each takes a new picture's memory (1.4 ms at 3840x2160): a viewer that sends thousands must not stop us.
    """
    wishes = [
        number
        for number, message in enumerate(messages)
        if isinstance(message, ShowDisplay | ShowAll | Follow)
    ]
    outdated = set(wishes[:-1])
    return [message for number, message in enumerate(messages) if number not in outdated]


def send_all(link: WorkerLink, messages: list[FromAgent]) -> None:
    """Queue them; none is kept beside its encoded form, because a picture of noise is 6 MiB at 1920x1080."""
    messages.reverse()
    while messages:
        link.send(FROM_AGENT_CODEC.encode(messages.pop()))


def wait(link: WorkerLink, source_fd: int | None, timeout_s: float) -> bool:
    """Until there is something to do; whether the source woke us."""
    # select and not poll: its timeout has microseconds, and a frame of 60 a second is no whole millisecond
    reading = [link.fileno()] if source_fd is None else [link.fileno(), source_fd]
    # without room only the socket can let us go on
    limit_s = max(0.0, timeout_s) if link.has_room else None
    readable, writable, _ = select.select(reading, [] if link.has_room else [link.fileno()], [], limit_s)
    if writable:
        link.flush()
    return source_fd in readable


if __name__ == "__main__":
    sys.exit(main())
