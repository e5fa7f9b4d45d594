"""A control link that records what is posted to it."""

from dataclasses import dataclass, field

from protocol.certificates import Role
from protocol.errors import ErrorCode
from protocol.ids import OrganisationId
from protocol.messages.control import FromRelay, Refused


@dataclass(eq=False)
class RecordingLink:
    """Implements `relay.links.Link`."""

    role: Role = Role.TECHNICIAN
    subject_id: str = "ada"
    organisation_id: OrganisationId = OrganisationId("0" * 64)  # noqa: RUF009 - a string
    posted: list[FromRelay] = field(default_factory=list)
    is_ended: bool = False
    is_visitor: bool = False
    address: str = ""

    @property
    def source(self) -> str:
        """See `Link`."""
        return self.address or self.subject_id

    def post(self, message: FromRelay) -> None:
        """See `Link`."""
        if not self.is_ended:
            self.posted.append(message)

    def refuse(self, request_no: int, code: ErrorCode) -> None:
        """See `Link`."""
        self.post(Refused(request_no, code))
        if request_no == 0:
            self.end()

    def end(self) -> None:
        """See `Link`."""
        self.is_ended = True
