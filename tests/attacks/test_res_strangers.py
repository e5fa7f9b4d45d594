"""RES and MSG-06: strangers who hold, flood and exhaust a real relay, and whether others are served."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import ErrorCode, SupportError
from protocol.limits import SESSION_MESSAGE_LIMIT_BYTES, TICKET_LIMIT_BYTES
from protocol.messages.control import ListDevices
from protocol.messages.presence import DeviceList
from relay.intake import INTAKE_LIMIT_BYTES
from tests.bench.preauth import Stranger, frame
from tests.support.organisation import acme, intruders
from tests.support.relay_process import RelayProcess, claim_relay, log_in_client, running_relay

pytestmark = [pytest.mark.real, pytest.mark.beside]

LIMIT_S = 30.0


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """One claimed relay with a worker for this module."""
    with running_relay(tmp_path_factory.mktemp("res") / "data") as relay:
        asyncio.run(claim_relay(relay, acme()))
        yield relay


def stranger(port: int) -> Stranger:
    """A connection of nobody."""
    return Stranger(socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S))


def is_cut(one: Stranger) -> bool:
    """Whether the relay ends this connection, in reasonable time."""
    one.connected.settimeout(LIMIT_S)
    try:
        while one.connected.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


async def served(relay: RelayProcess) -> bool:
    """Whether a member of the organisation gets in and is answered: the control of each attack."""
    async with asyncio.timeout(LIMIT_S):
        client = await log_in_client(relay, acme().technician())
        await client.send(ListDevices(1))
        answer = await client.wait_for(DeviceList)
        await client.close()
    return answer.request_no == 1


FLOODS = {
    "pings": frame(9, b"") * 4000,
    "pongs": frame(10, b"") * 4000,
    "fragments": frame(2, b"m", is_last=False) + frame(0, b"m", is_last=False) * 4000,
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("where", ["control", "session"])
async def test_res_06_a_stranger_who_floods_small_frames_is_cut(
    relay: RelayProcess, where: str, flood: str
) -> None:
    port = relay.control_port if where == "control" else relay.session_port
    one = stranger(port)
    one.upgrade(f"/v1/{where}")
    one.say(FLOODS[flood])
    one.say(FLOODS[flood])
    cut = await asyncio.to_thread(is_cut, one)
    one.connected.close()
    assert cut
    assert await served(relay)


@pytest.mark.parametrize("where", ["control", "session"])
async def test_res_06_a_wrong_log_in_or_ticket_is_read_no_further(relay: RelayProcess, where: str) -> None:
    port = relay.control_port if where == "control" else relay.session_port
    one = stranger(port)
    one.upgrade(f"/v1/{where}")
    one.say(frame(2, b"\xff" * 100) + FLOODS["pings"])
    cut = await asyncio.to_thread(is_cut, one)
    one.connected.close()
    assert cut


def test_res_06_what_is_longer_than_any_ticket_is_cut_before_it_is_whole(relay: RelayProcess) -> None:
    refusals = []
    for size in (TICKET_LIMIT_BYTES, SESSION_MESSAGE_LIMIT_BYTES):
        one = stranger(relay.session_port)
        one.upgrade("/v1/session")
        one.say(frame(2, b"m" * size))
        one.hear()
        assert is_cut(one)
        refusals.append(ErrorCode.E_TICKET.value.encode() in one.received)
        one.connected.close()
    assert refusals == [True, False]


def test_res_06_hundreds_of_requests_that_were_sent_at_once_get_one_answer(relay: RelayProcess) -> None:
    one = stranger(relay.control_port)
    one.say(b"GET /healthz HTTP/1.1\r\nHost: relay\r\n\r\n" * 500)
    answer = one.hear()
    assert answer.count(b"HTTP/1.1 200") == 1
    assert is_cut(one)
    one.connected.close()


def test_res_01_a_header_that_never_ends_is_cut_at_its_size(relay: RelayProcess) -> None:
    for port in (relay.control_port, relay.session_port):
        one = stranger(port)
        one.say(b"GET / HTTP/1.1\r\nX: " + b"x" * (INTAKE_LIMIT_BYTES + 70_000))
        assert is_cut(one)
        one.connected.close()


@pytest.mark.parametrize(
    "extension", ["permessage-deflate", "permessage-deflate; client_no_context_takeover"]
)
@pytest.mark.parametrize("where", ["control", "session"])
def test_msg_06_compression_is_not_negotiated_and_a_compressed_frame_ends_the_connection(
    relay: RelayProcess, where: str, extension: str
) -> None:
    one = stranger(relay.control_port if where == "control" else relay.session_port)
    one.upgrade(f"/v1/{where}", f"Sec-WebSocket-Extensions: {extension}\r\n")
    assert one.received.startswith(b"HTTP/1.1 101")
    assert b"permessage-deflate" not in one.received.lower()
    compressed = frame(2, b"\x62\x60\x60" * 50)
    one.say(bytes([compressed[0] | 0x40]) + compressed[1:])
    assert is_cut(one)
    one.connected.close()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="run on Linux: it needs prlimit(2)")
async def test_res_04_rel_15_without_file_descriptors_it_sheds_and_recovers(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "data", workers=0) as relay:
        await claim_relay(relay, acme())
        open_now = len(list(Path(f"/proc/{relay.pid}/fd").iterdir()))
        resource.prlimit(relay.pid, resource.RLIMIT_NOFILE, (open_now + 20, 4096))
        held = [stranger(relay.control_port) for _ in range(60)]
        size_before = relay.log_file.stat().st_size
        for one in held:
            one.connected.close()
        resource.prlimit(relay.pid, resource.RLIMIT_NOFILE, (1024, 4096))
        for _ in range(10):
            with contextlib.suppress(SupportError, OSError, TimeoutError):
                assert await served(relay)
                break
        else:
            pytest.fail(relay.log_text()[-2000:])
        assert relay.log_file.stat().st_size - size_before < 256 << 10


async def test_res_07_refused_log_ins_write_a_bounded_line_each(relay: RelayProcess) -> None:
    before = relay.log_file.stat().st_size
    tries = 20
    for _ in range(tries):
        with pytest.raises(SupportError):
            await log_in_client(relay, intruders().technician())
    assert relay.log_file.stat().st_size - before < tries * 1024
    assert await served(relay)
