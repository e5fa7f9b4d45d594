"""Sessions over a real relay: opened, forwarded unread, bounded, and ended alone."""

import asyncio
import hashlib
import os
import socket

import pytest

from protocol.aio.log_in import open_session_wire
from protocol.aio.wire import UNSENT_LIMIT_BYTES, WebSocketWire, Wire, connect_wire, socket_url
from protocol.errors import ErrorCode, PeerViolation, SupportError, Unreachable
from protocol.limits import SESSION_MESSAGE_LIMIT_BYTES
from protocol.messages.control import (
    OpenSession,
    Refused,
    SessionDeclined,
    SessionOffered,
    SessionOpened,
)
from tests.support.organisation import acme
from tests.support.relay_process import (
    ControlClient,
    RelayProcess,
    log_in_client,
    running_relay,
    throw_garbage,
)

pytestmark = pytest.mark.real

LOST = (Unreachable, PeerViolation)
PIECE_BYTES = 60_000
PIECES = 350  # 21 MB


class Meeting:
    """A device and a technician with one open session through the relay."""

    def __init__(self, relay: RelayProcess, device: ControlClient, technician: ControlClient) -> None:
        self.relay = relay
        self.device = device
        self.technician = technician
        self.opened = SessionOpened(0, "", None, b"")  # type: ignore[arg-type]  # replaced by `offer`
        self.offered = SessionOffered("", None, b"")  # type: ignore[arg-type]  # replaced by `offer`

    async def offer(self) -> None:
        """Ask for a session; both have their tickets afterwards."""
        await self.technician.send(OpenSession(1, self.device.welcome.subject_id))
        self.offered = await self.device.wait_for(SessionOffered)
        self.opened = await self.technician.wait_for(SessionOpened)
        assert self.offered.session_id == self.opened.session_id

    async def meet(self) -> tuple[Wire, Wire]:
        """Both session sockets, paired: the device's and the technician's."""
        await self.offer()
        url = self.relay.relay_url
        return await asyncio.gather(
            open_session_wire(url, self.offered.route, self.offered.ticket),
            open_session_wire(url, self.opened.route, self.opened.ticket),
        )

    async def close(self) -> None:
        """Both control links go."""
        await self.device.close()
        await self.technician.close()


async def meeting(relay: RelayProcess, name: str = "ada") -> Meeting:
    """A device and a technician, logged in."""
    device = await log_in_client(relay, acme().device())
    return Meeting(relay, device, await log_in_client(relay, acme().technician(name)))


