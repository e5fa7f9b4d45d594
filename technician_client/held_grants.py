"""The grants that a session holds, as its agent announced them (pure; the agent alone decides)."""

from collections.abc import Iterable, Mapping

import msgspec

from protocol.grantables import Grantable
from protocol.messages.consent import GivenGrant


class HeldGrants:
    """One grant for each grantable at most. Times are the caller's monotonic seconds."""

    def __init__(self) -> None:
        self._held: dict[Grantable, tuple[GivenGrant, float]] = {}

    def add(self, grants: Iterable[GivenGrant], *, now_s: float) -> None:
        """These were given just now; a newer one takes an older one's place."""
        for grant in grants:
            self._held[Grantable(grant.grantable)] = (grant, now_s + grant.remaining_s)

    def end(self, grant_id: str) -> list[Grantable]:
        """This grant is over; returns what it allowed, [] if it was not held."""
        lost = [grantable for grantable, (grant, _) in self._held.items() if grant.grant_id == grant_id]
        for grantable in lost:
            del self._held[grantable]
        return lost

    def live(self, *, now_s: float) -> Mapping[Grantable, GivenGrant]:
        """What may be used now, each with the time it has left."""
        return {
            grantable: msgspec.structs.replace(grant, remaining_s=until_s - now_s)
            for grantable, (grant, until_s) in self._held.items()
            if until_s > now_s
        }

    def clear(self) -> None:
        """The session is over."""
        self._held.clear()
