"""Snapshots from the `diagnostics` channel to the page."""

import msgspec

from protocol.messages.diagnostics import FROM_AGENT_CODEC, FROM_TECHNICIAN_CODEC, ReadSnapshot
from technician_client.console.backend import Channel
from technician_client.console.page import Page
from technician_client.console.page_messages import SaySnapshot
from technician_client.console.shown import shown_tree


class DiagnosticsFeed:
    """Serves one diagnostics channel."""

    def __init__(self, channel: Channel, page: Page) -> None:
        self._channel = channel
        self._page = page
        self._request_no = 0

    async def read(self) -> None:
        """Ask for one snapshot; it reaches the page through `serve`."""
        self._request_no += 1
        await self._channel.send(FROM_TECHNICIAN_CODEC.encode(ReadSnapshot(self._request_no)))

    async def serve(self) -> None:
        """Read once, then pass on every snapshot until the channel is over or the page left."""
        await self.read()
        while True:
            snapshot = FROM_AGENT_CODEC.decode(await self._channel.receive())
            await self._page.say(SaySnapshot(shown_tree(msgspec.to_builtins(snapshot))))
