"""The table of decoders. A new one that is not listed here fails `test_decoders.py`."""

import asyncio
import json
import os
import socket
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent.exec.messages import OUTPUT_CHUNK_LIMIT_BYTES
from protocol.errors import SupportError
from protocol.identity import Identity
from protocol.limits import PAIRING_MESSAGE_LIMIT_BYTES

CODECS = {
    "control.before-log-in": "protocol.messages.control:PRE_LOGIN_CODEC",
    "control.from-client": "protocol.messages.control:FROM_CLIENT_CODEC",
    "control.from-relay": "protocol.messages.control:FROM_RELAY_CODEC",
    "control.from-worker": "protocol.messages.control:FROM_WORKER_CODEC",
    "session.from-agent": "protocol.messages.session:FROM_AGENT_CODEC",
    "session.from-technician": "protocol.messages.session:FROM_TECHNICIAN_CODEC",
    "pairing": "protocol.messages.pairing:PAIRING_CODEC",
    "screen.from-agent": "protocol.messages.screen:FROM_AGENT_CODEC",
    "screen.from-technician": "protocol.messages.screen:FROM_TECHNICIAN_CODEC",
    "input.from-technician": "protocol.messages.input:FROM_TECHNICIAN_CODEC",
    "input.from-agent": "protocol.messages.input:FROM_AGENT_CODEC",
    "commands.from-technician": "protocol.messages.commands:FROM_TECHNICIAN_CODEC",
    "commands.from-agent": "protocol.messages.commands:FROM_AGENT_CODEC",
    "diagnostics.from-technician": "protocol.messages.diagnostics:FROM_TECHNICIAN_CODEC",
    "diagnostics.from-agent": "protocol.messages.diagnostics:FROM_AGENT_CODEC",
    "exec.to-worker": "agent.exec.messages:TO_WORKER_CODEC",
    "exec.from-worker": "agent.exec.messages:FROM_WORKER_CODEC",
    "local.hello": "agent.desktop.ipc_messages:HELLO_CODEC",
    "local.from-desktop": "agent.desktop.ipc_messages:FROM_DESKTOP_CODEC",
    "local.to-desktop": "agent.desktop.ipc_messages:TO_DESKTOP_CODEC",
    "local.to-worker": "agent.desktop.ipc_messages:TO_WORKER_CODEC",
    "local.to-command-line": "agent.desktop.ipc_messages:TO_COMMAND_LINE_CODEC",
}
"""Every `protocol.codec.Codec` there is, by the name of its fuzz target."""

DECODING_FILES = {
    "protocol/codec.py": "all of CODECS",
    "protocol/envelope.py": "envelope",
    "protocol/policy.py": "policy",
    "protocol/status_list.py": "status-list",
    "protocol/join_token.py": "join-token",
    "protocol/grants.py": "sealed-grant",
    "protocol/receipt.py": "receipt",
    "protocol/approval.py": "approval.request, approval.signed",
    "protocol/audit.py": "audit-record",
    "protocol/audit_check.py": "audit-file",
    "protocol/certificate_profile.py": "certificate",
    "protocol/private_windows.py": "private-windows",
    "protocol/release.py": "release",
    "protocol/succession.py": "root-step",
    "relay/worker/tickets.py": "ticket.sealed",
    "technician_client/console/page_messages.py": "console-page",
}
"""Each file of the product that reads JSON or MessagePack of others, and the targets that reach it."""

FRAMING_FILES = {
    "agent/capabilities/screen/worker_link.py": "screen.worker-link",
    "agent/bus_frames.py": "desktop.bus",
    "agent/desktop/ipc.py": "desktop.frames",
    "agent/desktop/xsettings.py": "desktop.settings",
    "agent/exec/service_link.py": "exec.service-link",
    "agent/local_frames.py": "local-frames",
    "protocol/channels.py": "frames",
}
"""Each file that cuts bytes of another process or end into frames, and the target that reaches it."""

NUMBERS_OF_OUR_OWN = {
    "agent/capabilities/screen/worker.py": "its parent's first words, on standard input",
    "agent/local_peer.py": "the kernel's answer of fixed length",
    "agent/platform/wayland/outputs.py": "the display server's events",
    "agent/platform/x11/person_watch.py": "the display server's answers",
    "agent/platform/x11/screen.py": "the display server's answers",
    "agent/platform/x11/window_words.py": "the display server's answers",
    "protocol/join_token.py": "a key of fixed length, behind the token's own decoder",
    "protocol/readback.py": "eight bytes that it derived itself",
    "protocol/update_offer.py": "a hash that it made itself; what others sent is the target update-offer",
    "technician_client/update_list.py": "the administrator's own files, by python-tuf's reader",
    "technician_client/console/peer_owner.py": "the kernel's own table",
}
"""Files that read numbers out of bytes, and whose bytes those are."""

