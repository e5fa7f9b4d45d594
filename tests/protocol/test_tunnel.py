"""Two real ends of the tunnel in memory: what they agree on, and whom they refuse."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from protocol.certificates import Role, verify_chain
from protocol.errors import (
    CertificateRefused,
    ErrorCode,
    PeerViolation,
    SupportError,
    WrongState,
)
from protocol.identity import Identity
from protocol.limits import HANDSHAKE_LIMIT_BYTES, SESSION_MESSAGE_LIMIT_BYTES
from protocol.tunnel import HandshakeDone, PeerClosed, Plaintext, Tunnel, TunnelEnd
from protocol.version import TUNNEL_ALPN
from tests.support import forged
from tests.support.organisation import Organisation, acme, intruders, new_key

DEVICE = acme().device()
TECHNICIAN = acme().technician()


def ends(device=DEVICE, technician=TECHNICIAN):
    return Tunnel(TunnelEnd.DEVICE, device), Tunnel(TunnelEnd.TECHNICIAN, technician)


def pass_on(sender, receiver):
    """Everything that waits at one end, fed to the other; what came of it."""
    events = []
    for piece in sender.outgoing():
        events += receiver.feed(piece)
    return events


def shake_hands(device_end, technician_end):
    """Start both and pass everything on until nothing is left; the events of each end."""
    device_end.start()
    technician_end.start()
    at_device, at_technician = [], []
    for _ in range(4):
        at_device += pass_on(technician_end, device_end)
        at_technician += pass_on(device_end, technician_end)
    return at_device, at_technician


def open_pair():
    device_end, technician_end = ends()
    shake_hands(device_end, technician_end)
    return device_end, technician_end


def refusals(device=DEVICE, technician=TECHNICIAN):
    """The error at each end after a handshake that must not succeed at both; None where there is none."""
    device_end, technician_end = ends(device, technician)
    device_end.start()
    technician_end.start()
    seen = {device_end: None, technician_end: None}
    for _ in range(4):
        for sender, receiver in ((technician_end, device_end), (device_end, technician_end)):
            for piece in sender.outgoing():
                if seen[receiver] is None:
                    try:
                        receiver.feed(piece)
                    except SupportError as exc:
                        seen[receiver] = exc
    return seen[device_end], seen[technician_end]


def raw_client(identity=TECHNICIAN, *, alpn=TUNNEL_ALPN, version=SSL.TLS1_3_VERSION):
    """A client with opinions of its own, straight from OpenSSL."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    if identity is not None:
        context.use_privatekey(identity.key)
        context.use_certificate(x509.load_der_x509_certificate(identity.chain[0]))
    if alpn is not None:
        context.set_alpn_protos([alpn])
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    return connection


def refusal_of_raw(connection):
    """How the device's end refuses this client."""
    device_end = Tunnel(TunnelEnd.DEVICE, DEVICE)
    device_end.start()
    with pytest.raises(SupportError) as refusal:  # noqa: PT012 - the loop is the exchange that is refused
        for _ in range(4):
            with suppress(SSL.WantReadError):
                connection.do_handshake()
            device_end.feed(drained(connection))
            for piece in device_end.outgoing():
                connection.bio_write(piece)
    return refusal.value


def drained(connection):
    pieces = []
    while True:
        try:
            pieces.append(connection.bio_read(65536))
        except SSL.WantReadError:
            return b"".join(pieces)


# what they agree on


def test_both_ends_agree_on_the_post_quantum_group_and_the_exporter():
    at_device, at_technician = shake_hands(*ends())
    [device_done], [technician_done] = at_device, at_technician
    assert isinstance(device_done, HandshakeDone)
    assert isinstance(technician_done, HandshakeDone)
    assert device_done.group_name == technician_done.group_name == "X25519MLKEM768"
    assert device_done.exporter == technician_done.exporter
    assert len(device_done.exporter) == 32


def test_two_handshakes_of_the_same_identities_have_different_exporters():
    assert shake_hands(*ends())[0][0].exporter != shake_hands(*ends())[0][0].exporter


def test_each_end_hands_out_the_chain_that_the_verifier_accepts():
    [device_done], [technician_done] = shake_hands(*ends())
    assert device_done.peer_chain == TECHNICIAN.chain
    assert technician_done.peer_chain == DEVICE.chain
    peer = verify_chain(technician_done.peer_chain, acme().root_der, roles={Role.DEVICE}, now=acme().now)
    assert peer.subject_id == DEVICE.subject_id


