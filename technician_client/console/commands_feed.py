"""Approved commands: the page's wish checked against the verified catalogue, output back to the page."""

from dataclasses import dataclass, field

from protocol.catalogue import Catalogue
from protocol.ids import new_request_id
from protocol.messages.commands import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    CancelCommand,
    CommandEnded,
    CommandOutput,
    CommandRefused,
    CommandStarted,
    FromAgent,
    RunCommand,
)
from protocol.names import shown_reason
from technician_client.command_audit import CommandAudit
from technician_client.console.backend import Channel
from technician_client.console.page import Page
from technician_client.console.page_messages import (
    PageRun,
    SayCommandEnded,
    SayCommandOutput,
    SayCommandStarted,
    problem,
)
from technician_client.console.shown import OutputText, shown_tree
from technician_client.session_audit import SessionAudit


@dataclass(frozen=True, slots=True)
class _Run:
    run_no: int
    audit: CommandAudit
    texts: dict[str, OutputText] = field(
        default_factory=lambda: {"stdout": OutputText(), "stderr": OutputText()}
    )


class CommandsFeed:
    """Serves one commands channel; several commands may run at once."""

    def __init__(self, channel: Channel, page: Page, catalogue: Catalogue, audit: SessionAudit) -> None:
        self._channel = channel
        self._page = page
        self._catalogue = catalogue
        self._audit = audit
        self._runs: dict[str, _Run] = {}

    async def run(self, wish: PageRun) -> None:
        """Ask the agent to run it.

        Raises:
            Refused: E_COMMAND_UNKNOWN or E_COMMAND_PARAMETER: our own catalogue says no already.
        """
        self._catalogue.find(wish.command_id).build_argv(wish.parameters)
        request_id = new_request_id()
        run = _Run(wish.run_no, CommandAudit(self._audit, wish.command_id, request_id))
        run.audit.requested()
        self._runs[request_id] = run
        order = RunCommand(request_id, wish.command_id, wish.entry_sha256, wish.parameters)
        await self._channel.send(FROM_TECHNICIAN_CODEC.encode(order))

    async def cancel(self, run_no: int) -> None:
        """End it now; nothing happens if it has ended."""
        for request_id, run in list(self._runs.items()):
            if run.run_no == run_no:
                await self._channel.send(FROM_TECHNICIAN_CODEC.encode(CancelCommand(request_id)))

    async def serve(self) -> None:
        """Pass on what the agent says until the channel is over or the page left."""
        try:
            while True:
                message = FROM_AGENT_CODEC.decode(await self._channel.receive())
                run = self._runs.get(message.request_id)
                if run is not None:
                    run.audit.message(message)
                    await self._pass_on(run, message)
        finally:
            for run in self._runs.values():
                run.audit.lost()

    async def _pass_on(self, run: _Run, message: FromAgent) -> None:
        match message:
            case CommandStarted():
                await self._page.say(SayCommandStarted(run.run_no, shown_tree(message.argv)))
            case CommandOutput():
                stream = "stderr" if message.stream == "stderr" else "stdout"
                text = run.texts[stream].feed(message.chunk)
                await self._page.say(SayCommandOutput(run.run_no, stream, text))
            case CommandEnded():
                del self._runs[message.request_id]
                await self._page.say(_ended(run.run_no, message))
            case CommandRefused():
                del self._runs[message.request_id]
                why = problem(message.code, shown_reason(message.detail))
                await self._page.say(SayCommandEnded(run.run_no, was_refused=True, problem=why))


def _ended(run_no: int, message: CommandEnded) -> SayCommandEnded:
    return SayCommandEnded(
        run_no,
        exit_status=message.exit_status,
        is_truncated=message.is_truncated,
        took_s=message.took_s,
        problem=problem(message.code) if message.code else None,
    )
