"""Which device waits behind which nameplate (pure). The rest of a support code never comes here."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import ErrorCode, Refused
from protocol.limits import CODE_LIFETIME_S, NAMEPLATE_OFFERS_LIMIT, NAMEPLATES_LIMIT
from relay.links import Link
from relay.ratelimit import NAMEPLATE_RATE, RateLimit

MISSES_ALARM = 100
MISSES_WINDOW_S = 600.0


@dataclass(slots=True)
class _Held:
    device: Link
    holder: bytes
    until_s: float
    offers_left: int = NAMEPLATE_OFFERS_LIMIT


class Nameplates:
    """Bounded in number and in time; a device holds one. Times are monotonic seconds.

    `on_alarm` is told, once in MISSES_WINDOW_S, that many nameplates were tried that nobody holds.
    """

    def __init__(self, on_alarm: Callable[[int], None]) -> None:
        self._held: dict[str, _Held] = {}
        self._rate = RateLimit(NAMEPLATE_RATE)
        self._on_alarm = on_alarm
        self._misses = 0
        self._misses_from_s = float("-inf")

    def hold(self, device: Link, nameplate: str, holder: bytes, now_s: float) -> None:
        """The device waits there; after a new link the same holder takes its own nameplate over.

        Raises:
            Refused: E_CODE_TAKEN, another device holds it; E_BUSY.
        """
        held = self._live(nameplate, now_s)
        if held is not None:
            if not hmac.compare_digest(held.holder, holder):
                raise Refused(nameplate, code=ErrorCode.E_CODE_TAKEN)
            held.device = device
            return
        self.forget(device)
        if len(self._held) >= NAMEPLATES_LIMIT:
            self._drop_old(now_s)
        if len(self._held) >= NAMEPLATES_LIMIT:
            raise Refused("too many nameplates", code=ErrorCode.E_BUSY)
        self._held[nameplate] = _Held(device, holder, now_s + CODE_LIFETIME_S)

    def release(self, device: Link, nameplate: str) -> None:
        """The device does not wait there any more; somebody else's nameplate stays."""
        held = self._held.get(nameplate)
        if held is not None and held.device is device:
            del self._held[nameplate]

    def forget(self, device: Link) -> None:
        """The device's link is gone, or it waits elsewhere."""
        for nameplate in [name for name, held in self._held.items() if held.device is device]:
            del self._held[nameplate]

    def find(self, technician: Link, nameplate: str, now_s: float) -> Link:
        """The device that waits there, if these two may meet.

        Raises:
            Refused: E_RATE; E_CODE_UNKNOWN; E_CERT_ORG, the device takes its own technicians only.
        """
        if not self._rate.take(technician.source, now_s):
            raise Refused(technician.source, code=ErrorCode.E_RATE)
        held = self._live(nameplate, now_s)
        if held is None:
            self._count_miss(now_s)
            raise Refused(nameplate, code=ErrorCode.E_CODE_UNKNOWN)
        if not may_meet(technician, held.device):
            raise Refused(nameplate, code=ErrorCode.E_CERT_ORG)
        held.offers_left -= 1
        if not held.offers_left:
            del self._held[nameplate]
        return held.device

    def _live(self, nameplate: str, now_s: float) -> _Held | None:
        held = self._held.get(nameplate)
        if held is not None and held.until_s <= now_s:
            del self._held[nameplate]
            return None
        return held

    def _drop_old(self, now_s: float) -> None:
        for nameplate in [name for name, held in self._held.items() if held.until_s <= now_s]:
            del self._held[nameplate]

    def _count_miss(self, now_s: float) -> None:
        if now_s - self._misses_from_s > MISSES_WINDOW_S:
            self._misses, self._misses_from_s = 0, now_s
        self._misses += 1
        if self._misses == MISSES_ALARM:
            self._on_alarm(self._misses)


def may_meet(technician: Link, device: Link) -> bool:
    """A device of an organisation meets that organisation's technicians; a visitor meets anybody."""
    return device.is_visitor or technician.organisation_id == device.organisation_id
