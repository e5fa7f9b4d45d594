"""The relay as a set of processes: start, faults of the machine, worker's death, signals, TLS."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from protocol.aio.log_in import connect_control, log_in, open_session_wire
from protocol.aio.wire import connect_wire, socket_url
from protocol.errors import ErrorCode, ExitStatus, SupportError, Unreachable
from tests.relay.test_sessions import meeting
from tests.support.organisation import acme
from tests.support.relay_process import (
    RelayProcess,
    claim_relay,
    log_in_client,
    running_relay,
    throw_garbage,
    wait_until_gone,
)

pytestmark = pytest.mark.real


def _run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from relay.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=cwd, check=False)


def _assert_fault(done: subprocess.CompletedProcess[str], code: ErrorCode, status: ExitStatus) -> None:
    assert done.returncode == status, done.stderr
    assert code.value in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_port_in_use_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _run("serve", "--listen", f"127.0.0.1:{port}", "--data", str(tmp_path))
    _assert_fault(done, ErrorCode.E_PORT_IN_USE, ExitStatus.ENVIRONMENT)
    assert f"127.0.0.1:{port}" in done.stderr


def test_a_data_folder_that_cannot_be_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = _run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "file" / "data"))
    _assert_fault(done, ErrorCode.E_DATA_DISK, ExitStatus.ENVIRONMENT)


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    done = _run(
        *("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path)),
        *("--database", "sqlite+aiosqlite:////dev/full"),
    )
    _assert_fault(done, ErrorCode.E_DATA_DISK, ExitStatus.ENVIRONMENT)


@pytest.mark.parametrize("url", ["nonsense", "nosuchdb://x/y", "mysql+aiomysql://x/y"])
def test_a_database_that_cannot_be_used_is_said_in_one_sentence(tmp_path: Path, url: str) -> None:
    done = _run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path), "--database", url)
    _assert_fault(done, ErrorCode.E_CONFIG, ExitStatus.USAGE)


def test_a_database_server_that_is_not_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    url = "postgresql+asyncpg://127.0.0.1:1/x"
    done = _run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path), "--database", url)
    _assert_fault(done, ErrorCode.E_DATA_DISK, ExitStatus.ENVIRONMENT)


def test_a_file_that_is_no_database_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "relay.sqlite").write_bytes(os.urandom(8192))
    done = _run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path))
    _assert_fault(done, ErrorCode.E_STORE_DAMAGED, ExitStatus.ENVIRONMENT)


@pytest.mark.parametrize("option", ["--listen", "--session-listen"])
def test_plain_tcp_beyond_loopback_is_refused(tmp_path: Path, option: str) -> None:
    done = _run("serve", option, "0.0.0.0:0", "--data", str(tmp_path))
    _assert_fault(done, ErrorCode.E_LISTEN_PLAIN, ExitStatus.USAGE)


def test_a_second_relay_on_the_same_data_is_refused(shared_relay: RelayProcess) -> None:
    done = _run("serve", "--listen", "127.0.0.1:0", "--data", str(shared_relay.data))
    _assert_fault(done, ErrorCode.E_ALREADY_RUNNING, ExitStatus.ENVIRONMENT)


def test_the_claim_secret_is_its_owners_alone(unclaimed_relay: RelayProcess) -> None:
    file = Path(unclaimed_relay.claim_secret_file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert unclaimed_relay.data.stat().st_mode & 0o777 == 0o700
    done = _run("claim-secret", "--data", str(unclaimed_relay.data))
    assert (done.returncode, done.stdout.strip()) == (0, str(file))
    assert unclaimed_relay.claim_secret() not in unclaimed_relay.log_text()


def test_a_restart_before_the_claim_keeps_secret_and_id(unclaimed_relay: RelayProcess) -> None:
    before = (unclaimed_relay.relay_id, unclaimed_relay.claim_secret())
    unclaimed_relay.kill()
    unclaimed_relay.restart()
    assert (unclaimed_relay.relay_id, unclaimed_relay.claim_secret()) == before


@pytest.mark.parametrize("workers", [0, 1, 2])
async def test_sigterm_ends_every_process_promptly(tmp_path: Path, workers: int) -> None:
    with RelayProcess(tmp_path / "data", workers=workers) as relay:
        await claim_relay(relay, acme())
        both = await meeting(relay)
        wires = await both.meet()
        pids = [relay.pid, *relay.child_pids()]
        started_s = time.monotonic()
        assert await asyncio.to_thread(relay.stop) == 0
        assert time.monotonic() - started_s < 4
        assert all(wait_until_gone(pid) for pid in pids)
        for wire in wires:
            with pytest.raises(Unreachable):
                await wire.receive()
            await wire.close()
        await both.close()


async def test_rly_06_no_process_of_the_relay_executes_another_program(shared_relay: RelayProcess) -> None:
    both = await meeting(shared_relay)
    device, technician = await both.meet()
    pids = [shared_relay.pid, *shared_relay.child_pids()]
    assert len(pids) == 3
    images = {
        (str(Path(f"/proc/{pid}/exe").readlink()), Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in pids
    }
    assert len(images) == 1
    grandchildren = [
        Path(f"/proc/{pid}/task/{pid}/children").read_text().split() for pid in shared_relay.child_pids()
    ]
    assert grandchildren == [[], []]
    for wire in (device, technician):
        await wire.close()
    await both.close()


async def test_the_processes_of_a_killed_relay_end_with_it(relay: RelayProcess) -> None:
    children = relay.child_pids()
    assert len(children) == 2
    relay.kill()
    assert all(wait_until_gone(pid) for pid in children)


async def test_a_dead_worker_is_replaced_and_log_ins_do_not_notice(relay: RelayProcess) -> None:
    both = await meeting(relay)
    wires = await both.meet()
    worker_pid = relay.worker_pid()
    os.kill(worker_pid, signal.SIGKILL)
    for wire in wires:
        with pytest.raises(Unreachable):
            await wire.receive()
        await wire.close()
    device, technician = await both.meet()
    await device.send(b"again")
    assert await technician.receive() == b"again"
    assert worker_pid not in relay.child_pids()
    for wire in (device, technician):
        await wire.close()
    await both.close()


async def test_health_and_readiness_answer(shared_relay: RelayProcess) -> None:
    ports = {"/healthz": (shared_relay.control_port, shared_relay.session_port)}
    for path, port in [
        *[("/healthz", port) for port in ports["/healthz"]],
        ("/readyz", shared_relay.control_port),
    ]:
        assert (await _get(port, path)).startswith(b"HTTP/1.1 200")
    for path in ("/", "/v1", "/v1/control/", "//v1/control", "/v1/%63ontrol/x", "/metrics", "/../etc/passwd"):
        for port in (shared_relay.control_port, shared_relay.session_port):
            assert (await _get(port, path)).startswith(b"HTTP/1.1 40"), (path, port)


async def _get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read(4096)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_links_and_sessions_run_over_tls(tmp_path: Path) -> None:
    certificate, key = _tls_files(tmp_path)
    arguments = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with running_relay(tmp_path / "data", arguments=arguments) as relay:
        assert relay.relay_url.startswith("https://")
        url = socket_url(relay.relay_url, "/v1/control")
        with pytest.raises(SupportError) as caught:
            await connect_wire(url, limit_bytes=1 << 20)
        assert caught.value.code == ErrorCode.E_RELAY_TLS
        wire = await connect_control(relay.relay_url, tls_ca=certificate)
        with pytest.raises(SupportError) as caught:
            await log_in(wire, acme().technician(), relay.relay_id)
        assert caught.value.code == ErrorCode.E_ORG_UNKNOWN
        await wire.close()
        from protocol.messages.control import SessionRoute

        route = SessionRoute(relay.session_port, "/v1/session")
        with pytest.raises(SupportError) as caught:
            await open_session_wire(relay.relay_url, route, b"x" * 60, tls_ca=certificate)
        assert caught.value.code == ErrorCode.E_TICKET
        for port in (relay.control_port, relay.session_port):
            await throw_garbage(port, os.urandom(200))
        assert "Traceback" not in relay.log_text()


def _tls_files(folder: Path) -> tuple[Path, Path]:
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "relay.pem", folder / "relay-key.pem"
    certificate_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_file, key_file


def test_tls_files_that_cannot_be_used_are_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    for name in ("bad.pem", "missing.pem"):
        file = str(tmp_path / name)
        arguments = ("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
        done = _run(*arguments, "--tls-cert", file, "--tls-key", file)
        _assert_fault(done, ErrorCode.E_CONFIG, ExitStatus.USAGE)


async def test_a_log_in_costs_little(shared_relay: RelayProcess) -> None:
    identity = acme().technician()
    started_s = time.monotonic()
    for _ in range(10):
        await (await log_in_client(shared_relay, identity)).close()
    assert (time.monotonic() - started_s) / 10 < 0.5
