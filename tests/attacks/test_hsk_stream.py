"""The bytes of the handshake in a relay's hands (THREATS.md 3.1: HSK-01, 07, 08, 11, 18, 19)."""

import asyncio
import gc
import random
import ssl
import struct
import weakref
from pathlib import Path

import msgspec
import pytest

from protocol import session as session_machine
from protocol.aio import log_in, tunnel_io
from protocol.aio.tunnel_io import TunnelIO
from protocol.errors import ErrorCode, SupportError
from protocol.identity import Identity
from protocol.messages import control
from protocol.messages.consent import Ask
from protocol.messages.session import FROM_AGENT_CODEC, FROM_TECHNICIAN_CODEC, Ready
from protocol.tunnel import Tunnel, TunnelEnd
from tests.attacks.handshake_sweep import (
    FLIGHTS,
    TAIL_BYTES,
    Verdict,
    flight_bytes,
    flip_trial,
    truncation_trial,
)
from tests.support.attacked import refusal_of, stage
from tests.support.hostile_middle import Direction
from tests.support.hostile_relay import HostileRelay
from tests.support.hostile_sessions import Which, going, numbered
from tests.support.organisation import acme
from tests.support.wires import wire_pair

pytestmark = [pytest.mark.real, pytest.mark.beside]

E = ErrorCode
TO_DEVICE, TO_TECHNICIAN = Direction.TO_DEVICE, Direction.TO_TECHNICIAN


def frame(payload: bytes) -> bytes:
    """A whole message on channel 0, as it is inside of the tunnel."""
    return struct.pack(">BHH", 1, 0, len(payload)) + payload


ASK = frame(FROM_TECHNICIAN_CODEC.encode(Ask(1, ["input.control"], "plain", "", 60)))
READY = frame(FROM_AGENT_CODEC.encode(Ready(1, "s-" + "a" * 26, "pc", "Acme", "unattended", [])))
NO_ENCRYPTION = msgspec.msgpack.encode({"type": "session.hello", "encryption": "none"})


@pytest.mark.parametrize("plain", [ASK, frame(NO_ENCRYPTION), NO_ENCRYPTION], ids=["ask", "framed", "none"])
async def test_hsk_01_a_device_takes_nothing_that_is_not_encrypted(tmp_path: Path, plain: bytes) -> None:
    async with stage(tmp_path) as on_stage:
        session = await on_stage.relay.offer(on_stage.device.device_id)
        await session.send(TO_DEVICE, plain)
        await on_stage.device.idle()
        assert on_stage.device.over_causes() == [E.E_HANDSHAKE]
        on_stage.effects.assert_none()


