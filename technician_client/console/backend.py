"""What the console needs of the technician's program; app.py and sessions.py implement it."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from protocol.catalogue import Catalogue
from protocol.grantables import Grantable
from protocol.ids import DeviceId, SessionId
from protocol.messages.consent import AskAnswer, GivenGrant
from protocol.messages.presence import DeviceRow
from protocol.messages.session import Ready
from technician_client.notices import SessionNotice
from technician_client.session_audit import SessionAudit


@dataclass(frozen=True, slots=True)
class Myself:
    """Who is at the console. Holds no key and nothing that a key could be made of."""

    technician: str
    technician_id: str
    organisation: str
    organisation_id: str
    certificate_days_left: float


@dataclass(frozen=True, slots=True)
class LinkState:
    """The link to the relay; `code` says why it is down ("" while it is up or being tried first)."""

    is_connected: bool
    relay_url: str
    code: str = ""


PresenceNews: TypeAlias = LinkState | DeviceRow


class Channel(Protocol):
    """One open channel of a session; `protocol.aio.channel_io.ChannelStream` is one."""

    async def send(self, message: bytes) -> None:
        """Queue a message; waits while the queue is above its mark."""
        ...

    async def until_sent(self) -> None:
        """Wait until the wire has taken what was sent; raises a SupportError when the channel is over."""
        ...

    async def receive(self) -> bytes:
        """The next message; raises a SupportError when the channel is over."""
        ...

    def close(self) -> None:
        """Done with it; may be called twice."""
        ...


class Session(Protocol):
    """One live session, as `technician_client.sessions.TechnicianSession` offers it."""

    session_id: SessionId
    device_id: DeviceId
    ready: Ready
    group_name: str
    readback: str
    why_over: str
    notices: asyncio.Queue[SessionNotice]
    audit: SessionAudit

    @property
    def is_verified(self) -> bool:
        """Whether an organisation's certificate says which device this is; else a code alone does."""
        ...

    @property
    def clock_offset_ms(self) -> float | None:
        """The agent's monotonic clock minus ours; None while it is not known."""
        ...

    @property
    def round_trip_ms(self) -> float | None:
        """Of the newest heartbeat that was answered; None before it."""
        ...

    def silence_s(self) -> float:
        """For how long nothing came, if a heartbeat waits unusually long for its answer; else 0."""
        ...

    async def take_rating(self, session_id: str) -> None:
        """The technician has seen it; raises SupportError when the session is over."""
        ...

    def stir(self) -> None:
        """Something goes on: for a while silence is to be noticed sooner."""
        ...

    async def ask(
        self,
        grantables: Iterable[Grantable],
        *,
        reason: str = "",
        ticket_number: str = "",
        length_s: int = 1800,
    ) -> AskAnswer:
        """Ask the person; returns when they, or the policy, have answered."""
        ...

    async def open_channel(self, grantable: Grantable) -> Channel:
        """Open the capability's channel; needs a held grant."""
        ...

    def held(self) -> Mapping[Grantable, GivenGrant]:
        """The grants that are live now."""
        ...

    async def end(self, cause: str = "technician_left") -> None:
        """End the session; may be called twice."""
        ...


class ConsoleApp(Protocol):
    """The technician's program, seen from the console."""

    def myself(self) -> Myself:
        """Who the console speaks for."""
        ...

    def link_state(self) -> LinkState:
        """The relay link, now."""
        ...

    async def devices(self) -> list[DeviceRow]:
        """The devices the relay knows of; raises a SupportError when it cannot be asked."""
        ...

    def watch(self) -> AbstractContextManager[asyncio.Queue[PresenceNews]]:
        """News of presence and link for as long as the context is open; a bounded queue, oldest dropped."""
        ...

    def catalogue(self) -> Catalogue:
        """The catalogue of the newest verified policy; empty when there is none."""
        ...

    async def open_session(self, device_id: DeviceId) -> Session:
        """A session with this device, its certificate verified; raises a SupportError."""
        ...
