"""The rules of who may talk to the console (THREATS.md, WEB-01 to WEB-04)."""

import os
import socket
from pathlib import Path

import pytest

from protocol.errors import ErrorCode, Refused
from technician_client.console import peer_owner
from technician_client.console.access import (
    ENTRY_KEY_LIFETIME_S,
    ConsoleAccess,
    RequestFacts,
    Verdict,
)
from technician_client.console.peer_owner import may_connect, owner_in

pytestmark = pytest.mark.beside

PORT = 4321
HOST = f"127.0.0.1:{PORT}"
OWN = f"http://{HOST}"


@pytest.fixture
def access() -> ConsoleAccess:
    return ConsoleAccess(PORT)


@pytest.fixture
def cookie(access: ConsoleAccess) -> str:
    return access.redeem(access.mint_key(0.0), 1.0)


def test_a_key_buys_a_cookie_once_and_not_twice(access: ConsoleAccess) -> None:
    key = access.mint_key(0.0)
    assert access.knows(access.redeem(key, 1.0))
    with pytest.raises(Refused) as refusal:
        access.redeem(key, 2.0)
    assert refusal.value.code is ErrorCode.E_CONSOLE_TOKEN


def test_a_key_is_worth_nothing_after_ten_minutes(access: ConsoleAccess) -> None:
    key = access.mint_key(100.0)
    with pytest.raises(Refused):
        access.redeem(key, 100.0 + ENTRY_KEY_LIFETIME_S)


@pytest.mark.parametrize("key", ["", "x", "\udcff", "A" * 43, "A" * 100_000])
def test_a_guessed_key_is_refused_and_leaves_the_real_one_good(access: ConsoleAccess, key: str) -> None:
    real = access.mint_key(0.0)
    with pytest.raises(Refused):
        access.redeem(key, 1.0)
    assert access.redeem(real, 1.0)


def test_neither_keys_nor_cookies_are_kept_as_they_are(access: ConsoleAccess, cookie: str) -> None:
    key = access.mint_key(0.0)
    assert key not in repr(access)
    assert cookie not in repr(access)
    assert len(key) >= 43


def test_a_signed_out_cookie_is_no_good_any_more(access: ConsoleAccess, cookie: str) -> None:
    access.sign_out(cookie)
    assert access.judge(RequestFacts("GET", HOST, cookie=cookie)) is Verdict.NO_COOKIE


@pytest.mark.parametrize("host", [HOST, f"localhost:{PORT}"])
def test_reading_with_the_cookie_at_our_own_host_is_allowed(
    access: ConsoleAccess, cookie: str, host: str
) -> None:
    assert access.judge(RequestFacts("GET", host, cookie=cookie)) is Verdict.ALLOWED


@pytest.mark.parametrize(
    "host",
    ["", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"attacker.example:{PORT}", f"127.0.0.1.a.example:{PORT}",
     f"LOCALHOST:{PORT}", f"[::1]:{PORT}", f"127.1:{PORT}", f" 127.0.0.1:{PORT}", f"127.0.0.1:{PORT}."],
)  # fmt: skip
def test_another_host_is_refused_even_with_the_cookie(access: ConsoleAccess, cookie: str, host: str) -> None:
    assert access.judge(RequestFacts("GET", host, cookie=cookie)) is Verdict.WRONG_HOST


@pytest.mark.parametrize(
    "origin",
    ["", "null", "http://attacker.example", f"https://{HOST}", f"http://localhost:{PORT}",
     f"http://127.0.0.1:{PORT + 1}", f"{OWN}/", f"{OWN}.attacker.example"],
)  # fmt: skip
@pytest.mark.parametrize(("method", "is_websocket"), [("POST", False), ("GET", True), ("DELETE", False)])
def test_a_changing_request_of_another_origin_is_refused(
    access: ConsoleAccess, cookie: str, origin: str, method: str, is_websocket: bool
) -> None:
    facts = RequestFacts(method, HOST, origin=origin, cookie=cookie, is_websocket=is_websocket)
    assert access.judge(facts) is Verdict.WRONG_ORIGIN


def test_a_socket_of_our_own_page_is_allowed(access: ConsoleAccess, cookie: str) -> None:
    facts = RequestFacts("GET", HOST, origin=OWN, cookie=cookie, fetch_site="same-origin", is_websocket=True)
    assert access.judge(facts) is Verdict.ALLOWED


@pytest.mark.parametrize("fetch_site", ["cross-site", "same-site", "anything"])
def test_a_page_on_another_port_of_this_machine_cannot_read_with_our_cookie(
    access: ConsoleAccess, cookie: str, fetch_site: str
) -> None:
    facts = RequestFacts("GET", HOST, cookie=cookie, fetch_site=fetch_site)
    assert access.judge(facts) is Verdict.WRONG_ORIGIN


@pytest.mark.parametrize("cookie", ["", "guess", "A" * 43, "A" * 100_000])
def test_without_the_cookie_only_the_open_addresses_answer(access: ConsoleAccess, cookie: str) -> None:
    assert access.judge(RequestFacts("GET", HOST, cookie=cookie)) is Verdict.NO_COOKIE
    assert access.judge(RequestFacts("GET", HOST, cookie=cookie, is_open=True)) is Verdict.ALLOWED


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:10E1 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:10E1 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 20 4 30 10 -1
   2: 0100007F:D431 0100007F:10E1 01 00000000:00000000 00:00000000 00000000  1001        0 3 1 0 20 4 30 10 -1
   3: short
"""


def test_the_owner_of_a_connection_is_the_client_s_and_not_the_server_s() -> None:
    assert owner_in(TABLE, client_port=0xD431, server_port=PORT) == 1001
    assert owner_in(TABLE, client_port=0xD432, server_port=PORT) is None
    assert owner_in("", client_port=0xD431, server_port=PORT) is None


@pytest.mark.real
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="other systems do not say who owns a socket")
@pytest.mark.parametrize(
    ("family", "source", "target"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET, "127.0.0.2", "127.0.0.1"),
     (socket.AF_INET6, "::ffff:127.0.0.1", "::ffff:127.0.0.1"),
     (socket.AF_INET6, "::ffff:127.9.9.9", "::ffff:127.0.0.1")],
    ids=["plain", "another-loopback-address", "mapped", "mapped-another-address"],
)  # fmt: skip
def test_web_04_a_program_of_another_user_cannot_hide_who_it_is(
    family: socket.AddressFamily, source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(family) as client:
        port = server.getsockname()[1]
        client.bind((source, 0))
        client.connect((target, port))
        accepted, peer = server.accept()
        with accepted:
            owners: list[int | None] = []
            monkeypatch.setattr(peer_owner, "may_connect", lambda owner, **_: owners.append(owner))
            peer_owner.is_own_peer(peer[0], peer[1], port)
            assert owners == [os.getuid()]


@pytest.mark.real
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="other systems do not say who owns a socket")
def test_a_connection_whose_client_is_in_no_table_is_not_let_in() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not peer_owner.is_own_peer("127.0.0.1", 1, server.getsockname()[1])


@pytest.mark.parametrize(
    ("owner", "own", "behind_sudo", "may"),
    [(1000, 1000, "", True), (0, 1000, "", True), (None, 1000, "", True), (1001, 1000, "", False),
     (1000, 0, "1000", True), (1001, 0, "1000", False), (1001, 0, "", False), (1001, 1000, "1001", False)],
)  # fmt: skip
def test_a_program_of_another_user_may_not_use_a_stolen_cookie(
    owner: int | None, own: int, behind_sudo: str, may: bool
) -> None:
    assert may_connect(owner, own=own, behind_sudo=behind_sudo) is may
