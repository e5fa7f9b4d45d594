"""Somebody else's web site on this machine, which a technician's browser visits."""

from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class ForeignSite:
    """Serves `html` at every address with these headers, and keeps the headers of what it was asked."""

    html: str = "<!doctype html><title>foreign</title>"
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(
            {"path": request.path, **{name.lower(): value for name, value in request.headers.items()}}
        )
        return web.Response(text=self.html, content_type="text/html", headers=self.headers)
