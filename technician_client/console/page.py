"""The open page of one session: the sending half that the feeds use."""

from typing import Protocol

from technician_client.console.page_messages import ToPage


class PageGone(Exception):
    """The page's socket closed. Only the session's root catches it."""


class Page(Protocol):
    """Messages to one page. Sending waits while the page is slow, and raises PageGone when it left."""

    async def say(self, message: ToPage) -> None:
        """Send one text message."""
        ...

    async def show(self, picture: bytes) -> None:
        """Send one binary message."""
        ...

    async def hear(self) -> str:
        """The page's next text message."""
        ...
