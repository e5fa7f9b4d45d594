"""Valid bytes for every target: what a guess would never find, and what changed bytes are made from."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from tests.fuzz.targets import CODECS, UPDATE_LISTS
from tests.support.audit_sets import audit_set, session_id
from tests.support.message_examples import example, kinds, kinds_of
from tests.support.organisation import acme
from tests.support.statuses import revoked, signed_status

SIGNED_ANEW = b"P"
"""Before a payload that the target signs, so that what is behind the signature is reached."""
_DIGEST = "0" * 64


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Bytes that this target takes, or all but takes."""
    return tuple(_of_codec(CODECS[name]) if name in CODECS else SEEDS[name]())


def _of_codec(where: str) -> list[bytes]:
    module, _, name = where.partition(":")
    return _examples(kinds(getattr(import_module(module), name)), msgspec.msgpack.encode)


def _examples(structs: list[type[Any]], encode: Callable[[object], bytes]) -> list[bytes]:
    return [encode(example(msgspec.inspect.type_info(struct))) for struct in structs]


def _frames() -> list[bytes]:
    from protocol.channels import CHANNEL_TERMS, Channels

    sender = Channels()
    sender.open(1, CHANNEL_TERMS["input"])
    sender.send(0, b"to the control channel")
    sender.send(1, b"x" * 3000)
    return [sender.next_frames(1 << 16), b"\x02\x00\x01\x00\x04\x00\x00\x10\x00"]


def _desktop_bus() -> list[bytes]:
    from agent.bus_frames import Content, Target, write_call
    from agent.desktop.tray_item import ITEM, ITEM_PATH, MENU, MENU_PATH, PROPERTIES

    to_item, to_menu = Target(":1.2", ITEM_PATH, PROPERTIES, "Get"), Target(":1.2", MENU_PATH, MENU, "Event")
    event = Content("isvu", (2, "clicked", ("s", ""), 0))
    return [write_call(to_item, Content("ss", (ITEM, "Title")), 1), write_call(to_menu, event, 2)]


def _desktop_settings() -> list[bytes]:
    from tests.support.xsettings import written

    settings = {"Net/ThemeName": "Adwaita-dark", "Gtk/EnableAnimations": 0}
    return [written(settings), written(settings, order=">")]


def _hello() -> list[bytes]:
    from protocol.tunnel import Tunnel, TunnelEnd

    tunnel = Tunnel(TunnelEnd.TECHNICIAN, acme().technician())
    tunnel.start()
    return [b"".join(tunnel.outgoing())]


def _answer() -> list[bytes]:
    from protocol.tunnel import Tunnel, TunnelEnd

    tunnel = Tunnel(TunnelEnd.DEVICE, acme().device())
    tunnel.start()
    tunnel.feed(_hello()[0])
    return [b"".join(tunnel.outgoing())]


def _certificates() -> list[bytes]:
    return [acme().device().chain[0], acme().technician().chain[0], acme().root_der]


def _envelopes() -> list[bytes]:
    return [acme().policy_envelope(), signed_status(acme(), revoked(acme().technician()))]


def _payload(envelope: bytes) -> bytes:
    return b64decode(json.loads(envelope)["payload"])


def _policy() -> list[bytes]:
    return [json.dumps(acme().policy_document()).encode()]


def _status_list() -> list[bytes]:
    return [_payload(_envelopes()[1])]


def _sealed_grant() -> list[bytes]:
    from protocol.grants import Grantable, SealedGrant

    now, device = datetime.now(UTC), acme().device()
    grant = SealedGrant(
        "g-1", Grantable.COMMANDS_RUN, "ada", device.subject_id, "1", session_id(1), _DIGEST,
        now, now + timedelta(seconds=60),
    )  # fmt: skip
    return [SIGNED_ANEW + msgspec.json.encode(grant)]


def _approval_request() -> list[bytes]:
    from protocol.approval import ApprovalRequest

    return _examples([ApprovalRequest], msgspec.json.encode)


def _approval() -> list[bytes]:
    from protocol.approval import ApprovalRequest, sign_approval

    asked = ApprovalRequest.read(_approval_request()[0])
    signed = sign_approval(asked, acme().technician(), now=datetime.now(UTC))
    return [signed, SIGNED_ANEW + _payload(signed)]


