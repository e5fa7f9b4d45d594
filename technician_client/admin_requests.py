"""What an admin asks of the relay, over the same link that technicians use."""

from collections.abc import Callable

from protocol.errors import PeerViolation
from protocol.ids import DeviceId
from protocol.messages import control
from technician_client.link import RelayLink


class AdminRequests:
    """The relay does these for the role `admin` alone. Errors as `RelayLink.request`."""

    def __init__(self, link: RelayLink) -> None:
        self._link = link

    async def set_device_status(self, device_id: DeviceId, status: str) -> None:
        """`status` is "approved" or "removed"."""
        await self._order(lambda number: control.SetDeviceStatus(number, device_id, status))

    async def revoke_token(self, enroller_serial: str) -> None:
        """No further device joins under the enroller with this serial (hex)."""
        await self._order(lambda number: control.RevokeToken(number, enroller_serial))

    async def tokens(self) -> list[control.TokenRow]:
        """The enrollers that the relay has seen, and how often each was used."""
        answer = await self._link.request(control.ListTokens)
        if not isinstance(answer, control.TokenList):
            raise PeerViolation(f"{type(answer).__name__} instead of the tokens")
        return answer.tokens

    async def publish_policy(self, version: int, envelope: bytes) -> None:
        """Hand the signed policy to the relay, which hands it on unread."""
        await self._order(lambda number: control.PublishPolicy(number, version, envelope))

    async def publish_status(self, version: int, envelope: bytes) -> None:
        """Hand the signed status list to the relay, which hands it on unread."""
        await self._order(lambda number: control.PublishStatus(number, version, envelope))

    async def _order(self, make: Callable[[int], control.FromClient]) -> None:
        answer = await self._link.request(make)
        if not isinstance(answer, control.Done):
            raise PeerViolation(f"{type(answer).__name__} instead of done")