def test_plaintext_arrives_in_order_in_both_directions():
    device_end, technician_end = open_pair()
    device_end.send(b"ready")
    device_end.send(b"steady")
    assert [event.content for event in pass_on(device_end, technician_end)] == [b"ready", b"steady"]
    technician_end.send(b"go")
    assert pass_on(technician_end, device_end) == [Plaintext(b"go")]


def test_a_large_message_leaves_in_bounded_pieces_and_arrives_whole():
    device_end, technician_end = open_pair()
    picture = bytes(range(256)) * 8192
    device_end.send(picture)
    pieces = device_end.outgoing()
    assert max(map(len, pieces)) <= SESSION_MESSAGE_LIMIT_BYTES
    assert picture not in b"".join(pieces)
    received = b"".join(event.content for piece in pieces for event in technician_end.feed(piece))
    assert received == picture


def test_nothing_is_queued_for_an_empty_message():
    device_end, _ = open_pair()
    device_end.send(b"")
    assert device_end.outgoing() == []


def test_an_orderly_end_is_told_from_a_cut():
    device_end, technician_end = open_pair()
    device_end.close()
    device_end.close()
    assert pass_on(device_end, technician_end) == [PeerClosed()]
    with pytest.raises(WrongState):
        technician_end.feed(b"more")


@settings(max_examples=60)
@given(
    st.lists(st.binary(min_size=1, max_size=200), max_size=5),
    st.lists(st.integers(1, 3000), min_size=1, max_size=40),
)
def test_it_does_not_matter_how_the_stream_is_cut(sent, sizes):
    device_end, technician_end = ends()
    device_end.start()
    technician_end.start()
    received = {device_end: [], technician_end: []}
    next_size = cycle(sizes)
    for turn in range(4):
        for sender, receiver in ((technician_end, device_end), (device_end, technician_end)):
            if turn == 2:
                for message in sent:
                    sender.send(message)
            stream = b"".join(sender.outgoing())
            while stream:
                size = next(next_size)
                received[receiver] += receiver.feed(stream[:size])
                stream = stream[size:]
    for events in received.values():
        assert isinstance(events[0], HandshakeDone)
        assert b"".join(event.content for event in events[1:]) == b"".join(sent)


# whom they refuse


def test_a_technician_of_another_organisation_is_refused_by_the_device():
    # the device's certificate is ours, so the intruder must not even reach the point of trusting it
    at_device, at_technician = refusals(technician=intruders().technician())
    assert at_device is not None or at_technician is not None
    assert at_technician.code is ErrorCode.E_CERT_CHAIN


def test_a_device_does_not_accept_a_foreign_technician_who_trusts_it():
    # a forged identity: another organisation's key and chain, with our root as its anchor
    foreign = intruders().technician()
    spy = Identity(foreign.key, foreign.chain, acme().root_der)
    at_device, at_technician = refusals(technician=spy)
    assert at_device.code is ErrorCode.E_CERT_CHAIN
    assert isinstance(at_device, CertificateRefused)
    assert at_technician.code is ErrorCode.E_HANDSHAKE


def test_a_technician_does_not_accept_a_foreign_device():
    foreign = intruders().device()
    spy = Identity(foreign.key, foreign.chain, acme().root_der)
    _, at_technician = refusals(device=spy)
    assert at_technician.code is ErrorCode.E_CERT_CHAIN


def test_a_technician_cannot_play_the_device():
    _, at_technician = refusals(device=acme().technician("mallory"))
    assert at_technician.code is ErrorCode.E_CERT_ROLE


def test_a_device_cannot_play_the_technician():
    at_device, _ = refusals(technician=acme().device("mallory"))
    assert at_device.code is ErrorCode.E_CERT_ROLE


def test_a_certificate_without_its_key_is_refused():
    copied = raw_client(None)
    assert refusal_of_raw(copied).code is ErrorCode.E_HANDSHAKE


@pytest.mark.parametrize(
    ("start_days", "end_days", "code"),
    [(-3, -1, ErrorCode.E_CERT_EXPIRED), (1, 3, ErrorCode.E_CERT_NOT_YET)],
)
def test_a_certificate_out_of_its_time_is_refused_with_the_reason(start_days, end_days, code):
    now, key = datetime.now(UTC), new_key()
    forgery = replace(
        forged.person(acme()),
        not_before=now + timedelta(days=start_days),
        not_after=now + timedelta(days=end_days),
    )
    chain = (forged.signed_by_root(acme(), forgery, key),)
    at_device, _ = refusals(technician=Identity(key, chain, acme().root_der))
    assert at_device.code is code


