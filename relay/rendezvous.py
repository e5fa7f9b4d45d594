"""Brings a technician and a device to the same worker, and a device's refusal back (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.errors import ErrorCode, PeerViolation, Refused
from protocol.ids import SessionId, checked_session_id, new_session_id
from protocol.limits import SESSION_PAIR_TIMEOUT_S, TICKET_LIFETIME_S
from protocol.messages.control import SessionDeclined, SessionOffered, SessionOpened, SessionRoute
from relay.links import Link
from relay.worker.tickets import Side, TicketMint

DECLINE_WINDOW_S = TICKET_LIFETIME_S + SESSION_PAIR_TIMEOUT_S
OPENING_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class _Opening:
    technician: Link
    device: Link
    until_s: float


class Rendezvous:
    """Sessions that are being opened. `routes` holds one entry a worker; times are Unix time."""

    def __init__(self, mint: TicketMint, routes: Sequence[SessionRoute]) -> None:
        self._mint = mint
        self._routes = list(routes)
        self._next_worker_no = 0
        self._openings: dict[SessionId, _Opening] = {}  # oldest first

    @property
    def openings(self) -> int:
        """How many sessions a device could still decline."""
        return len(self._openings)

    def open(
        self, technician: Link, device: Link, request_no: int, now_s: float, *, nameplate: str = ""
    ) -> SessionId:
        """Offer a session to the device and give the technician its ticket.

        `nameplate` is the one by which the device was found.

        Raises:
            Refused: E_BUSY.
        """
        self._forget_old(now_s)
        if len(self._openings) >= OPENING_LIMIT:
            raise Refused("too many sessions are being opened", code=ErrorCode.E_BUSY)
        session_id = new_session_id()
        worker_no = self._next_worker_no
        self._next_worker_no = (worker_no + 1) % len(self._routes)
        route = self._routes[worker_no]
        self._openings[session_id] = _Opening(technician, device, now_s + DECLINE_WINDOW_S)
        for_device = self._mint.mint(session_id, Side.DEVICE, worker_no, now_s)
        for_technician = self._mint.mint(session_id, Side.TECHNICIAN, worker_no, now_s)
        is_visitor = technician.is_visitor or device.is_visitor
        device.post(SessionOffered(session_id, route, for_device, nameplate))
        technician.post(SessionOpened(request_no, session_id, route, for_technician, is_visitor))
        return session_id

    def declined(self, device: Link, message: SessionDeclined, now_s: float) -> None:
        """Pass the refusal to the technician who asked; one about a session that was not this device's is
        dropped."""
        self._forget_old(now_s)
        try:
            session_id = checked_session_id(message.session_id)
        except PeerViolation:
            return
        opening = self._openings.get(session_id)
        if opening is None or opening.device is not device:
            return
        del self._openings[session_id]
        opening.technician.post(message)

    def _forget_old(self, now_s: float) -> None:
        while self._openings:
            session_id, opening = next(iter(self._openings.items()))
            if opening.until_s > now_s:
                return
            del self._openings[session_id]
