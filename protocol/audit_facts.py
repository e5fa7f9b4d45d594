"""Which facts a record of each kind may hold, and of which type: checked before anything is written (pure).

The table is the allow-list of what reaches an audit log beside who, when, which device and which session.
A fact that is not in it is refused, so that no text of a screen, no key press and no secret gets in by
accident. A new kind or fact starts here, and in PROTOCOL.md.
"""

import re
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from protocol.errors import WrongState


class FactType(Enum):
    """What a fact's value is; "text" is cleaned and cut when it is written."""

    NUMBER = "number"
    TEXT = "text"
    DIGEST = "digest"


_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_N, _T, _D = FactType.NUMBER, FactType.TEXT, FactType.DIGEST

FactTypes: TypeAlias = Mapping[str, FactType]

_REFUSAL: Final = {"code": _T, "detail": _T}
_CONSENT: Final = {"codes": _T, "grantable": _T, "code": _T}
_COMMAND: Final = {"request_id": _T, "command_id": _T}
_COMMAND_END: Final = {**_COMMAND, "exit_status": _N, "took_ms": _N, "output_bytes": _N, "code": _T}
_POLICY: Final = {"version": _N, "sha256": _D}
_CHANNEL: Final = {"capability": _T, "code": _T}

FACTS: Final[Mapping[str, FactTypes]] = MappingProxyType(
    {
        "session.offered": {},
        "session.refused": _REFUSAL,
        "session.ready": {"name": _T, "consent": _T, "group_name": _T},
        "session.seated": {"uid": _N},
        "session.resumed": {},
        "session.stopped": {},
        "session.ended": {"cause": _T},
        "consent.asked": {"asked": _T, "ask_no": _N, "grantables": _T},
        "consent.allowed": {
            "granted": _T,
            "grantables": _T,
            "text_sha256": _T,
            "locale": _T,
            "took_ms": _N,
            "standing": _T,
        },
        "consent.denied": _CONSENT,
        "consent.timed_out": _CONSENT,
        "readback.compared": {"outcome": _T},
        "block.started": {"whom": _T, "code": _T, "until": _T, "uid": _N},
        "block.ended": {"whom": _T, "code": _T, "uid": _N},
        "standing.given": {"whom": _T, "granted": _T, "until": _T},
        "standing.ended": {"whom": _T, "granted": _T},
        "pause.started": {"until": _T, "uid": _N},
        "pause.ended": {"uid": _N},
        "grant.given": {"grantable": _T, "length_s": _N, "grant_id": _T, "remaining_s": _N},
        "grant.refused": {"grantable": _T, "code": _T},
        "grant.ended": {"grantable": _T, "code": _T, "grant_id": _T},
        "channel.opened": _CHANNEL,
        "channel.refused": _CHANNEL,
        "channel.closed": _CHANNEL,
        "screen.started": {"private_windows_organisation": _N, "private_windows_person": _N},
        "screen.restarted": {"code": _T},
        "screen.ended": {"messages": _N, "code": _T},
        "input.started": {},
        "input.ended": {"events": _N, "late": _N, "paused": _N, "dropped": _N},
        "diagnostics.read": {},
        "command.requested": {**_COMMAND, "entry_sha256": _T, "parameters": _T},
        "command.refused": {**_COMMAND, **_REFUSAL},
        "command.approved": {**_COMMAND, "technician_id": _T},
        "command.started": {**_COMMAND, "program": _T, "approved_by": _T},
        "command.ended": _COMMAND_END,
        "command.unknown": {**_COMMAND_END, "outcome": _T},
        "policy.accepted": _POLICY,
        "policy.refused": {**_REFUSAL, "version": _N},
        "policy.signed": _POLICY,
        "policy.published": _POLICY,
        "status.accepted": {"version": _N, "revoked": _N},
        "status.refused": _REFUSAL,
        "root.succeeded": {"generation": _N, "root_sha256": _D},
        "root.refused": _REFUSAL,
        "status.signed": _POLICY,
        "status.published": _POLICY,
        "certificate.revoked": {"role": _T, "subject": _T},
        "device.joined": {"relay": _T, "group": _T, "code": _T},
        "device.left": {},
        "device.approved": {},
        "device.removed": {},
        "token.made": {"serial": _T, "group": _T, "uses_limit": _N, "is_bulk": _N},
        "token.revoked": {"serial": _T},
        "release.signed": {"version": _T, "sha256": _T},
        "release.offered": {"version": _T, "sha256": _D, "percent": _N},
        "release.renewed": {"until": _T},
        "update_keys.made": {"version": _N, "names": _T},
        "update.started": {"version": _T, "former": _T},
        "update.installed": {"version": _T, "former": _T},
        "update.failed": {"version": _T, "returned_to": _T, "detail": _T},
        "update.refused": {**_REFUSAL, "version": _T},
        "code.shown": {},
        "code.tried": {},
        "code.matched": {},
        "code.refused": {"code": _T},
        "code.ended": {"code": _T},
        "organisation.made": {"name": _T},
        "technician.issued": {"technician_id": _T, "groups": _T, "grantables": _T, "expires_at_utc": _T},
        "relay.claimed": {"relay_url": _T, "relay_id": _T},
        "login.refused": _REFUSAL,
        "agent.started": {},
        "agent.stopped": {},
        "audit.recovered": {"torn_bytes": _N, "torn_sha256": _D, "kept_as": _T},
        "audit.alarm": {"code": _T, "known_seq": _N, "known_sha256": _D, "told_sha256": _T},
        "audit.accepted": {"known_seq": _N, "known_sha256": _D},
        "rating.given": {"is_good": _N},
        "rating.delivered": {"rated_session": _T},
        "rating.received": {"rated_session": _T, "is_good": _N},
        "receipt.signed": {"receipt_sha256": _D, "signed_by": _T},
        "receipt.refused": {"receipt_sha256": _D, **_REFUSAL},
    }
)


def check_facts(kind: str, facts: Mapping[str, str | int]) -> None:
    """Let the facts of a record of this kind pass.

    Raises:
        WrongState: a fact is not in the table, or not of its type; nothing may be written then.
    """
    allowed = FACTS.get(kind)
    if allowed is None:
        raise WrongState(f"audit kind {kind} is not in protocol/audit_facts.py")
    for name, value in facts.items():
        if name not in allowed:
            raise WrongState(f"fact {name!r} of {kind} is not in protocol/audit_facts.py")
        if not _is_of_type(value, allowed[name]):
            raise WrongState(f"fact {name!r} of {kind} is no {allowed[name].value}")


def _is_of_type(value: str | int, wanted: FactType) -> bool:
    if wanted is FactType.NUMBER:
        return isinstance(value, int)
    return isinstance(value, str) and (wanted is FactType.TEXT or _DIGEST.fullmatch(value) is not None)