OWN_FILES = {
    "agent/update/places.py",
    "agent/update/status.py",
    "agent/state.py",
    "agent/policy_store.py",
    "agent/private_windows.py",
    "protocol/trust_store.py",
    "protocol/aio/receipt_book.py",
    "technician_client/audit_files.py",
    "technician_client/files.py",
    "technician_client/policy_document.py",
    "technician_client/recovery.py",
    "technician_client/release_bundle.py",
    "protocol/published.py",
    "relay/registry.py",
    "relay/requests.py",
}
"""These read files that only the program itself, or its own administrator at the command line, writes; the
relay's two read its own database."""


@dataclass(frozen=True, slots=True)
class Target:
    """`decode` takes any bytes, up to what its caller lets through; `errors` is what it may raise."""

    decode: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = (SupportError,)
    limit_bytes: int = 8 << 20


@cache
def _cast() -> tuple[bytes, Identity, Identity, datetime]:
    from tests.support.organisation import acme

    return acme().root_der, acme().device(), acme().technician(), datetime.now(UTC)


def _codec(where: str) -> Target:
    module, _, name = where.partition(":")
    return Target(getattr(import_module(module), name).decode)


def _frames(content: bytes) -> object:
    from protocol.channels import CHANNEL_TERMS, Channels

    channels = Channels()
    channels.open(1, CHANNEL_TERMS["input"])
    channels.open(2, CHANNEL_TERMS["screen"])
    channels.close(2)
    middle = len(content) // 2
    return [*channels.receive(content[:middle]), *channels.receive(content[middle:])]


def _tunnel(content: bytes, *, is_device: bool) -> object:
    from protocol.tunnel import Tunnel, TunnelEnd

    _, device, technician, _ = _cast()
    tunnel = Tunnel(TunnelEnd.DEVICE, device) if is_device else Tunnel(TunnelEnd.TECHNICIAN, technician)
    tunnel.start()
    return tunnel.feed(content)


def _certificate(content: bytes) -> object:
    from protocol.certificates import Role, verify_chain

    root, device, _, now = _cast()
    chains = [[content], [content, device.chain[1]], [device.chain[0], content]]
    failures = []
    for chain in chains:
        try:
            verify_chain(chain, root, roles={Role.DEVICE, Role.TECHNICIAN}, now=now)
        except SupportError as exc:
            failures.append(exc)
    return failures


def _signed(content: bytes) -> bytes:
    """The content as a document of the device: what is behind the signature is fuzzed too."""
    from protocol.envelope import sign_envelope
    from protocol.grants import SEALED_GRANT_TYPE

    return sign_envelope(SEALED_GRANT_TYPE, content, _cast()[1])


def _envelope(content: bytes) -> object:
    from protocol.certificates import Role
    from protocol.envelope import open_envelope

    root, _, _, now = _cast()
    return open_envelope(content, "application/x-any", root, roles={Role.POLICY}, now=now)


def _sealed_grant(content: bytes) -> object:
    from protocol.grants import open_sealed_grant

    root, _, _, now = _cast()
    sealed = content if content[:1] == b"{" else _signed(content[1:])
    return open_sealed_grant(sealed, root, request_sha256="0" * 64, now=now)


def _approval(content: bytes) -> object:
    from protocol.approval import APPROVAL_TYPE, open_approval
    from protocol.envelope import sign_envelope

    root, _, technician, now = _cast()
    signed = content if content[:1] == b"{" else sign_envelope(APPROVAL_TYPE, content[1:], technician)
    return open_approval(signed, root, now=now)


def _policy(content: bytes) -> object:
    from protocol.policy import parse_policy

    return parse_policy(content)


def _status_list(content: bytes) -> object:
    from protocol.status_list import parse_status

    return parse_status(content)


def _release(content: bytes) -> object:
    """Rightly signed: what is behind the signature is fuzzed."""
    from protocol.release import RELEASE_TYPE, open_release
    from protocol.succession import RootLine
    from tests.support.organisation import acme

    signature = _signature(acme().root_key, RELEASE_TYPE, content)
    return open_release(content, signature, RootLine(acme().root_der))


