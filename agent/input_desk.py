"""Input events of one session on their way to the desktop process."""

from contextlib import suppress

from agent.desktop.ipc_messages import AllowInput, EndInput, Inject, ReleaseInput
from agent.desktop_link import SessionDesk
from protocol.errors import ErrorCode, Unreachable
from protocol.messages.input import InputEvents


class SessionInput:
    """Implements `agent.capabilities.input.capability.InputDesk` over the local socket."""

    def __init__(self, desk: SessionDesk) -> None:
        self._desk = desk

    @property
    def is_paused(self) -> bool:
        """Whether a prompt is open."""
        return self._desk.seat.is_prompting

    async def allow(self) -> str:
        """Ask the desktop process to let events act; E_BUSY while another session controls it.

        Around a prompt they do not act yet: `acts` says when.
        """
        if self._desk.seat.controlled_by:
            return ErrorCode.E_BUSY
        self._desk.seat.controlled_by = self._desk.session_id
        try:
            return await self._desk.ask_input(AllowInput(session_id=self._desk.session_id))
        except Unreachable:
            return ErrorCode.E_INPUT_NONE

    async def inject(self, events: InputEvents) -> None:
        """Hand events over."""
        await self._desk.send(
            Inject(
                session_id=self._desk.session_id,
                display_index=events.display_index,
                events=events.events,
            )
        )

    async def acts(self) -> bool:
        """Wait until it is told anew whether events act; the first time at once after `allow`."""
        return await self._desk.acts()

    async def held_back(self) -> int:
        """How many events did not act since the last call; waits for the first."""
        return await self._desk.held_back()

    async def release(self) -> None:
        """Everything that is down goes up."""
        await self._desk.send(ReleaseInput(session_id=self._desk.session_id))

    async def end(self) -> None:
        """No further events."""
        if self._desk.seat.controlled_by != self._desk.session_id:
            return
        try:
            with suppress(Unreachable):
                await self._desk.send(EndInput(session_id=self._desk.session_id))
        finally:
            self._desk.seat.controlled_by = ""
