"""A company's HTTP proxy on loopback (CONNECT, RFC 9110 section 9.3.6), with the moods such a thing has."""

import asyncio
import contextlib
import ssl
from base64 import b64encode
from types import TracebackType
from typing import Self

CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
ASKED = b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'


class ConnectProxy:
    """Leads every name to loopback, as a proxy that resolves names by itself.

    `password`: of the user "pc", "" lets everybody through. `idle_limit_s`: cuts whoever says nothing for so
    long. `intercepts`: ends TLS here, with this certificate.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        """`host`: where it listens, and leads to."""
        self._host = host
        self.password = ""
        self.idle_limit_s = 60.0
        self.intercepts: ssl.SSLContext | None = None
        self.asked_for: list[str] = []
        self.cuts = 0
        self._server: asyncio.Server | None = None
        self._tunnels: set[asyncio.Task[None]] = set()

    def address(self, password: str = "") -> str:
        """For HTTPS_PROXY."""
        assert self._server is not None
        user = f"pc:{password}@" if password else ""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{user}{host}:{self._server.sockets[0].getsockname()[1]}"

    async def cut(self) -> None:
        """Every tunnel through it ends now."""
        for tunnel in list(self._tunnels):
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tunnels.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._tunnel(reader, writer)
        finally:
            self._tunnels.discard(task)
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        assert method == "CONNECT"
        self.asked_for.append(target)
        wanted = "Basic " + b64encode(f"pc:{self.password}".encode()).decode()
        if self.password and f"proxy-authorization: {wanted}".lower() not in head.lower():
            writer.write(ASKED)
            await writer.drain()
            return
        there = await asyncio.open_connection(self._host, int(target.rpartition(":")[2]))
        writer.write(CONNECTED)
        try:
            if self.intercepts is not None:
                await writer.start_tls(self.intercepts)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy(reader, there[1]))
                both.create_task(self._copy(there[0], writer))
        except* OSError:
            pass
        finally:
            there[1].close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(self.idle_limit_s):
                    piece = await reader.read(65536)
            except TimeoutError:
                self.cuts += 1
                raise ConnectionAbortedError from None
            if not piece:
                raise ConnectionAbortedError
            writer.write(piece)
            await writer.drain()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()
