"""What `run` and `diagnose` share: a session with a device, and one permission in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from protocol.aio.channel_io import ChannelStream
from protocol.errors import ErrorCode
from protocol.grantables import PLAIN_WORDS, Grantable
from protocol.ids import DeviceId
from technician_client.app import TechnicianApp
from technician_client.cli.output import Output
from technician_client.device_match import match_device
from technician_client.refusals import refusal
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
    with output.working("Looking for the device …"):
        row = match_device(request.device, await app.devices())
    with output.working(f"Connecting to {row.name or row.device_id} …"):
        session = await app.open_session(DeviceId(row.device_id))
    async with session:
        words = PLAIN_WORDS[request.grantable].lower()
        with output.working(f"Asking the person at {session.device.name}: {words} …"):
            answer = await session.ask(
                [request.grantable], reason=request.reason, ticket_number=request.ticket_number
            )
        if not answer.granted:
            raise refusal(answer.refused.get(request.grantable, ErrorCode.E_CONSENT_DENIED))
        yield session, await session.open_channel(request.grantable)
        await session.end("finished")