def _root_step(content: bytes) -> object:
    from protocol.succession import SUCCESSOR_TYPE, read_step
    from tests.support.organisation import acme

    if content[:1] == b"{":
        return read_step(content)
    step = json.loads(_a_step())
    payload, [entry] = content[1:], step["signatures"]
    signature = _signature(acme().recovery_key, SUCCESSOR_TYPE, payload)
    entry["sig"], step["payload"] = b64encode(signature).decode(), b64encode(payload).decode()
    return read_step(json.dumps(step).encode())


@cache
def _a_step() -> bytes:
    from tests.support.organisation import acme

    return acme().successor()[1]


def _signature(key: ec.EllipticCurvePrivateKey, kind: str, content: bytes) -> bytes:
    from protocol.dsse import pre_authentication_encoding

    return key.sign(pre_authentication_encoding(kind, content), ec.ECDSA(hashes.SHA256()))


def _join_token(content: bytes) -> object:
    from protocol.join_token import read_token

    return read_token(content.decode("latin-1"), now=_cast()[3])


def _receipt(content: bytes) -> object:
    from protocol.receipt import read_receipt

    return read_receipt(content).facts()


def _approval_request(content: bytes) -> object:
    from protocol.approval import ApprovalRequest

    return ApprovalRequest.read(content)


def _audit_record(content: bytes) -> object:
    from protocol.audit import read_record, verify_records

    assert verify_records(content.splitlines(keepends=True)).records >= 0
    return read_record(content)


def _audit_file(content: bytes) -> object:
    """A file that the relay or the other end gave: whatever is wrong with it is named, nothing is raised."""
    from protocol.audit_check import read
    from tests.support.audit_sets import roots

    with NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as file:
        Path(file.name).write_bytes(content)
        return read(Path(file.name), roots())


def _private_windows(content: bytes) -> object:
    from protocol.private_windows import decode_private_windows

    return decode_private_windows(content)


def _ticket(content: bytes, *, is_sealed: bool) -> object:
    from relay.worker.tickets import TicketGate, _mac, new_key

    key = new_key()
    return TicketGate(key, 0).redeem(content + (_mac(key, content) if is_sealed else b""), 0.0)


def _console_page(content: bytes) -> object:
    from technician_client.console.page_messages import decode_from_page

    return decode_from_page(content.decode("utf-8", "surrogateescape"))