def test_an_organisation_whose_root_is_over_is_refused():
    old = Organisation(now=datetime.now(UTC) - timedelta(days=21 * 366))
    at_device, at_technician = refusals(device=old.device(), technician=old.technician())
    # the technician judges first; the device is told by an alert
    assert at_technician.code is ErrorCode.E_CERT_EXPIRED
    assert at_device.code is ErrorCode.E_HANDSHAKE


def test_a_client_without_a_certificate_is_refused():
    refusal = refusal_of_raw(raw_client(None))
    assert isinstance(refusal, PeerViolation)
    assert refusal.code is ErrorCode.E_HANDSHAKE


def test_a_client_that_speaks_tls_1_2_is_refused():
    assert refusal_of_raw(raw_client(version=SSL.TLS1_2_VERSION)).code is ErrorCode.E_HANDSHAKE


@pytest.mark.parametrize("alpn", [None, b"http/1.1", b"alongside/2", b"alongside/11"])
def test_a_client_with_another_alpn_or_none_is_refused(alpn):
    assert refusal_of_raw(raw_client(alpn=alpn)).code is ErrorCode.E_HANDSHAKE


def test_a_client_that_is_right_in_everything_is_accepted():
    device_end = Tunnel(TunnelEnd.DEVICE, DEVICE)
    device_end.start()
    assert any(isinstance(event, HandshakeDone) for event in exchange(device_end, raw_client()))


def exchange(device_end, connection):
    events = []
    for _ in range(4):
        with suppress(SSL.WantReadError):
            connection.do_handshake()
        events += device_end.feed(drained(connection))
        for piece in device_end.outgoing():
            connection.bio_write(piece)
    return events


def test_a_session_is_never_resumed():
    device_end, first = Tunnel(TunnelEnd.DEVICE, DEVICE), raw_client()
    device_end.start()
    exchange(device_end, first)
    again = Tunnel(TunnelEnd.DEVICE, DEVICE)
    again.start()
    second = SSL.Connection(first.get_context(), None)
    second.set_connect_state()
    session = first.get_session()
    assert session is not None
    second.set_session(session)
    with pytest.raises(SSL.WantReadError):
        second.do_handshake()
    again.feed(drained(second))
    # with a resumed session the server would leave out its certificates, which are most of its flight
    answer = b"".join(again.outgoing())
    assert len(answer) > 1000 + len(b"".join(DEVICE.chain))


def test_the_wrong_end_never_gets_anywhere():
    one, other = Tunnel(TunnelEnd.TECHNICIAN, TECHNICIAN), Tunnel(TunnelEnd.TECHNICIAN, TECHNICIAN)
    one.start()
    other.start()
    with pytest.raises(PeerViolation):
        pass_on(one, other)


# garbage, cuts, and order of calls


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 64,
        b"\xff" * 64,
        b"\x16\x03\x01\xff\xff" + b"A" * 64,
        b"SSH-2.0-x\r\n",
    ],
)
@pytest.mark.parametrize("end", list(TunnelEnd))
def test_garbage_instead_of_a_handshake_is_refused(end, garbage):
    tunnel = Tunnel(end, DEVICE if end is TunnelEnd.DEVICE else TECHNICIAN)
    tunnel.start()
    with pytest.raises(PeerViolation) as refusal:
        tunnel.feed(garbage)
    assert refusal.value.code is ErrorCode.E_HANDSHAKE
    with pytest.raises(WrongState):
        tunnel.feed(b"more")


@settings(max_examples=100)
@given(step=st.integers(0, 5), position=st.integers(0, 5000), difference=st.integers(1, 255))
def test_a_changed_byte_anywhere_never_delivers_anything_and_never_crashes(step, position, difference):
    device_end, technician_end = ends()
    device_end.start()
    technician_end.start()
    is_changed, reached = False, []
    for turn in range(6):
        sender, receiver = (technician_end, device_end) if turn % 2 == 0 else (device_end, technician_end)
        try:
            if turn == 4:
                technician_end.send(b"hello device")
            if turn == 5:
                device_end.send(b"hello technician")
        except WrongState:
            break  # the change made the other end wait for more of a record, for ever
        stream = bytearray(b"".join(sender.outgoing()))
        if turn == step and stream:
            stream[position % len(stream)] ^= difference
            is_changed = True
        try:
            reached += [(receiver, event) for event in receiver.feed(bytes(stream))]
        except SupportError as exc:
            known = (ErrorCode.E_HANDSHAKE, ErrorCode.E_SEQ, ErrorCode.E_CERT_CHAIN, ErrorCode.E_CERT_ROLE)
            assert exc.code in known
            break
    plaintexts = {event.content for _, event in reached if isinstance(event, Plaintext)}
    assert plaintexts <= {b"hello device", b"hello technician"}
    if is_changed and step >= 4:
        assert len(plaintexts) < 2


