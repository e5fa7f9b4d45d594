"""A logged-in control link, as presence and rendezvous see it."""

from typing import Protocol

from protocol.certificates import Role
from protocol.errors import ErrorCode
from protocol.ids import OrganisationId
from protocol.messages.control import FromRelay


class Link(Protocol):
    """One client that proved who it is. Nothing blocks; all of it may be called after the link's end."""

    @property
    def organisation_id(self) -> OrganisationId:
        """From its certificate, never from a message."""

    @property
    def subject_id(self) -> str:
        """From its certificate."""

    @property
    def role(self) -> Role:
        """From its certificate."""

    @property
    def is_visitor(self) -> bool:
        """Whether it has no organisation: then nothing of the above was proved."""

    @property
    def source(self) -> str:
        """Whom its tries are counted for: the certificate's subject, of a visitor the address."""

    def post(self, message: FromRelay) -> None:
        """Queue a message; a link that does not read is ended."""

    def refuse(self, request_no: int, code: ErrorCode) -> None:
        """Queue a refusal; number 0 refuses the link itself and ends it."""

    def end(self) -> None:
        """Close after what is posted was sent."""
