"""Whom this program believes: the organisation's root, and who was revoked.

`Trust.verify` is the whole judgement of a chain: `protocol.certificates.verify_chain` for form, signatures,
times, role and lifetime, and then the status list. It is shared by everything in a program that judges
certificates, and changes when a newer list is put in force.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from protocol.certificates import Role, VerifiedPeer, organisation_of_root, verify_chain
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.ids import OrganisationId
from protocol.status_list import StatusList


class Trust:
    """What holds now. `status` is None until the first list came: then certificates alone decide."""

    def __init__(self, root_der: bytes) -> None:
        self.root_der = bytes(root_der)
        self.status: StatusList | None = None
        self.failure: DocumentRefused | None = None

    @property
    def organisation_id(self) -> OrganisationId:
        """The organisation of the root."""
        return organisation_of_root(self.root_der)[0]

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
        peer = verify_chain(chain, self.root_der, roles=roles, now=now, lifetime_limit=lifetime_limit)
        self.require_unrevoked(peer)
        return peer

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
        """Before a session: the list has to be readable and not over. None at all is no fault.

        Raises:
            DocumentRefused: E_STATUS_EXPIRED, or why the stored list does not hold.
        """
        if self.failure is not None:
            raise DocumentRefused(self.failure.detail, code=self.failure.code)
        if self.status is not None and now >= self.status.expires_at_utc:
            ended = self.status.expires_at_utc.isoformat()
            raise DocumentRefused(f"it ended at {ended}", code=ErrorCode.E_STATUS_EXPIRED)