@settings(max_examples=100)
@given(st.binary(min_size=1, max_size=600))
def test_noise_in_an_open_tunnel_delivers_nothing(noise):
    device_end, _ = open_pair()
    try:
        events = device_end.feed(noise)
    except SupportError as exc:
        assert exc.code is ErrorCode.E_SEQ
    else:
        assert events == []


def test_a_cut_stream_delivers_nothing_and_waits():
    device_end, technician_end = open_pair()
    technician_end.send(b"half of this")
    stream = b"".join(technician_end.outgoing())
    assert device_end.feed(stream[:-1]) == []
    assert device_end.feed(stream[-1:]) == [Plaintext(b"half of this")]


def test_a_replayed_record_ends_the_tunnel():
    device_end, technician_end = open_pair()
    technician_end.send(b"once")
    stream = b"".join(technician_end.outgoing())
    device_end.feed(stream)
    with pytest.raises(PeerViolation):
        device_end.feed(stream)


def test_a_handshake_that_never_ends_is_bounded():
    tunnel = Tunnel(TunnelEnd.DEVICE, DEVICE)
    tunnel.start()
    # a handshake record that promises a message of 16 MB, then more and more of it
    record = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xfb" + b"\x03\x03" + bytes(0x4000 - 6)
    fed = 0
    with pytest.raises(PeerViolation):  # noqa: PT012 - the loop is the attack
        while fed <= 4 * HANDSHAKE_LIMIT_BYTES:
            tunnel.feed(record)
            fed += len(record)
    assert fed <= HANDSHAKE_LIMIT_BYTES + SESSION_MESSAGE_LIMIT_BYTES


def test_a_single_huge_piece_is_refused_before_it_is_read():
    tunnel = Tunnel(TunnelEnd.DEVICE, DEVICE)
    tunnel.start()
    with pytest.raises(PeerViolation):
        tunnel.feed(bytes(HANDSHAKE_LIMIT_BYTES + SESSION_MESSAGE_LIMIT_BYTES + 1))


def test_calls_out_of_order_are_our_own_mistake():
    tunnel = Tunnel(TunnelEnd.DEVICE, DEVICE)
    with pytest.raises(WrongState):
        tunnel.feed(b"early")
    with pytest.raises(WrongState):
        tunnel.send(b"early")
    tunnel.start()
    with pytest.raises(WrongState):
        tunnel.start()
    with pytest.raises(WrongState):
        tunnel.send(b"early")
    tunnel.close()
    with pytest.raises(WrongState):
        tunnel.send(b"late")


def test_the_technicians_end_can_be_done_while_the_device_still_refuses():
    # RFC 8446, 4.4.4: this is why nothing is believed before `session.ready`
    foreign = intruders().technician()
    spy = Identity(foreign.key, foreign.chain, acme().root_der)
    device_end, technician_end = ends(technician=spy)
    device_end.start()
    technician_end.start()
    pass_on(technician_end, device_end)
    [done] = pass_on(device_end, technician_end)
    assert isinstance(done, HandshakeDone)
    with pytest.raises(CertificateRefused):
        pass_on(technician_end, device_end)
    with pytest.raises(PeerViolation):
        pass_on(device_end, technician_end)


def test_the_chain_is_not_longer_than_what_was_verified():
    extra = acme().device("another")
    padded = Identity(DEVICE.key, (*DEVICE.chain, extra.chain[1]), DEVICE.root_der)
    _, [done] = shake_hands(*ends(device=padded))
    assert done.peer_chain == DEVICE.chain


def test_a_certificate_of_the_wire_is_the_der_that_was_sent():
    [device_done], _ = shake_hands(*ends())
    leaf = x509.load_der_x509_certificate(device_done.peer_chain[0])
    assert leaf.public_bytes(Encoding.DER) == TECHNICIAN.chain[0]
