"""Who may log in: certificate chain, signature over our nonce, and what the store says about them."""

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from protocol.certificate_profile import read_certificate
from protocol.certificates import Role, VerifiedPeer, organisation_of_root, verify_chain
from protocol.errors import CertificateRefused, ErrorCode, Refused
from protocol.ids import OrganisationId
from protocol.messages.control import (
    Claim,
    LogIn,
    Succeed,
    Visit,
    claim_transcript,
    login_transcript,
    succession_transcript,
)
from protocol.names import shown_name
from protocol.trust import Trust
from protocol.version import PROTOCOL_VERSION
from relay.access import LOGIN_ROLES
from relay.claim_secret import ClaimSecret
from relay.store.interface import (
    DeviceArrival,
    DocumentKind,
    DocumentRecord,
    OrganisationRecord,
    Store,
)

NO_ORGANISATION: Final = OrganisationId("")
# before somebody proved who they are, the database is asked no more often, whatever they say
_FRESH_S = 1.0


@dataclass(frozen=True, slots=True)
class Visitor:
    """An end without an organisation; its name is drawn here and means nothing."""

    role: Role
    subject_id: str
    organisation_id: OrganisationId = NO_ORGANISATION


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody who proved who they are, or visits. `status` is a device's standing and "" for others."""

    peer: VerifiedPeer | Visitor
    status: str


@dataclass(frozen=True, slots=True)
class _Line:
    """The steps of an organisation as they are kept, and what they come to."""

    kept: DocumentRecord | None
    trust: Trust
    read_at_s: float