async def _send_all(wire: Wire, seed: int) -> str:
    digest = hashlib.sha256()
    for number in range(PIECES):
        piece = hashlib.sha256(bytes([seed]) + number.to_bytes(4, "big")).digest() * (PIECE_BYTES // 32)
        digest.update(piece)
        await wire.send(piece)
    return digest.hexdigest()


async def _receive_all(wire: Wire) -> str:
    digest = hashlib.sha256()
    for _ in range(PIECES):
        digest.update(await wire.receive())
    return digest.hexdigest()


async def _ends(wire: Wire, timeout_s: float = 5) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                await wire.receive()
    except LOST:
        return True
    except TimeoutError:
        return False


async def test_twenty_megabytes_pass_unchanged_in_both_directions_at_once(shared_relay: RelayProcess) -> None:
    both = await meeting(shared_relay)
    device, technician = await both.meet()
    sent_down, sent_up, came_up, came_down = await asyncio.gather(
        _send_all(device, 1), _send_all(technician, 2), _receive_all(device), _receive_all(technician)
    )
    assert (sent_down, sent_up) == (came_down, came_up)
    await device.close()
    assert await _ends(technician)
    await both.close()


async def test_what_was_sent_before_the_close_still_arrives(shared_relay: RelayProcess) -> None:
    both = await meeting(shared_relay)
    device, technician = await both.meet()
    for number in range(20):
        await device.send(bytes([number]) * 50_000)
    await device.close()
    for number in range(20):
        assert await technician.receive() == bytes([number]) * 50_000
    assert await _ends(technician)
    await both.close()


async def test_a_ticket_opens_one_socket(shared_relay: RelayProcess) -> None:
    both = await meeting(shared_relay)
    device, technician = await both.meet()
    with pytest.raises(SupportError) as caught:
        await open_session_wire(shared_relay.relay_url, both.opened.route, both.opened.ticket)
    assert caught.value.code == ErrorCode.E_TICKET
    await device.send(b"still here")
    assert await technician.receive() == b"still here"
    await device.close()
    await technician.close()
    await both.close()


async def test_a_forged_ticket_opens_nothing(shared_relay: RelayProcess) -> None:
    both = await meeting(shared_relay)
    await both.offer()
    forged = bytearray(both.opened.ticket)
    forged[5] ^= 1
    for ticket in (bytes(forged), b"", os.urandom(100), os.urandom(1000)):
        with pytest.raises(SupportError) as caught:
            await open_session_wire(shared_relay.relay_url, both.opened.route, ticket)
        assert caught.value.code == ErrorCode.E_TICKET
    with pytest.raises(SupportError) as caught:  # no ticket is so long: it is not even read
        await open_session_wire(shared_relay.relay_url, both.opened.route, os.urandom(60_000))
    assert caught.value.code == ErrorCode.E_LINK_LOST
    await both.close()


@pytest.mark.parametrize("bad", ["text", "oversized", "garbage frame"])
async def test_a_violation_ends_its_session_and_no_other(shared_relay: RelayProcess, bad: str) -> None:
    first, second = await meeting(shared_relay, "one"), await meeting(shared_relay, "two")
    device, technician = await first.meet()
    other_device, other_technician = await second.meet()
    connection = technician._connection  # type: ignore[attr-defined]  # no wire sends what is forbidden
    if bad == "text":
        await connection.send("text")
    elif bad == "oversized":
        await connection.send(b"\0" * (SESSION_MESSAGE_LIMIT_BYTES + 1))
    else:
        connection.transport.write(os.urandom(4096))
    assert await _ends(technician)
    assert await _ends(device)
    await other_device.send(b"x" * SESSION_MESSAGE_LIMIT_BYTES)
    assert await other_technician.receive() == b"x" * SESSION_MESSAGE_LIMIT_BYTES
    for one in (device, technician, other_device, other_technician):
        await one.close()
    await first.close()
    await second.close()


async def test_garbage_on_every_port_leaves_a_session_alone(shared_relay: RelayProcess) -> None:
    both = await meeting(shared_relay)
    device, technician = await both.meet()
    for port in (shared_relay.control_port, shared_relay.session_port):
        for garbage in (
            os.urandom(2000),
            b"GET / HTTP/1.1\r\n\r\n",
            b"POST /v1/control HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 50_000,
            b"\x16\x03\x01" + b"\0" * 500,
            b"GET /v1/control HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n",
        ):
            await throw_garbage(port, garbage)
    wire = await connect_wire(socket_url(shared_relay.relay_url, "/v1/control"), limit_bytes=1 << 20)
    await wire.receive()
    await wire.send(os.urandom(500))
    await wire.close()
    await device.send(b"still here")
    assert await technician.receive() == b"still here"
    assert "Traceback" not in shared_relay.log_text()
    await device.close()
    await technician.close()
    await both.close()


@pytest.mark.parametrize("workers", [0, 1])
async def test_res_03_a_reader_that_stops_holds_the_sender_and_not_the_relays_memory(
    tmp_path_factory: pytest.TempPathFactory, workers: int
) -> None:
    from tests.support.relay_process import claim_relay

    with running_relay(tmp_path_factory.mktemp("slow") / "data", workers=workers) as relay:
        await claim_relay(relay, acme())
        both = await meeting(relay)
        device, technician = await both.meet()
        before_bytes = relay.resident_bytes()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while sent < 1000:
                await device.send(sent.to_bytes(4, "big") + b"\0" * PIECE_BYTES)
                sent += 1

        flooding = asyncio.create_task(flood())
        await asyncio.sleep(1)
        held, held_bytes = sent, relay.resident_bytes()
        assert held < 900, "60 MB went into a socket that nobody reads"
        await asyncio.sleep(1)
        assert sent == held
        assert relay.resident_bytes() - held_bytes < 1 << 20
        # pages that were shared since the fork become private by use; that is a few megabytes
        assert held_bytes - before_bytes < 16 << 20
        for number in range(1000):
            assert (await technician.receive())[:4] == number.to_bytes(4, "big")
        await flooding
        await technician.send(b"the other direction was never closed")
        assert await device.receive() == b"the other direction was never closed"
        for one in (device, technician):
            await one.close()
        await both.close()


async def test_a_session_runs_in_a_relay_of_one_process(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from tests.support.relay_process import claim_relay

    with running_relay(tmp_path_factory.mktemp("single") / "data", workers=0) as relay:
        await claim_relay(relay, acme())
        assert relay.child_pids() == []
        both = await meeting(relay)
        device, technician = await both.meet()
        await device.send(b"x" * SESSION_MESSAGE_LIMIT_BYTES)
        assert await technician.receive() == b"x" * SESSION_MESSAGE_LIMIT_BYTES
        await technician.close()
        assert await _ends(device)
        await both.close()


async def test_a_device_that_declines_is_heard_by_the_technician_who_asked(
    shared_relay: RelayProcess,
) -> None:
    both = await meeting(shared_relay, "asker")
    bystander = await log_in_client(shared_relay, acme().technician("bystander"))
    await both.offer()
    await both.device.send(SessionDeclined(both.offered.session_id, ErrorCode.E_BUSY))
    declined = await both.technician.wait_for(SessionDeclined)
    assert declined == SessionDeclined(both.offered.session_id, ErrorCode.E_BUSY)
    await bystander.send(OpenSession(5, "d-" + "a" * 20))
    assert await bystander.wait_for(Refused) == Refused(5, ErrorCode.E_DEVICE_UNKNOWN)
    assert not any(isinstance(message, SessionDeclined) for message in bystander.seen)
    await bystander.close()
    await both.close()


async def test_opening_sessions_without_end_is_slowed_down(shared_relay: RelayProcess) -> None:
    technician = await log_in_client(shared_relay, acme().technician("eager"))
    codes = []
    for number in range(1, 40):
        await technician.send(OpenSession(number, "d-" + "a" * 20))
        codes.append((await technician.wait_for(Refused)).code)
    assert codes[0] == ErrorCode.E_DEVICE_UNKNOWN
    assert codes[-1] == ErrorCode.E_RATE
    await technician.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="needs a system with TCP_NOTSENT_LOWAT")
async def test_the_kernel_keeps_no_more_unsent_than_a_record_of_a_client(shared_relay):
    wire = await connect_wire(socket_url(shared_relay.relay_url, "/v1/control"), limit_bytes=1 << 20)
    assert isinstance(wire, WebSocketWire)
    tcp = wire._connection.transport.get_extra_info("socket")
    limit_bytes = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
    await wire.close()
    assert limit_bytes == UNSENT_LIMIT_BYTES <= 16 << 10
