"""What one organisation takes of a relay: so many requests at once, and a line of its own for the rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from protocol.ids import OrganisationId

# a database serves one after the other, or a few at once: whoever floods fills its own places alone
REQUESTS_AT_ONCE_LIMIT = 2


class Turns:
    """Places for the requests of each organisation; those that find none wait for their own."""

    def __init__(self, at_once: int = REQUESTS_AT_ONCE_LIMIT) -> None:
        self._at_once = at_once
        self._places: dict[OrganisationId, asyncio.Semaphore] = {}
        self._users: dict[OrganisationId, int] = {}

    @property
    def organisations(self) -> int:
        """How many have a request under way or in line."""
        return len(self._places)

    @asynccontextmanager
    async def one_of(self, organisation_id: OrganisationId) -> AsyncIterator[None]:
        """Wait for a place, first come first served, and hold it."""
        place = self._places.setdefault(organisation_id, asyncio.Semaphore(self._at_once))
        self._users[organisation_id] = self._users.get(organisation_id, 0) + 1
        try:
            async with place:
                yield
        finally:
            self._users[organisation_id] -= 1
            if not self._users[organisation_id]:
                del self._users[organisation_id], self._places[organisation_id]