class Registry:
    """Judges log-ins and the one claim in a relay's life."""

    def __init__(
        self,
        store: Store,
        secret: ClaimSecret,
        relay_id: str,
        *,
        takes_visitors: bool = False,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._secret = secret
        self._takes_visitors = takes_visitors
        self._lines: dict[OrganisationId, _Line] = {}
        self._roots: dict[OrganisationId, bytes] = {}
        self._roots_read_at_s = -math.inf
        self._reading = asyncio.Lock()
        self._monotonic_s = monotonic_s
        self.relay_id = relay_id

    def visit(self, message: Visit) -> Admitted:
        """Let an end without an organisation in, where that is switched on.

        Raises:
            Refused: E_VERSION, E_CODE_VISITOR.
        """
        _check_version(message.version)
        if not self._takes_visitors:
            raise Refused("visitors are switched off", code=ErrorCode.E_CODE_VISITOR)
        return Admitted(Visitor(Role(message.role), f"v-{secrets.token_hex(10)}"), "")

    async def log_in(self, message: LogIn, nonce: bytes, now: datetime) -> Admitted:
        """Judge a log-in.

        Raises:
            SupportError: with the code that says why not.
        """
        _check_version(message.version)
        peer, trust = await self._proved_by_newest(message, nonce, now)
        if peer.role is not Role.DEVICE:
            return Admitted(peer, "")
        is_current = trust.is_of_newest_root(message.chain, now=now)
        if not is_current and await self._store.device(peer.organisation_id, peer.subject_id) is None:
            # whoever has a former root's key could make enrollers for ever: it admits nobody new
            raise Refused("joined under a former root", code=ErrorCode.E_TOKEN_REVOKED)
        device = await self._store.admit_device(_arrival(peer, now))
        return Admitted(peer, device.status)

    async def _proved_by_newest(
        self, message: LogIn, nonce: bytes, now: datetime
    ) -> tuple[VerifiedPeer, Trust]:
        """Who it is, first by the roots that are at hand: strangers make no work for the database."""
        organisation_id = _organisation_of(message.chain)
        line = await self._line(organisation_id, fresh_s=math.inf)
        try:
            peer = self._proved(message, line.trust, nonce, now)
        except CertificateRefused:
            newer = await self._line(organisation_id)
            if newer.kept == line.kept:
                raise
            peer, line = self._proved(message, newer.trust, nonce, now), newer
        newest = await self._line(organisation_id, fresh_s=0)
        if newest.kept != line.kept:
            peer = self._proved(message, newest.trust, nonce, now)
        return peer, newest.trust

    def _proved(self, message: LogIn, trust: Trust, nonce: bytes, now: datetime) -> VerifiedPeer:
        peer = trust.verify(message.chain, roles=LOGIN_ROLES, now=now)
        if not peer.verify_signature(message.signature, login_transcript(nonce, self.relay_id)):
            raise Refused(peer.subject_id, code=ErrorCode.E_LOGIN_SIGNATURE)
        return peer

    async def succeed(self, message: Succeed, nonce: bytes, now: datetime) -> Admitted:
        """Follow the steps to a newer root of an organisation that is served here; log its admin in.

        Raises:
            SupportError: E_ROOT_FORK, E_ROOT_SUCCESSOR, E_ORG_UNKNOWN, E_LOGIN_SIGNATURE, or a
                certificate's code.
        """
        _check_version(message.version)
        organisation_id = _organisation_of(message.chain)
        known = await self._line(organisation_id, fresh_s=math.inf)
        peer, trust = self._succeeding(message, known.trust, nonce, now)
        newest = await self._line(organisation_id, fresh_s=0)
        if newest.kept != known.kept:
            peer, trust = self._succeeding(message, newest.trust, nonce, now)
        steps = DocumentRecord(trust.roots.generation, msgspec.msgpack.encode(trust.roots.steps))
        if not await self._store.succeed(peer.organisation_id, newest.kept, steps):
            self._lines.pop(peer.organisation_id, None)
            raise Refused("another successor came at the same moment", code=ErrorCode.E_ROOT_FORK)
        self._lines.pop(peer.organisation_id, None)
        return Admitted(peer, "")

    def _succeeding(
        self, message: Succeed, known: Trust, nonce: bytes, now: datetime
    ) -> tuple[VerifiedPeer, Trust]:
        trust = Trust(known.roots.newest, known.roots.steps)
        trust.roots.take(message.steps)
        peer = trust.verify(message.chain, roles={Role.ADMIN}, now=now)
        if not peer.verify_signature(message.signature, succession_transcript(nonce, self.relay_id)):
            raise Refused(peer.subject_id, code=ErrorCode.E_LOGIN_SIGNATURE)
        return peer, trust

    async def _line(self, organisation_id: OrganisationId, *, fresh_s: float = _FRESH_S) -> _Line:
        """The roots of this organisation, as they were kept at most so long ago."""
        root_der = await self._root(organisation_id)
        now_s = self._monotonic_s()
        line = self._lines.get(organisation_id)
        if line is not None and now_s < line.read_at_s + fresh_s:
            return line
        # asked for again: another relay on the same database may have heard of a successor
        kept = await self._store.newest_document(organisation_id, DocumentKind.SUCCESSORS)
        if line is not None and line.kept == kept:
            trust = line.trust
        else:
            trust = Trust(root_der, msgspec.msgpack.decode(kept.envelope, type=list[bytes]) if kept else [])
        line = self._lines[organisation_id] = _Line(kept, trust, now_s)
        return line

    async def _root(self, organisation_id: OrganisationId) -> bytes:
        """The root that was claimed with, which stays."""
        if organisation_id not in self._roots:
            await self._read_roots()
        if organisation_id not in self._roots:
            raise Refused(f"organisation {organisation_id}", code=ErrorCode.E_ORG_UNKNOWN)
        return self._roots[organisation_id]

    async def _read_roots(self) -> None:
        """All of them, so that nobody who asks for unknown ones keeps out somebody who is served here."""
        async with self._reading:
            now_s = self._monotonic_s()
            if now_s >= self._roots_read_at_s + _FRESH_S:
                served = await self._store.organisations()
                self._roots |= {one.organisation_id: one.root_der for one in served}
                self._roots_read_at_s = now_s

    async def claim(self, message: Claim, nonce: bytes, now: datetime) -> Admitted:
        """Bind this relay to the claimant's organisation, once.

        Raises:
            SupportError: E_ORG_CLAIMED, E_CLAIM_SECRET, E_LOGIN_SIGNATURE, or a certificate's code.
        """
        _check_version(message.version)
        if not self._roots:
            await self._read_roots()
        if self._roots:
            raise Refused("claimed before", code=ErrorCode.E_ORG_CLAIMED)
        if not self._secret.matches(message.secret):
            raise Refused("wrong secret", code=ErrorCode.E_CLAIM_SECRET)
        organisation_id, name = organisation_of_root(message.root)
        peer = verify_chain(message.chain, message.root, roles={Role.ADMIN}, now=now)
        if not peer.verify_signature(
            message.signature, claim_transcript(nonce, self.relay_id, message.secret)
        ):
            raise Refused(peer.subject_id, code=ErrorCode.E_LOGIN_SIGNATURE)
        record = OrganisationRecord(organisation_id, bytes(message.root), shown_name(name), now)
        if not await self._store.add_first_organisation(record):
            raise Refused("claimed before", code=ErrorCode.E_ORG_CLAIMED)
        self._secret.discard()
        self._roots[organisation_id] = record.root_der
        return Admitted(peer, "")


def _organisation_of(chain: Sequence[bytes]) -> OrganisationId:
    """Which one a chain says that it is of; nothing of it is verified."""
    organisation_id = read_certificate(chain[0]).organisation_id
    if organisation_id is None:
        raise Refused("no organisation", code=ErrorCode.E_ORG_UNKNOWN)
    return organisation_id


def _check_version(version: int) -> None:
    if version != PROTOCOL_VERSION:
        raise Refused(f"version {version}", code=ErrorCode.E_VERSION)


def _arrival(peer: VerifiedPeer, now: datetime) -> DeviceArrival:
    terms = peer.enroller
    if terms is None:
        raise Refused("a device without an enroller", code=ErrorCode.E_CERT_CHAIN)
    return DeviceArrival(
        organisation_id=peer.organisation_id,
        device_id=peer.subject_id,
        name=shown_name(peer.name),
        group=peer.group,
        enroller_serial=terms.serial,
        join_until=terms.join_until,
        uses_limit=terms.uses_limit,
        is_bulk=terms.is_bulk,
        at_utc=now,
    )
