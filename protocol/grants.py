"""Grants: the only thing that lets a capability act. Only a `GrantBook` makes them.

The consent broker (`agent/session_consent.py`) is the only code that may hold a book: `tests/rules` looks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, NoReturn

import msgspec

from protocol.certificates import Role, VerifiedPeer
from protocol.envelope import open_envelope, sign_envelope
from protocol.errors import DocumentRefused, ErrorCode, NotGranted, WrongState
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.ids import DeviceId, GrantId, SessionId, SubjectId, new_grant_id
from protocol.limits import CLOCK_SKEW_S
from protocol.trust import Trust

SEALED_GRANT_TYPE = "application/vnd.alongside.grant+json"
SEALED_GRANT_LIFETIME_S = 60
_MINT: Final = object()


@dataclass(frozen=True, slots=True)
class GrantParties:
    """For whom and where: everything a grant is bound to beside its grantable and its end."""

    technician_id: SubjectId
    device_id: DeviceId
    os_session: str
    session_id: SessionId


class Grant:
    """One permission, for exactly one grantable, technician, device, OS session and session.

    `until_s` is on the monotonic clock of the agent that minted it. It cannot be constructed, copied or
    changed outside of a `GrantBook`, and it says nothing once its book has ended it: handlers ask the book
    each time.
    """

    __slots__ = ("grant_id", "grantable", "parties", "until_s")

    grant_id: GrantId
    grantable: Grantable
    parties: GrantParties
    until_s: float

    def __init__(self, mint: object, grantable: Grantable, parties: GrantParties, *, until_s: float) -> None:
        if mint is not _MINT:
            raise WrongState("a grant is minted by a GrantBook alone")
        values = (new_grant_id(), grantable, parties, until_s)
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def __init_subclass__(cls) -> NoReturn:
        raise WrongState("there is one kind of grant")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise WrongState("a grant cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise WrongState("a grant cannot be emptied")

    def __reduce__(self) -> NoReturn:  # what copying and pickling go by
        raise WrongState("a grant cannot be copied")


class GrantBook:
    """The live grants of one session. What is not in it is refused, here, in one place."""

    def __init__(self, parties: GrantParties) -> None:
        self.parties = parties
        self._live: dict[Grantable, Grant] = {}
        self._is_over = False

    @property
    def live(self) -> list[Grant]:
        """Every grant that has not been ended, oldest first; some may be past their time."""
        return list(self._live.values())

    @property
    def deadline_s(self) -> float | None:
        """When the next grant runs out, or None."""
        return min((grant.until_s for grant in self._live.values()), default=None)

    def mint(self, grantables: Iterable[Grantable], *, until_s: float) -> list[Grant]:
        """Make grants; one that is already held is replaced.

        Raises:
            WrongState: the book was closed by `end_all`.
        """
        if self._is_over:
            raise WrongState("this session's grants are over")
        made = [Grant(_MINT, grantable, self.parties, until_s=until_s) for grantable in grantables]
        self._live.update({grant.grantable: grant for grant in made})
        return made

    def require(self, grantable: Grantable, now_s: float) -> Grant:
        """The live grant for this.

        Raises:
            NotGranted: E_GRANT_NONE (never given, or ended) or E_GRANT_ENDED (its time is over).
        """
        grant = self._live.get(grantable)
        if grant is None:
            raise NotGranted(grantable.value)
        if now_s >= grant.until_s:
            raise NotGranted(grantable.value, code=ErrorCode.E_GRANT_ENDED)
        return grant

    def find(self, grant_id: str) -> Grant | None:
        """The live grant of this id."""
        return next((grant for grant in self._live.values() if grant.grant_id == grant_id), None)

    def end(self, grant: Grant) -> bool:
        """Take one grant away; False if it was gone already."""
        if self._live.get(grant.grantable) is not grant:
            return False
        del self._live[grant.grantable]
        return True

    def end_due(self, now_s: float) -> list[Grant]:
        """Take away every grant whose time is over, and return them."""
        due = [grant for grant in self._live.values() if now_s >= grant.until_s]
        for grant in due:
            del self._live[grant.grantable]
        return due

    def end_all(self) -> list[Grant]:
        """Take everything away for good; no grant can be minted afterwards. May be called twice."""
        ended = list(self._live.values())
        self._live.clear()
        self._is_over = True
        return ended


class SealedGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sealed grant says: one grant, for one request, for a minute at most. Times are UTC."""

    grant_id: str
    grantable: Grantable
    technician_id: str
    device_id: str
    os_session: str
    session_id: str
    request_sha256: str
    issued_at_utc: Annotated[datetime, msgspec.Meta(tz=True)]
    expires_at_utc: Annotated[datetime, msgspec.Meta(tz=True)]


def seal_grant(
    grant: Grant, request_sha256: str, device: Identity, *, remaining_s: float, now: datetime
) -> bytes:
    """The grant as a document signed by the device, so that the exec worker can check it by itself.

    `request_sha256` binds it to one request; `remaining_s` is what is left of the grant.

    Raises:
        WrongState: it only looks like a grant.
    """
    if type(grant) is not Grant:
        raise WrongState("no grant of a GrantBook")
    payload = SealedGrant(
        grant_id=grant.grant_id,
        grantable=grant.grantable,
        technician_id=grant.parties.technician_id,
        device_id=grant.parties.device_id,
        os_session=grant.parties.os_session,
        session_id=grant.parties.session_id,
        request_sha256=request_sha256,
        issued_at_utc=now,
        expires_at_utc=now + timedelta(seconds=min(remaining_s, SEALED_GRANT_LIFETIME_S)),
    )
    return sign_envelope(SEALED_GRANT_TYPE, msgspec.json.encode(payload), device)


def open_sealed_grant(
    sealed: bytes, trust: Trust | bytes, *, request_sha256: str, now: datetime
) -> tuple[SealedGrant, VerifiedPeer]:
    """The grant in a sealed document, and the device that sealed it: chain, signature, time and request hold.

    Raises:
        DocumentRefused: E_POLICY_SIGNATURE, E_GRANT_NONE (another request or device), E_GRANT_ENDED.
        CertificateRefused: the device's chain is not acceptable.
    """
    payload, signer = open_envelope(sealed, SEALED_GRANT_TYPE, trust, roles={Role.DEVICE}, now=now)
    try:
        grant = msgspec.json.decode(payload, type=SealedGrant)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise DocumentRefused(str(exc)[:200], code=ErrorCode.E_MESSAGE_FORMAT) from None
    if grant.device_id != signer.subject_id or grant.request_sha256 != request_sha256:
        raise DocumentRefused("the grant is for something else", code=ErrorCode.E_GRANT_NONE)
    if not grant.issued_at_utc <= now + timedelta(seconds=CLOCK_SKEW_S) or now >= grant.expires_at_utc:
        raise DocumentRefused("the grant is over", code=ErrorCode.E_GRANT_ENDED)
    return grant, signer