async def test_hsk_01_a_technician_takes_nothing_that_is_not_encrypted(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        on_stage.relay.inject(numbered(TO_TECHNICIAN, 0), READY)
        assert await refusal_of(on_stage.connect()) == E.E_HANDSHAKE
        await on_stage.device.idle()
        on_stage.effects.assert_none()


# -- every byte and every bit; all of them by `python -m tests.attacks.handshake_sweep`

SAMPLE = random.Random(20261126)


@pytest.mark.parametrize("flight", FLIGHTS)
def test_hsk_07_a_handshake_that_is_cut_at_any_byte_is_never_done(flight: int) -> None:
    size = len(flight_bytes(flight))
    for at in [0, 1, 4, 5, 6, -1, -2, *SAMPLE.sample(range(size - TAIL_BYTES), 40)]:
        assert truncation_trial(flight, at) is Verdict.NOT_DONE, at
    assert truncation_trial(flight, size + TAIL_BYTES) is Verdict.SAME, "the control: whole, it is done"


@pytest.mark.parametrize("flight", FLIGHTS)
def test_hsk_08_no_bit_of_a_handshake_can_be_turned_without_notice(flight: int) -> None:
    bits = 8 * len(flight_bytes(flight))
    for bit in SAMPLE.sample(range(bits), 120):
        assert flip_trial(flight, bit).verdict in (Verdict.NOT_DONE, Verdict.SAME), bit


@pytest.mark.parametrize("left", [0, 3, 700, -1])
@pytest.mark.parametrize("end", list(TunnelEnd))
async def test_hsk_07_a_cut_handshake_leaves_nothing_behind(end: TunnelEnd, left: int) -> None:
    remains = await cut_handshake(end, left)
    gc.collect()
    assert remains() is None
    assert len(asyncio.all_tasks()) == 1


async def cut_handshake(end: TunnelEnd, left: int) -> "weakref.ref[Tunnel]":
    """A handshake of this end whose first flight is cut; what shows whether its tunnel is still there."""
    near, far = wire_pair()
    identity = acme().device() if end is TunnelEnd.DEVICE else acme().technician()
    tunnel = Tunnel(end, identity)
    await far.send(flight_bytes(0 if end is TunnelEnd.DEVICE else 1)[:left])
    await far.close()
    assert await refusal_of(TunnelIO(near, tunnel).handshake()) in (E.E_LINK_LOST, E.E_HANDSHAKE)
    return weakref.ref(tunnel)


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("left", [0, 5, 600, -1])
async def test_hsk_07_a_relay_that_cuts_the_handshake_gets_a_refusal_in_the_log_and_no_more(
    tmp_path: Path, direction: Direction, left: int
) -> None:
    async with stage(tmp_path) as on_stage:
        struck = on_stage.relay.truncate(numbered(direction, 0), left)
        assert await refusal_of(on_stage.connect()) in (E.E_LINK_LOST, E.E_HANDSHAKE)
        await struck.happened()
        await on_stage.device.idle()
        assert on_stage.device.over_causes() == [E.E_LINK_LOST]
        on_stage.effects.assert_none()
        await (await on_stage.connect()).end()  # the control: the next one, which nobody cuts


# -- what is not spoken


async def test_hsk_11_a_relay_cannot_talk_the_ends_down(tmp_path: Path) -> None:
    """Without TLS 1.3 in the hello there is nothing to agree on; both ends say so."""
    async with stage(tmp_path) as on_stage:
        on_stage.relay.strip_versions()
        assert await refusal_of(on_stage.connect()) == E.E_HANDSHAKE
        await on_stage.device.idle()
        assert on_stage.device.over_causes() == [E.E_HANDSHAKE]
        on_stage.effects.assert_none()


@pytest.mark.parametrize("version", [0, 2, -1])
async def test_hsk_11_12_another_version_of_our_own_protocol_is_refused_by_both(
    tmp_path: Path, version: int
) -> None:
    async with HostileRelay() as relay:
        relay.strip_versions(control_version=version)
        for identity in (acme().device(), acme().technician()):
            wire = await log_in.connect_control(relay.url)
            assert await refusal_of(log_in.log_in(wire, identity, relay.relay_id)) == E.E_VERSION
            await wire.close()
        assert relay.links == {}


def client_context(folder: Path, identity: Identity | None) -> ssl.SSLContext:
    """A client of Python's own OpenSSL, without any opinion about the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["alongside/1"])
    if identity is not None:
        chain, key = folder / "chain.pem", folder / "key.pem"
        chain.write_text("".join(map(ssl.DER_cert_to_PEM_cert, identity.chain)))
        key.write_bytes(_pem(identity))
        context.load_cert_chain(chain, key)
    return context


def _pem(identity: Identity) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def is_let_in(context: ssl.SSLContext) -> bool:
    """Whether the device's end of a tunnel completes the handshake with this client."""
    device = Tunnel(TunnelEnd.DEVICE, acme().device())
    device.start()
    to_client, from_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, from_client)
    for _ in range(4):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            return False
        try:
            if device.feed(from_client.read()):
                return True
        except SupportError:
            return False
        for piece in device.outgoing():
            to_client.write(piece)
    return False