def _release() -> list[bytes]:
    from protocol.release import Release, ReleaseFile

    now = datetime.now(UTC)
    files = [ReleaseFile("wheels/alongside-1.2.3-py3-none-any.whl", _DIGEST, 1)]
    release = Release(
        1,
        "agent",
        "1.2.3",
        acme().organisation_id,
        "linux",
        "x86_64",
        ["3.11"],
        now,
        now + timedelta(30),
        files,
    )
    return [msgspec.json.encode(release)]


def _root_step() -> list[bytes]:
    step = acme().successor()[1]
    return [step, SIGNED_ANEW + _payload(step)]


def _audit_files() -> list[bytes]:
    whole = audit_set()
    anchor = {
        "device_id": whole.device.subject_id, "at_utc": "", "anchor": b64encode(whole.anchor).decode(),
    }  # fmt: skip
    receipts = [receipt.line for receipt in whole.receipts]
    return [b"".join(whole.lines), *receipts, json.dumps(anchor).encode()]


def _private_windows() -> list[bytes]:
    from protocol.private_windows import PrivateWindow, encode_private_windows

    return [encode_private_windows([PrivateWindow(window_class="keepassxc"), PrivateWindow(title="*bank?")])]


def _ticket() -> list[bytes]:
    from relay.worker.tickets import Claims, Side

    return [msgspec.msgpack.encode(Claims(session_id(1), Side.DEVICE, 0, 60.0, b"n" * 16))]


def _console_page() -> list[bytes]:
    from technician_client.console.page_messages import FromPage

    return _examples(kinds_of(FromPage), msgspec.json.encode)


def _local_frames() -> list[bytes]:
    return [b"".join(len(each).to_bytes(4, "big") + each for each in (b"one", b"", b"x" * 300))]


def _behind_lengths(where: str) -> list[bytes]:
    """Each message of this codec as one frame, and all of them in one stream."""
    frames = [len(each).to_bytes(4, "big") + each for each in _of_codec(where)]
    return [*frames, b"".join(frames)]


def _pairing_element() -> list[bytes]:
    from protocol.pairing import Binding, TechnicianPairing

    return [TechnicianPairing("012345678", Binding("123", b"one", b"two", b"exporter")).element()]


def _update_list(part: str) -> list[bytes]:
    from tests.support.update_noise import seeds_of

    return seeds_of(part)


def _update_offer() -> list[bytes]:
    from tests.support.update_noise import CUSTOM

    return [json.dumps(CUSTOM).encode()]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "frames": _frames,
    "tunnel.device": _hello,
    "tunnel.technician": _answer,
    "certificate": _certificates,
    "envelope": _envelopes,
    "sealed-grant": _sealed_grant,
    "policy": _policy,
    "status-list": _status_list,
    "release": _release,
    **{f"update-list.{part}": (lambda part=part: _update_list(part)) for part in UPDATE_LISTS},
    "update-offer": _update_offer,
    "root-step": _root_step,
    "join-token": lambda: [acme().token().encode()],
    "receipt": lambda: [receipt.line for receipt in audit_set().receipts],
    "approval.request": _approval_request,
    "approval.signed": _approval,
    "audit-record": lambda: audit_set().lines,
    "audit-file": _audit_files,
    "private-windows": _private_windows,
    "ticket": lambda: [each + bytes(32) for each in _ticket()],
    "ticket.sealed": _ticket,
    "console-page": _console_page,
    "local-frames": _local_frames,
    "desktop.bus": _desktop_bus,
    "desktop.settings": _desktop_settings,
    "desktop.frames": lambda: _behind_lengths(CODECS["local.to-desktop"]),
    "exec.service-link": lambda: _behind_lengths(CODECS["exec.to-worker"]),
    "screen.worker-link": lambda: _behind_lengths(CODECS["local.to-worker"]),
    "support-code": lambda: [b"012 345 678 901 234", b"\xef\xbc\x90\xef\xbc\x91-345"],
    "pairing-element": _pairing_element,
    "shown-texts": lambda: [b"\x1b[31mred\x1b[0m\r\nnext", "a\u202eb\u2028c".encode()],
}
"""For the targets that are no `Codec`."""
