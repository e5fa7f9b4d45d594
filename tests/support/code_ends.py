"""Devices that show support codes, and technicians with opinions of their own about pairing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from protocol.aio.channel_io import ChannelIO
from protocol.aio.tunnel_io import TunnelIO
from protocol.certificates import Role
from protocol.errors import ErrorCode, SupportError, UsageError
from protocol.identity import Identity, visitor_identity
from protocol.messages.pairing import PAIRING_CODEC, InPairing, PairingElement
from protocol.messages.session import EndSession
from protocol.pairing import Binding, TechnicianPairing
from protocol.support_code import SupportCode, read_code
from protocol.tunnel import Tunnel, TunnelEnd
from tests.support.device_end import DeviceEnd, device_end
from tests.support.organisation import Organisation
from tests.support.wires import MemoryWire

ANSWER_LIMIT_S = 5.0


def visitor(role: Role = Role.TECHNICIAN) -> Identity:
    """A fresh identity without an organisation."""
    return visitor_identity(role, now=datetime.now(UTC))


def visiting_device(folder: Path) -> AbstractAsyncContextManager[DeviceEnd]:
    """A device without an organisation."""
    return device_end(Organisation(), folder, identity=visitor(Role.DEVICE))


def other_secret(code: SupportCode) -> SupportCode:
    """The same nameplate with a guess that is wrong."""
    return SupportCode(code.nameplate, f"{(int(code.secret) + 1) % 10**10:010d}")


def typed(entered: str) -> str:
    """What a technician's program makes of what was entered: the code as it is shown, or the refusal."""
    try:
        return read_code(entered).shown()
    except UsageError as exc:
        return str(exc.code)


@dataclass(frozen=True)
class RawTechnician:
    """Speaks the tunnel for real, and in it whatever a test wants; `pairing` knows how it would be right."""

    control: ChannelIO
    pairing: TechnicianPairing

    async def send(self, message: InPairing) -> None:
        """One message of the pairing."""
        await self.control.control.send(PAIRING_CODEC.encode(message))

    async def send_bytes(self, message: bytes) -> None:
        """Something else on channel 0."""
        await self.control.control.send(message)

    async def hear(self) -> InPairing:
        """The device's next message."""
        async with asyncio.timeout(ANSWER_LIMIT_S):
            return PAIRING_CODEC.decode(await self.control.control.receive())

    async def refusal(self) -> str:
        """The code with which the device ends it; E_LINK_LOST when it said nothing."""
        try:
            while True:
                message = await self.hear()
                if isinstance(message, EndSession):
                    return message.cause
        except SupportError as exc:
            return exc.code

    async def exchange_elements(self) -> bytes:
        """As it should be, up to our own confirmation, which is returned and not sent."""
        await self.send(PairingElement(self.pairing.element()))
        answer = await self.hear()
        assert isinstance(answer, PairingElement), answer
        return self.pairing.confirm(answer.element)


@asynccontextmanager
async def raw_technician(
    device: DeviceEnd, identity: Identity, code: SupportCode, wire: MemoryWire | None = None
) -> AsyncIterator[RawTechnician]:
    """A tunnel to this device, opened by a code; nothing was said in it yet."""
    wire = wire or device.offer(nameplate=code.nameplate)[1]
    tunnel = TunnelIO(wire, Tunnel(TunnelEnd.TECHNICIAN, identity))
    done = await tunnel.handshake()
    channels = ChannelIO(tunnel)
    pump = asyncio.create_task(channels.run())
    binding = Binding(code.nameplate, identity.chain[0], done.peer_chain[0], done.exporter)
    try:
        yield RawTechnician(channels, TechnicianPairing(code.secret, binding))
    finally:
        await tunnel.close()
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


def no_prompt_and_nothing_granted(device: DeviceEnd) -> bool:
    """Whether the audit log says that the person was bothered with nothing."""
    return not {"session.ready", "consent.asked", "grant.given"} & set(device.kinds())


WRONG = ErrorCode.E_CODE_WRONG.value