def test_hsk_11_a_scan_finds_tls_1_3_with_a_certificate_and_nothing_else(tmp_path: Path) -> None:
    technician = acme().technician()
    assert is_let_in(client_context(tmp_path, technician)), "the control"
    assert not is_let_in(client_context(tmp_path, None))
    for words in (
        "ALL:@SECLEVEL=0",
        "aNULL:eNULL:@SECLEVEL=0",
        "AES128-SHA:@SECLEVEL=0",
        "NULL-SHA256:@SECLEVEL=0",
    ):
        context = client_context(tmp_path, technician)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.set_ciphers(words)
        except ssl.SSLError:
            continue  # this OpenSSL cannot even ask for them
        assert not is_let_in(context), words
    for alpn in ([], ["http/1.1"], ["h2", "alongside/2"]):
        context = client_context(tmp_path, technician)
        context.set_alpn_protocols(alpn)
        assert not is_let_in(context), alpn


# -- what was meant for something else


def test_hsk_18_a_signature_for_a_log_in_can_never_be_one_of_a_tunnel() -> None:
    """A relay chooses the nonce of a log-in; TLS 1.3 signs 64 spaces first (RFC 8446, 4.4.3)."""
    for nonce in (b" " * 32, b"TLS 1.3, client CertificateVerif"):
        assert not control.login_transcript(nonce, "relay-1").startswith(b" ")
        assert not control.claim_transcript(nonce, "relay-1", "secret").startswith(b" ")
    assert control.login_transcript(b"n" * 32, "r") != control.claim_transcript(b"n" * 32, "r", "")


# -- who waits for ever


def shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real deadlines, with other numbers in them."""
    monkeypatch.setattr(tunnel_io, "HANDSHAKE_LIMIT_S", 0.3)
    monkeypatch.setattr(session_machine, "HANDSHAKE_LIMIT_S", 0.3)
    monkeypatch.setattr(log_in, "LOGIN_TIMEOUT_S", 0.3)
    monkeypatch.setattr(log_in, "SESSION_PAIR_TIMEOUT_S", 0.3)


STALLS: dict[str, Which] = {
    "no hello": numbered(TO_DEVICE, 0),
    "no answer": going(TO_TECHNICIAN),
    "no end of the handshake": numbered(TO_DEVICE, 1),
    "no Ready": lambda one: one.direction is TO_TECHNICIAN and one.number > 0,
}


@pytest.mark.parametrize("where", STALLS)
async def test_hsk_19_a_handshake_that_stalls_anywhere_ends_at_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    shortened(monkeypatch)
    async with stage(tmp_path) as on_stage:
        on_stage.relay.hold(STALLS[where])
        async with asyncio.timeout(5):
            assert await refusal_of(on_stage.connect()) == E.E_HANDSHAKE
        on_stage.effects.assert_none()
        await on_stage.device.idle()
        [cause] = on_stage.device.over_causes()
        assert cause in (E.E_HANDSHAKE, E.E_LINK_LOST)


@pytest.mark.parametrize("end", list(TunnelEnd))
async def test_hsk_19_single_bytes_do_not_move_the_deadline(
    monkeypatch: pytest.MonkeyPatch, end: TunnelEnd
) -> None:
    shortened(monkeypatch)
    near, far = wire_pair()
    identity = acme().device() if end is TunnelEnd.DEVICE else acme().technician()
    flight = flight_bytes(0 if end is TunnelEnd.DEVICE else 1)

    async def drip() -> None:
        for byte in flight:
            await far.send(bytes([byte]))
            await asyncio.sleep(0.01)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(3):
        assert await refusal_of(TunnelIO(near, Tunnel(end, identity)).handshake()) == E.E_HANDSHAKE
    assert not dripping.done()
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)


class SilentRelay(HostileRelay):
    """Takes connections and says nothing more after some point."""

    def __init__(self, said: int) -> None:
        super().__init__()
        self._said = said

    async def _post(self, connection, message) -> None:
        if self._said > 0:
            self._said -= 1
            await super()._post(connection, message)


@pytest.mark.parametrize("said", [0, 1])
async def test_hsk_19_a_relay_that_falls_silent_while_one_logs_in_is_given_up(
    monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    shortened(monkeypatch)
    async with SilentRelay(said) as relay:
        wire = await log_in.connect_control(relay.url)
        async with asyncio.timeout(3):
            refused = await refusal_of(log_in.log_in(wire, acme().device(), relay.relay_id))
        assert refused == E.E_RELAY_UNREACHABLE
        await wire.close()