def _local_frames(content: bytes) -> object:
    from agent.local_frames import LocalConnection

    async def read() -> list[bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        reader.feed_eof()
        connection = LocalConnection(reader, None)  # nothing is written
        return [await connection.receive(1 << 16) for _ in range(8)]

    with asyncio.Runner() as runner:
        return runner.run(read())


def _desktop_frames(content: bytes) -> object:
    from agent.desktop.ipc import read_frame
    from agent.desktop.ipc_messages import TO_DESKTOP_CODEC

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(content)
        theirs.shutdown(socket.SHUT_WR)
        return [TO_DESKTOP_CODEC.decode(read_frame(ours, TO_DESKTOP_CODEC.limit_bytes)) for _ in range(8)]


def _desktop_settings(content: bytes) -> object:
    from agent.desktop.xsettings import read_settings

    return read_settings(content)


def _desktop_bus(content: bytes) -> object:
    from agent.bus_frames import Frames, read_message
    from agent.desktop.tray_item import Shown, answer_call

    shown = Shown("Alongside", "Ready", "Open", is_urgent=False, pictures=(), revision=1)
    read = [read_message(frame) for frame in [content, *Frames().feed(content)]]
    return [answer_call(message, shown, lambda: None) for message in read if message is not None]


def _exec_service_link(content: bytes) -> object:
    from agent.exec.service_link import ServiceLink

    reading, writing = os.memfd_create("in"), os.memfd_create("out")
    try:
        os.write(reading, content)
        os.lseek(reading, 0, os.SEEK_SET)
        link = ServiceLink(reading, writing)
        return [link.receive(5.0) for _ in range(8)]
    finally:
        os.close(reading)
        os.close(writing)


def _screen_worker_link(content: bytes) -> object:
    """Cut anywhere: the frames are the same, and each is a message of the service or is refused."""
    from agent.capabilities.screen.worker_link import FrameCutter
    from agent.desktop.ipc_messages import TO_WORKER_CODEC

    cutter = FrameCutter(TO_WORKER_CODEC.limit_bytes)
    middle = len(content) // 3
    frames = [*cutter.feed(content[:middle]), *cutter.feed(content[middle:])]
    assert FrameCutter(TO_WORKER_CODEC.limit_bytes).feed(content) == frames
    return [TO_WORKER_CODEC.decode(frame) for frame in frames]


def _support_code(content: bytes) -> object:
    from protocol.support_code import means_code, read_code

    entered = content.decode("utf-8", "replace")
    means_code(entered)
    return read_code(entered)


def _pairing_element(content: bytes) -> object:
    from protocol.pairing import Binding, DevicePairing, TechnicianPairing

    binding = Binding("123", b"one", b"two", b"exporter")
    device = DevicePairing("012345678", binding)
    technician = TechnicianPairing("012345678", binding)
    technician.element()
    failures = []
    for take in (device.answer, technician.confirm):
        try:
            take(content)
        except SupportError as exc:
            failures.append(exc)
    return failures


def _shown_texts(content: bytes) -> object:
    from protocol.log_text import plain_text
    from protocol.names import shown_name, shown_reason
    from technician_client.cli.terminal_text import TerminalText
    from technician_client.console.shown import OutputText

    text = content.decode("utf-8", "surrogateescape")
    assert len(shown_name(text)) <= 64
    assert "\n" not in shown_reason(text)
    assert "\x1b" not in plain_text(text)
    terminal, output = TerminalText(), OutputText()
    assert "\x1b" not in terminal.feed(content) + terminal.end() + output.feed(content)
    return None


def _update_list(part: str) -> Target:
    from tests.support.update_noise import take

    return Target(lambda content: take(part, content))


def _update_offer() -> Target:
    from tests.support.update_noise import take_custom

    return Target(take_custom)


UPDATE_LISTS = ("root", "timestamp", "snapshot", "targets")
TARGETS: dict[str, Callable[[], Target]] = {
    **{f"update-list.{part}": (lambda part=part: _update_list(part)) for part in UPDATE_LISTS},
    "update-offer": _update_offer,
    **{name: (lambda where=where: _codec(where)) for name, where in CODECS.items()},
    "frames": lambda: Target(_frames),
    "tunnel.device": lambda: Target(lambda content: _tunnel(content, is_device=True)),
    "tunnel.technician": lambda: Target(lambda content: _tunnel(content, is_device=False)),
    "certificate": lambda: Target(_certificate),
    "envelope": lambda: Target(_envelope),
    "sealed-grant": lambda: Target(_sealed_grant),
    "policy": lambda: Target(_policy),
    "status-list": lambda: Target(_status_list),
    "release": lambda: Target(_release),
    "root-step": lambda: Target(_root_step),
    "join-token": lambda: Target(_join_token),
    "receipt": lambda: Target(_receipt),
    "approval.request": lambda: Target(_approval_request),
    "approval.signed": lambda: Target(_approval),
    "audit-record": lambda: Target(_audit_record),
    "audit-file": lambda: Target(_audit_file, ()),
    "private-windows": lambda: Target(_private_windows, (SupportError, ValueError)),
    "ticket": lambda: Target(lambda content: _ticket(content, is_sealed=False)),
    "ticket.sealed": lambda: Target(lambda content: _ticket(content, is_sealed=True)),
    "console-page": lambda: Target(_console_page),
    "local-frames": lambda: Target(_local_frames),
    "desktop.frames": lambda: Target(_desktop_frames, (SupportError, EOFError), limit_bytes=64 << 10),
    "desktop.bus": lambda: Target(_desktop_bus, (ValueError,), limit_bytes=64 << 10),
    "desktop.settings": lambda: Target(_desktop_settings, (), limit_bytes=64 << 10),
    "exec.service-link": lambda: Target(_exec_service_link),
    "screen.worker-link": lambda: Target(_screen_worker_link),
    "support-code": lambda: Target(_support_code),
    "pairing-element": lambda: Target(_pairing_element, limit_bytes=PAIRING_MESSAGE_LIMIT_BYTES),
    "shown-texts": lambda: Target(_shown_texts, limit_bytes=OUTPUT_CHUNK_LIMIT_BYTES),
}


def feed(target: Target, content: bytes) -> None:
    """Decode; what the target may raise is swallowed, everything else is a finding."""
    with suppress(*target.errors):
        target.decode(content[: target.limit_bytes])
