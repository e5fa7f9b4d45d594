"""Session tickets: made by the control process, redeemed once by the worker that they name.

A ticket says which end of which session its holder may be. It carries no authority over a device: that
is proved inside the tunnel, which the relay cannot open.
"""

import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from protocol.errors import ErrorCode, Refused
from protocol.ids import SessionId
from protocol.limits import TICKET_LIFETIME_S, TICKET_LIMIT_BYTES

KEY_BYTES = 32
NONCE_BYTES = 16
MAC_BYTES = 32
REDEEMED_LIMIT = 100_000


class Side(StrEnum):
    """Which end of a session the holder of a ticket is."""

    DEVICE = "device"
    TECHNICIAN = "technician"


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """What a ticket says. `expires_at_s` is Unix time."""

    session_id: str
    side: Side
    worker_no: int
    expires_at_s: float
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Admission:
    """What a redeemed ticket allows: to be this end of this session."""

    session_id: SessionId
    side: Side


def new_key() -> bytes:
    """A fresh key for tickets; it lives in memory only and dies with the relay."""
    return secrets.token_bytes(KEY_BYTES)


def _mac(key: bytes, claims: bytes) -> bytes:
    return hmac.digest(key, b"alongside session ticket v1\0" + claims, "sha256")


class TicketMint:
    """Makes tickets; used by the control process."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def mint(self, session_id: SessionId, side: Side, worker_no: int, now_s: float) -> bytes:
        """A fresh single-use ticket, good for TICKET_LIFETIME_S from `now_s` (Unix time)."""
        claims = Claims(
            session_id, side, worker_no, now_s + TICKET_LIFETIME_S, secrets.token_bytes(NONCE_BYTES)
        )
        encoded = msgspec.msgpack.encode(claims)
        return encoded + _mac(self._key, encoded)


class TicketGate:
    """Redeems tickets of one worker, each once."""

    def __init__(self, key: bytes, worker_no: int) -> None:
        self._key = key
        self._worker_no = worker_no
        self._redeemed: dict[bytes, float] = {}  # nonce: expiry, oldest first
        self._decoder = msgspec.msgpack.Decoder(Claims)

    def redeem(self, ticket: bytes, now_s: float) -> Admission:
        """What the ticket allows; a second call with the same ticket is refused.

        Raises:
            Refused: E_TICKET for a forged, foreign, expired, malformed or used ticket; E_BUSY when
                more tickets are remembered than the bound allows.
        """
        claims = self._opened(ticket)
        self._forget_expired(now_s)
        if claims.worker_no != self._worker_no or claims.expires_at_s <= now_s:
            raise Refused("ticket of another worker or expired", code=ErrorCode.E_TICKET)
        if claims.nonce in self._redeemed:
            raise Refused("ticket was used before", code=ErrorCode.E_TICKET)
        if len(self._redeemed) >= REDEEMED_LIMIT:
            raise Refused("too many live tickets", code=ErrorCode.E_BUSY)
        self._redeemed[claims.nonce] = claims.expires_at_s
        return Admission(SessionId(claims.session_id), claims.side)

    @property
    def remembered(self) -> int:
        """How many redeemed tickets are still remembered."""
        return len(self._redeemed)

    def _opened(self, ticket: bytes) -> Claims:
        if not MAC_BYTES < len(ticket) <= TICKET_LIMIT_BYTES:
            raise Refused(f"ticket of {len(ticket)} bytes", code=ErrorCode.E_TICKET)
        claims, mac = ticket[:-MAC_BYTES], ticket[-MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(self._key, claims)):
            raise Refused("ticket is not ours", code=ErrorCode.E_TICKET)
        try:
            return self._decoder.decode(claims)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Refused("ticket claims are malformed", code=ErrorCode.E_TICKET) from None

    def _forget_expired(self, now_s: float) -> None:
        while self._redeemed:
            nonce, expires_at_s = next(iter(self._redeemed.items()))
            if expires_at_s > now_s:
                return
            del self._redeemed[nonce]
