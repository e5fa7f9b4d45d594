"""The device's side of proving a support code inside the tunnel, before `session.ready`.

What has to be told goes out at `reply_at_s`, right or wrong; all arithmetic with the secret is done before.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from agent.code_desk import Guess
from protocol.aio.channel_io import ChannelStream
from protocol.errors import ErrorCode, PeerViolation, Refused, SupportError, Unreachable
from protocol.limits import CODE_PAIRING_LIMIT_S, PAIRING_CONFIRMATION_BYTES
from protocol.messages.pairing import PAIRING_CODEC, PairingConfirmation, PairingElement
from protocol.messages.session import EndSession
from protocol.pairing import Binding, DevicePairing, reply_at_s

M = TypeVar("M", PairingElement, PairingConfirmation)


@dataclass(frozen=True, slots=True)
class PairingTerms:
    """`take` hands out the one guess, or raises; it is called once something is there to be compared."""

    binding: Binding
    take: Callable[[], Guess]


async def pair_as_device(control: ChannelStream, terms: PairingTerms) -> Guess:
    """Return the guess when it was right; the caller says so to it. Nothing was shown to the person yet.

    Raises:
        SupportError: E_CODE_WRONG, E_CODE_USED, E_CODE_EXPIRED, E_CODE_UNKNOWN, E_AUDIT_WRITE; the
            technician broke the protocol or is gone. The guess is burnt once `take` gave it out.
    """
    guess: Guess | None = None
    try:
        async with asyncio.timeout(CODE_PAIRING_LIMIT_S):
            element = await _receive(control, PairingElement)
            received_s = _now_s()
            guess = terms.take()
            pairing = DevicePairing(guess.secret, terms.binding)
            try:
                answer = PAIRING_CODEC.encode(PairingElement(pairing.answer(element.element)))
            finally:
                await _until(reply_at_s(received_s, _now_s()))
            await control.send(answer)
            confirmation = await _receive(control, PairingConfirmation)
            received_s = _now_s()
            own = pairing.check(confirmation.confirmation)
            noise = secrets.token_bytes(PAIRING_CONFIRMATION_BYTES)
            reply = PAIRING_CODEC.encode(PairingConfirmation(own or noise))
            await _until(reply_at_s(received_s, _now_s()))
            await control.send(reply)
        if own is None:
            raise Refused("another code", code=ErrorCode.E_CODE_WRONG)
    except BaseException as exc:
        if guess is not None:
            guess.failed(exc.code if isinstance(exc, SupportError) else ErrorCode.E_PEER_SILENT)
        if isinstance(exc, TimeoutError):
            raise Unreachable("pairing took too long", code=ErrorCode.E_PEER_SILENT) from None
        raise
    return guess


async def _receive(control: ChannelStream, kind: type[M]) -> M:
    message = PAIRING_CODEC.decode(await control.receive())
    if isinstance(message, EndSession):
        raise Unreachable(f"the technician left: {message.cause}", code=ErrorCode.E_LINK_LOST)
    if not isinstance(message, kind):
        raise PeerViolation(f"{type(message).__name__} instead of {kind.__name__}")
    return message


async def _until(at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - _now_s()))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
