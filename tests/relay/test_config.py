"""Settings of the relay."""

from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ErrorCode, SupportError
from relay.config import Address, RelayConfig, parse_address, read_config

DATA = Path("/nowhere")


def _read(file: Path | None = None, **given: Any) -> RelayConfig:
    return read_config(DATA, file, given)


def _code(file: Path | None = None, **given: Any) -> ErrorCode:
    with pytest.raises(SupportError) as caught:
        _read(file, **given)
    return caught.value.code


def test_the_defaults_are_loopback_one_worker_and_sqlite_in_the_data_folder() -> None:
    config = _read()
    assert config.listen == Address("127.0.0.1", 8470)
    assert config.session_listen == Address("127.0.0.1", 8471)
    assert (config.workers, config.database) == (1, "sqlite+aiosqlite:////nowhere/relay.sqlite")


def test_port_zero_takes_free_ports_for_sessions_too() -> None:
    assert _read(listen="127.0.0.1:0").session_listen == Address("127.0.0.1", 0)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('listen = "127.0.0.1:1000"\nworkers = 3\n')
    config = _read(file, listen="127.0.0.1:2000", workers=None)
    assert (config.listen.port, config.workers) == (2000, 3)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('lisen = "127.0.0.1:1"', "lisen"),
        ('workers = "two"', "workers"),
        ("workers = true", "workers"),
        ("listen = 8470", "listen"),
        ("listen = ", "relay.toml"),
        ('data = "/elsewhere"', "data"),
        ("workers = 65", "workers"),
        ('listen = "127.0.0.1"', "listen"),
        ('listen = "127.0.0.1:70000"', "listen"),
        ('tls_cert = "x.pem"', "tls_key"),
        ("session_public_port = -1", "session_public_port"),
    ],
)
def test_a_setting_that_is_wrong_is_named(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(content)
    with pytest.raises(SupportError) as caught:
        _read(file)
    assert caught.value.code == ErrorCode.E_CONFIG
    assert named in caught.value.detail


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert _code(tmp_path / "missing.toml") == ErrorCode.E_CONFIG


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "relay.example"])
def test_plain_tcp_stays_on_loopback(host: str) -> None:
    assert _code(listen=f"{host}:8470") == ErrorCode.E_LISTEN_PLAIN
    assert _code(session_listen=f"{host}:8470") == ErrorCode.E_LISTEN_PLAIN
    assert _read(listen=f"{host}:8470", behind_proxy=True).behind_proxy
    assert _read(listen=f"{host}:8470", tls_cert=Path("c"), tls_key=Path("k")).is_tls


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "[::1]"])
def test_plain_tcp_is_served_on_loopback(host: str) -> None:
    assert _read(listen=f"{host}:8470").listen.is_loopback


@pytest.mark.parametrize("host", ["127.evil.example", "127.0.0.1.evil.example"])
def test_a_name_that_begins_like_loopback_is_not_loopback(host: str) -> None:
    assert not parse_address(f"{host}:1", "listen").is_loopback


@pytest.mark.parametrize("text", ["::1:8470", "2001:db8::1", ":::8470"])
def test_an_ipv6_address_without_brackets_is_told_what_it_lacks(text: str) -> None:
    with pytest.raises(SupportError) as caught:
        parse_address(text, "listen")
    assert caught.value.code is ErrorCode.E_CONFIG
    assert "needs brackets" in caught.value.detail
