"""Whom this program believes: the organisation's roots, and who was revoked.

`Trust.verify` is the whole judgement of a chain: `protocol.certificates.verify_chain` for form, signatures,
times, role and lifetime, then the status list. People's certificates have to come from the newest root. A
device's may come from one before it: devices name themselves by their key, so whoever has an old root's key
can invent devices and be none of those that are there. The object is shared by everything in a program that
judges certificates, and changes when a newer list or a successor root is put in force.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from protocol.certificates import Role, VerifiedPeer, verify_chain
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.status_list import StatusList
from protocol.succession import RootLine


class Trust:
    """What holds now. `status` is None until the first list came: then certificates alone decide.

    `status_generation` is of the root that the list's signer came from.
    """

    def __init__(self, root_der: bytes, steps: Sequence[bytes] = ()) -> None:
        """`root_der` is the pinned root; `steps` (see `protocol.succession`) lead to the newest."""
        self.roots = RootLine(root_der)
        self.roots.take(steps)
        self.status_generation = 0
        self.status: StatusList | None = None
        self.status_failure: DocumentRefused | None = None
        self.roots_failure: DocumentRefused | None = None

    def verify(
        self,
        chain: Sequence[bytes],
        *,
        roles: Collection[Role],
        now: datetime,
        lifetime_limit: timedelta | None = None,
    ) -> VerifiedPeer:
        """Judge a chain (DER, leaf first, without the root).

        Raises:
            CertificateRefused: as `verify_chain`, and E_CERT_REVOKED.
        """
        newest, *former = self.roots.all
        try:
            peer = verify_chain(chain, newest, roles=roles, now=now, lifetime_limit=lifetime_limit)
        except CertificateRefused as exc:
            if exc.code is not ErrorCode.E_CERT_CHAIN or Role.DEVICE not in roles:
                raise
            older_peer = _verify_device(chain, former, now=now)
            if older_peer is None:
                raise
            peer = older_peer
        self.require_unrevoked(peer)
        return peer

    def is_of_newest_root(self, chain: Sequence[bytes], *, now: datetime) -> bool:
        """Whether a chain that `verify` accepted comes from the newest root."""
        if len(self.roots.all) == 1:
            return True
        try:
            verify_chain(chain, self.roots.newest, roles=set(Role), now=now)
        except CertificateRefused:
            return False
        return True

    def require_unrevoked(self, peer: VerifiedPeer) -> None:
        """Refuse a peer that the list names, or whose enroller it names.

        Raises:
            CertificateRefused: E_CERT_REVOKED.
        """
        named = [(peer.role, str(peer.subject_id))]
        if peer.enroller is not None:
            named.append((Role.ENROLLER, peer.enroller.serial))
        for role, subject in named:
            if self.status is not None and self.status.is_revoked(role, subject):
                raise CertificateRefused(f"{role} {subject} was revoked", code=ErrorCode.E_CERT_REVOKED)

    def require_fresh(self, now: datetime) -> None:
        """Before a session: what is stored has to be readable, the list not over. No list is no fault.

        Raises:
            DocumentRefused: E_STATUS_EXPIRED, or why the stored list or roots do not hold.
        """
        for failure in (self.roots_failure, self.status_failure):
            if failure is not None:
                raise DocumentRefused(failure.detail, code=failure.code)
        if self.status is not None and now >= self.status.expires_at_utc:
            ended = self.status.expires_at_utc.isoformat()
            raise DocumentRefused(f"it ended at {ended}", code=ErrorCode.E_STATUS_EXPIRED)


def _verify_device(chain: Sequence[bytes], roots: Sequence[bytes], *, now: datetime) -> VerifiedPeer | None:
    """The device of one of these roots; None where none of them signed it, or not a device."""
    for root_der in roots:
        try:
            return verify_chain(chain, root_der, roles={Role.DEVICE}, now=now)
        except CertificateRefused as exc:
            if exc.code not in (ErrorCode.E_CERT_CHAIN, ErrorCode.E_CERT_ROLE):
                raise
    return None
