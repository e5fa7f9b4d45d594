"""One real relay that serves two organisations: the second comes by a hand in its database."""

import asyncio
import contextlib
import sqlite3
from datetime import UTC, datetime

from protocol.errors import ErrorCode, SupportError
from tests.support.organisation import Organisation, acme
from tests.support.relay_process import RelayProcess, claim_relay, log_in_client

SERVED_S = 15.0


async def serve_two(relay: RelayProcess, second: Organisation) -> None:
    """Claim a fresh relay for Acme and add the other one; returns when both are let in."""
    await claim_relay(relay, acme())
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    with contextlib.closing(sqlite3.connect(relay.data / "relay.sqlite", timeout=5)) as database:
        database.execute(
            "insert into organisations (organisation_id, root_der, name, claimed_at_utc) values (?, ?, ?, ?)",
            (second.organisation_id, second.root_der, second.display_name, now),
        )
        database.commit()
    async with asyncio.timeout(SERVED_S):
        while not await _is_served(relay, second):  # noqa: ASYNC110  it reads them once a second at most
            await asyncio.sleep(0.1)


async def _is_served(relay: RelayProcess, organisation: Organisation) -> bool:
    try:
        client = await log_in_client(relay, organisation.technician())
    except SupportError as exc:
        assert exc.code is ErrorCode.E_ORG_UNKNOWN
        return False
    await client.close()
    return True
