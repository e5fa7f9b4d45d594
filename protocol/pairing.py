"""Proving that both ends hold the same support code, inside the tunnel (sans-I/O, SPAKE2).

    technician  NEW ──element made, sent──► SENT ──peer's element──► CONFIRMING ──its confirmation──► DONE
    device      NEW ──peer's element, own element made──► CONFIRMING ──its confirmation──► DONE

The technician confirms first: a device that was tried with a wrong secret sends nothing that could be
tested offline. Both the SPAKE2 identities and the confirmations cover the roles, the protocol version,
the nameplate, both certificates and the tunnel's exporter value, so that somebody between two tunnels
gets one guess and is noticed. Decision 0014 has the reasons.

`spake2` is not constant-time: whoever answers does so at `reply_at_s`, never when it is done.
"""

import hashlib
import hmac
import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve
from spake2.parameters.ed25519 import ParamsEd25519

from protocol.errors import ErrorCode, PeerViolation, Refused, WrongState
from protocol.limits import CODE_REPLY_S, PAIRING_CONFIRMATION_BYTES, PAIRING_ELEMENT_BYTES
from protocol.version import PROTOCOL_VERSION

_LABEL: Final = b"alongside support code v1\0"
_ELEMENT_FAULTS: Final = (SPAKEError, NotOnCurve, ValueError, AssertionError)


@dataclass(frozen=True, slots=True)
class Binding:
    """What a pairing is good for. Certificates are DER; `exporter` is the tunnel's own value."""

    nameplate: str
    technician_leaf: bytes
    device_leaf: bytes
    exporter: bytes

    def transcript(self) -> bytes:
        """Every part has one length, so that no two bindings share a transcript."""
        return b"".join(
            (
                _LABEL,
                PROTOCOL_VERSION.to_bytes(2, "big"),
                hashlib.sha256(self.nameplate.encode()).digest(),
                hashlib.sha256(self.technician_leaf).digest(),
                hashlib.sha256(self.device_leaf).digest(),
                hashlib.sha256(self.exporter).digest(),
            )
        )


class Step(Enum):
    """Where a pairing stands; what comes out of order raises and changes nothing."""

    NEW = auto()
    SENT = auto()
    CONFIRMING = auto()
    DONE = auto()
    FAILED = auto()


class _Pairing:
    """What both ends share; each class below names the side and the order of its steps."""

    _own_role: bytes
    _peer_role: bytes

    def __init__(self, spake: Any, secret: str, binding: Binding) -> None:
        self.step = Step.NEW
        self._transcript = binding.transcript()
        roles = (b"technician\0" + self._transcript, b"device\0" + self._transcript)
        self._spake = spake(secret.encode(), idA=roles[0], idB=roles[1])
        self._key = b""
        self._elements = b""

    def _derive(self, own: bytes, peer: bytes) -> None:
        """Check the peer's element, then make the key; after a fault there is none."""
        self.step = Step.FAILED
        try:
            # the library takes some points in more than one spelling, and ignores what follows them
            is_canonical = ParamsEd25519.group.bytes_to_element(peer[1:]).to_bytes() == peer[1:]
            if len(peer) != PAIRING_ELEMENT_BYTES or not is_canonical:
                raise PeerViolation("not a canonical element", code=ErrorCode.E_HANDSHAKE)
            self._key = self._spake.finish(peer)
        except _ELEMENT_FAULTS as exc:
            raise PeerViolation(f"element: {type(exc).__name__}", code=ErrorCode.E_HANDSHAKE) from None
        self.step = Step.CONFIRMING

    def _confirmation(self, role: bytes) -> bytes:
        key = HKDF(SHA256(), 32, salt=None, info=_LABEL + b"confirmation of the " + role).derive(self._key)
        return hmac.digest(key, self._transcript + self._elements, "sha256")

    def _is_confirmed(self, confirmation: bytes) -> bool:
        self._require(Step.CONFIRMING)
        is_right = hmac.compare_digest(confirmation, self._confirmation(self._peer_role))
        self.step = Step.DONE if is_right else Step.FAILED
        return is_right

    def _require(self, step: Step) -> None:
        if self.step is not step:
            raise WrongState(f"pairing is {self.step.name}, not {step.name}")


class TechnicianPairing(_Pairing):
    """The end where the code was typed: `element`, then `confirm`, then `check`."""

    _own_role, _peer_role = b"technician", b"device"

    def __init__(self, secret: str, binding: Binding) -> None:
        super().__init__(SPAKE2_A, secret, binding)
        self._own = b""

    def element(self) -> bytes:
        """What is sent first."""
        self._require(Step.NEW)
        self._own = bytes(self._spake.start())
        self.step = Step.SENT
        return self._own

    def confirm(self, device_element: bytes) -> bytes:
        """Our confirmation, for the device's element.

        Raises:
            PeerViolation: E_HANDSHAKE, no element of the group.
        """
        self._require(Step.SENT)
        self._elements = self._own + device_element
        self._derive(self._own, device_element)
        return self._confirmation(self._own_role)

    def check(self, confirmation: bytes) -> None:
        """The device's confirmation came.

        Raises:
            Refused: E_CODE_WRONG, the device holds another code, or somebody is in between.
        """
        if not self._is_confirmed(confirmation):
            raise Refused("the device's confirmation does not fit", code=ErrorCode.E_CODE_WRONG)


class DevicePairing(_Pairing):
    """The end that shows the code: `answer`, then `check`. Made once for each code: that is the guess."""

    _own_role, _peer_role = b"device", b"technician"

    def __init__(self, secret: str, binding: Binding) -> None:
        super().__init__(SPAKE2_B, secret, binding)

    def answer(self, technician_element: bytes) -> bytes:
        """Our element, for the technician's. All arithmetic with the secret happens in this call.

        Raises:
            PeerViolation: E_HANDSHAKE, no element of the group.
        """
        self._require(Step.NEW)
        own = bytes(self._spake.start())
        self._elements = technician_element + own
        self._derive(own, technician_element)
        return own

    def check(self, confirmation: bytes) -> bytes | None:
        """Our own confirmation, or None when the technician's secret was another one."""
        if not self._is_confirmed(confirmation):
            return None
        return self._confirmation(self._own_role)


def reply_at_s(received_s: float, now_s: float) -> float:
    """When an answer leaves: a whole number of CODE_REPLY_S after what it answers, whatever it says."""
    steps = max(1, math.ceil((now_s - received_s) / CODE_REPLY_S))
    return received_s + steps * CODE_REPLY_S


assert SHA256.digest_size == PAIRING_CONFIRMATION_BYTES
