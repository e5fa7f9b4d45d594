"""Takes files from the relay over HTTP, bounded in length by TUF's client and in time here.

The reading is done by a thread of its own, so that no server can hold up the updater: not with a name that
does not resolve, not with a header that comes one byte a minute. The thread is left behind; the process is
short-lived.
"""

import queue
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import IO, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface
from websockets.headers import build_authorization_basic
from websockets.proxy import Proxy

from protocol.aio.wire import check_proxy, is_loopback, relay_tls_context, socket_url

SILENCE_LIMIT_S: Final = 20.0
FIRST_BYTES_LIMIT_S: Final = 30.0
LEAST_BYTES_PER_S: Final = 4 << 10
_CHUNK_BYTES: Final = 64 << 10
_WAITING_CHUNKS: Final = 4
# TLS to the proxy itself is not what urllib makes of https:// here: a password would travel in the open
_PROXY_SCHEMES: Final = frozenset({"http"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How slow a server may be. After `first_s` seconds it has to have sent `bytes_per_s` on average."""

    silence_s: float = SILENCE_LIMIT_S
    first_s: float = FIRST_BYTES_LIMIT_S
    bytes_per_s: float = LEAST_BYTES_PER_S


class RelayFetcher(FetcherInterface):
    """Follows no redirect and accepts no plain HTTP beyond this machine; see `FetcherInterface`."""

    def __init__(
        self, relay_url: str, authority: str | None, patience: Patience | None = None, proxy: str = ""
    ) -> None:
        """`authority`: the only accepted one (PEM), None for the system's. `proxy`: "" for the environment's.

        A proxy that is given is always asked, as the agent does: the environment's NO_PROXY has no say.

        Raises:
            UsageError: E_CONFIG, no address of a relay, or unencrypted to another machine.
            Unreachable: E_RELAY_PROXY, no address of a proxy that can be used here (http://).
        """
        address = urlsplit(socket_url(relay_url, "/release/"))
        scheme = {"ws": "http", "wss": "https"}[address.scheme]
        self.base_url = f"{scheme}://{address.netloc}/release/"
        self._patience = patience or Patience()
        handlers = [_NoRedirect(), HTTPSHandler(context=_context(scheme, authority))]
        self._proxy: Proxy | None = None
        if is_loopback(address.hostname or ""):
            handlers.append(ProxyHandler({}))
        elif proxy:
            handlers.append(ProxyHandler({}))
            self._proxy = check_proxy(proxy, self.base_url, schemes=_PROXY_SCHEMES)
        self._opener = build_opener(*handlers)

    def _fetch(self, url: str) -> Iterator[bytes]:
        waiting: queue.Queue[bytes | Exception] = queue.Queue(_WAITING_CHUNKS)
        given_up = threading.Event()
        reading = threading.Thread(target=self._read, args=(url, waiting, given_up), daemon=True)
        reading.start()
        return self._received(waiting, given_up)

    def _received(
        self, waiting: "queue.Queue[bytes | Exception]", given_up: threading.Event
    ) -> Iterator[bytes]:
        started_s, seen = time.monotonic(), 0
        try:
            while True:
                # by when the next chunk has to be here, for the average to hold
                allowed_s = self._patience.first_s + seen / self._patience.bytes_per_s
                left_s = started_s + allowed_s - time.monotonic()
                try:
                    chunk = waiting.get(timeout=max(min(left_s, self._patience.silence_s), 0.001))
                except queue.Empty:
                    raise SlowRetrievalError(
                        f"{seen} bytes in {time.monotonic() - started_s:.0f} s"
                    ) from None
                if isinstance(chunk, Exception):
                    raise chunk
                if not chunk:
                    return
                seen += len(chunk)
                yield chunk
        finally:
            given_up.set()

    def _read(self, url: str, waiting: "queue.Queue[bytes | Exception]", given_up: threading.Event) -> None:
        def hand_over(chunk: bytes | Exception) -> None:
            while not given_up.is_set():
                try:
                    return waiting.put(chunk, timeout=0.5)
                except queue.Full:
                    continue
            return None

        try:
            request = Request(url, headers={"Accept-Encoding": "identity"})  # noqa: S310 - the scheme is ours
            if self._proxy is not None:
                _send_through(request, self._proxy)
            with self._opener.open(request, timeout=self._patience.silence_s) as answer:
                while not given_up.is_set() and (chunk := answer.read1(_CHUNK_BYTES)):
                    hand_over(chunk)
            hand_over(b"")
        except HTTPError as exc:
            exc.close()
            hand_over(DownloadHTTPError(f"{url}: {exc.code}", exc.code))
        except Exception as exc:  # noqa: BLE001 - whatever a server provokes here is told to who waits
            hand_over(DownloadError(f"{url}: {exc}"[:200]))


class _NoRedirect(HTTPRedirectHandler):
    """A relay does not choose where its clients connect to."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """See `HTTPRedirectHandler`."""
        raise HTTPError(req.full_url, code, "a redirect", headers, fp)


def _send_through(request: Request, proxy: Proxy) -> None:
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    request.set_proxy(f"{host}:{proxy.port}", proxy.scheme)
    if proxy.username is not None and proxy.password is not None:
        # to the proxy alone: urllib takes it out of what is sent through the tunnel
        request.add_header("Proxy-Authorization", build_authorization_basic(proxy.username, proxy.password))


def _context(scheme: str, authority: str | None) -> ssl.SSLContext | None:
    return relay_tls_context(authority) if scheme == "https" else None
