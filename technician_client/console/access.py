"""Who may talk to the console: host, origin, single-use entry key, cookie (sans-I/O, time is given).

The cookie alone does not keep out other programs on 127.0.0.1: browsers share cookies between ports and call
all of them one site. So WebSockets and changing requests also need our exact origin, and a request that a
page of another origin caused (Fetch Metadata, W3C) is refused.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from enum import Enum, auto

from protocol.errors import ErrorCode, Refused

ENTRY_KEY_LIFETIME_S = 600.0
KEY_BYTES = 32
COOKIE_NAME = "alongside_console"
_KEY_LIMIT_CHARS = 128
_READING_METHODS = frozenset({"GET", "HEAD"})
_OWN_FETCH_SITES = frozenset({"", "none", "same-origin"})


class Verdict(Enum):
    """What the rules say about one request."""

    ALLOWED = auto()
    WRONG_HOST = auto()
    WRONG_ORIGIN = auto()
    NO_COOKIE = auto()


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What the rules look at; absent headers are empty texts. `is_open` needs no cookie."""

    method: str
    host: str
    origin: str = ""
    cookie: str = ""
    fetch_site: str = ""
    is_websocket: bool = False
    is_open: bool = False


@dataclass(slots=True)
class ConsoleAccess:
    """The rules of one running console. Keys and cookies are kept as hashes only."""

    port: int
    _keys: dict[bytes, float] = field(default_factory=dict)
    _cookies: set[bytes] = field(default_factory=set)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The only Host headers that are answered."""
        return (f"127.0.0.1:{self.port}", f"localhost:{self.port}")

    def mint_key(self, now_s: float) -> str:
        """A fresh entry key of 256 bits, good once and for ENTRY_KEY_LIFETIME_S."""
        key = secrets.token_urlsafe(KEY_BYTES)
        self._keys[_hashed(key)] = now_s + ENTRY_KEY_LIFETIME_S
        return key

    def redeem(self, key: str, now_s: float) -> str:
        """The cookie that this key buys; the key is spent.

        Raises:
            Refused: E_CONSOLE_TOKEN: unknown, spent or too old.
        """
        until_s = self._keys.pop(_hashed(key), None) if len(key) <= _KEY_LIMIT_CHARS else None
        if until_s is None or now_s >= until_s:
            raise Refused("entry key", code=ErrorCode.E_CONSOLE_TOKEN)
        cookie = secrets.token_urlsafe(KEY_BYTES)
        self._cookies.add(_hashed(cookie))
        return cookie

    def knows(self, cookie: str) -> bool:
        """Whether the cookie was given out by this console and not signed out since."""
        return len(cookie) <= _KEY_LIMIT_CHARS and _hashed(cookie) in self._cookies

    def sign_out(self, cookie: str) -> None:
        """Forget this cookie."""
        self._cookies.discard(_hashed(cookie))

    def judge(self, facts: RequestFacts) -> Verdict:
        """The verdict on a request; the first rule that is broken names it."""
        if facts.host not in self.hosts:
            return Verdict.WRONG_HOST
        is_changing = facts.is_websocket or facts.method not in _READING_METHODS
        if is_changing and facts.origin != f"http://{facts.host}":
            return Verdict.WRONG_ORIGIN
        if not facts.is_open and facts.fetch_site not in _OWN_FETCH_SITES:
            return Verdict.WRONG_ORIGIN
        if facts.is_open or self.knows(facts.cookie):
            return Verdict.ALLOWED
        return Verdict.NO_COOKIE


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
