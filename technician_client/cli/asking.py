"""What `run` and `diagnose` share: a session with a device, and one permission in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import typer

from protocol.aio.channel_io import ChannelStream
from protocol.errors import ErrorCode, UsageError, error_text
from protocol.grantables import PLAIN_WORDS, Grantable
from protocol.support_code import means_code
from technician_client.app import TechnicianApp, technician_app, visitor_app
from technician_client.cli.output import Output
from technician_client.config import TechnicianConfig
from technician_client.refusals import refusal
from technician_client.relay_address import RelayAddress
from technician_client.sessions import TechnicianSession


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for at the device, and what the person reads as the reason."""

    device: str
    grantable: Grantable
    reason: str = ""
    ticket_number: str = ""


@asynccontextmanager
async def granted_channel(
    app: TechnicianApp, request: Request, output: Output
) -> AsyncIterator[tuple[TechnicianSession, ChannelStream]]:
    """Open a session, ask for one permission, and open its channel; all of it ends with the context.

    Raises:
        SupportError: E_DEVICE_UNKNOWN, E_DEVICE_AWAY, E_CONSENT_DENIED, E_CONSENT_TIMEOUT and the rest.
    """
    with output.working("Connecting to the device …"):
        session = await app.reach(request.device)
    async with session:
        output.remark(f"Read-back digits, if the person asks for them: {session.readback}")
        words = PLAIN_WORDS[request.grantable].lower()
        with output.working(f"Asking the person at {session.shown_device}: {words} …"):
            answer = await session.ask(
                [request.grantable], reason=request.reason, ticket_number=request.ticket_number
            )
        if not answer.granted:
            raise refusal(answer.refused.get(request.grantable, ErrorCode.E_CONSENT_DENIED))
        if session.alarm:
            sentence, remedy = error_text(session.alarm)
            output.remark(f"Warning: {sentence} {remedy}\n  Code: {session.alarm}")
        yield session, await session.open_channel(request.grantable)
        await session.end("finished")


@asynccontextmanager
async def app_for(config: TechnicianConfig, wanted: str, visit: RelayAddress) -> AsyncIterator[TechnicianApp]:
    """The technician's program; with `visit.url`, that of somebody without an organisation.

    Raises:
        UsageError: a visit without a code. SupportError: as `technician_app` and `visitor_app`.
    """
    if not visit.url:
        async with technician_app(config) as app:
            yield app
        return
    if not means_code(wanted):
        raise UsageError("--relay is for support codes alone")
    async with visitor_app(config, visit) as app:
        yield app


def code_or_device(given: str) -> str:
    """What was given, or for "-" what is typed at a question: so a code stays out of process lists."""
    return given if given != "-" else str(typer.prompt("Support code", hide_input=True, err=True))
