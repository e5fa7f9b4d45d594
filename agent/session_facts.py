"""What stays the same for a whole session on the agent's side."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.admission import Admitted
from agent.ask_patience import AskPatience
from agent.standing import StandingConsents
from agent.welcome import Welcome
from protocol.ids import DeviceId, SessionId
from protocol.names import shown_name


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What stays the same for the whole session; `admitted` is how the technician stood at its start."""

    device_id: DeviceId
    session_id: SessionId
    organisation_name: str
    admitted: Admitted
    admit_again: Callable[[], Admitted]
    certificate_ends_s: float  # on the loop's clock
    patience: AskPatience
    standing: StandingConsents
    welcome: Welcome
    group: str
    readback: str
    slept_s: Callable[[], float]
    asker_uid: int | None = None
    """The user of the device who asked for this help by a code; None: whoever is at it."""

    @property
    def shown_organisation(self) -> str:
        """As the person reads it; "" when nobody can tell who the technician is."""
        return "" if self.admitted.peer.is_visitor else shown_name(self.organisation_name)

    @property
    def shown_technician(self) -> str:
        """As the person reads it; "" when nobody can tell."""
        return "" if self.admitted.peer.is_visitor else shown_name(self.admitted.peer.name)
