"""The technician's side of proving a support code inside the tunnel, before `session.ready`."""

import asyncio
from typing import TypeVar

from protocol.aio.channel_io import ChannelStream
from protocol.errors import ErrorCode, PeerViolation, Unreachable
from protocol.limits import CODE_PAIRING_LIMIT_S
from protocol.messages.pairing import PAIRING_CODEC, PairingConfirmation, PairingElement
from protocol.messages.session import EndSession
from protocol.pairing import TechnicianPairing
from technician_client.refusals import said_goodbye

M = TypeVar("M", PairingElement, PairingConfirmation)


async def pair_as_technician(control: ChannelStream, pairing: TechnicianPairing) -> None:
    """Return once the device has proved that it holds the same code.

    Raises:
        SupportError: E_CODE_WRONG; the device's own reason (E_CODE_USED, E_CODE_EXPIRED …); it broke the
            protocol; E_PEER_SILENT.
    """
    try:
        async with asyncio.timeout(CODE_PAIRING_LIMIT_S):
            await control.send(PAIRING_CODEC.encode(PairingElement(pairing.element())))
            answer = await _receive(control, PairingElement)
            confirmation = pairing.confirm(answer.element)
            await control.send(PAIRING_CODEC.encode(PairingConfirmation(confirmation)))
            answered = await _receive(control, PairingConfirmation)
    except TimeoutError:
        raise Unreachable("pairing took too long", code=ErrorCode.E_PEER_SILENT) from None
    pairing.check(answered.confirmation)


async def _receive(control: ChannelStream, kind: type[M]) -> M:
    message = PAIRING_CODEC.decode(await control.receive())
    if isinstance(message, EndSession):
        raise said_goodbye(message)
    if not isinstance(message, kind):
        raise PeerViolation(f"{type(message).__name__} instead of {kind.__name__}")
    return message
