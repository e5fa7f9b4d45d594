"""A small sample of the simulation, and that it can fail; README.md has the commands for the large runs."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from protocol.errors import ErrorCode, PeerViolation
from protocol.identity import Identity
from protocol.tunnel import HandshakeDone, Plaintext, TunnelEnd
from tests.simulate.mutations import MUTATIONS
from tests.simulate.plan import Event, Mode, Who, Wrong, draw, faults_of_link
from tests.simulate.records import PlayedTunnel
from tests.support.organisation import acme

ROOT = Path(__file__).parents[2]
SAMPLE_SEEDS = 60
PROOF_SEEDS = 300


def simulate(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.simulate", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.simulation
@pytest.mark.parametrize("mode", list(Mode))
def test_rel_06_rel_20_no_schedule_of_a_sample_breaks_a_promise(mode: Mode) -> None:
    ended = simulate("--mode", mode, "--seeds", str(SAMPLE_SEEDS), "--json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["schedules"] == SAMPLE_SEEDS
    assert report["actions"] > 0, "the sample proves nothing: nothing was done in it"
    assert (mode is Mode.LIVENESS) == (report["recovered_after_s"] is not None)


@pytest.mark.simulation
def test_rel_20_an_agent_that_is_killed_at_any_turn_of_its_loop_breaks_no_promise() -> None:
    ended = simulate("--every-step", "2", "--stride", "11", "--json")  # README.md: all of them
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["schedules"] > 20
    assert report["actions"] > 0


@pytest.mark.simulation
def test_the_core_broken_on_purpose_is_noticed_in_every_known_way() -> None:
    ended = simulate("--prove", "--seeds", str(PROOF_SEEDS), "--json")
    found = json.loads(ended.stdout)
    assert set(found) == set(MUTATIONS)
    assert not [name for name, proof in found.items() if not proof["seeds_needed"]]


@pytest.mark.simulation
def test_a_seed_goes_the_same_way_again() -> None:
    first, second = (simulate("--trace", "11").stdout for _ in range(2))
    assert "fingerprint" in first
    assert first == second


def test_every_fault_event_and_visitor_is_drawn_in_a_thousand_seeds() -> None:
    plans = [draw(seed, Mode.SAFETY) for seed in range(1000)]
    assert {timed.event for plan in plans for timed in plan.events} == set(Event)
    assert {visit.who for plan in plans for visit in plan.visits} == set(Who)
    assert {fault.wrong for plan in plans for fault in faults_of_link(plan, 0)} == set(Wrong)


@cache
def identities() -> dict[TunnelEnd, Identity]:
    return {TunnelEnd.DEVICE: acme().device(), TunnelEnd.TECHNICIAN: acme().technician()}


def pair() -> tuple[PlayedTunnel, PlayedTunnel]:
    device, technician = (
        PlayedTunnel(end, identities()[end], lambda count, end=end: end.name[:1].encode() * count)
        for end in (TunnelEnd.DEVICE, TunnelEnd.TECHNICIAN)
    )
    device.start()
    technician.start()
    return device, technician


def moved(one: PlayedTunnel, other: PlayedTunnel) -> list[object]:
    return [event for piece in one.outgoing() for event in other.feed(piece)]


def talk(change_no: int = -1, change: Callable[[bytes], bytes] = bytes) -> list[object]:
    """The whole handshake and one record each way, one flight of it changed; what came out at the ends."""
    device, technician = pair()
    events: list[object] = []
    for number in range(5):
        speaker, listener = (technician, device) if number % 2 == 0 else (device, technician)
        if number == 3:
            speaker.send(b"heard?")
        flight = b"".join(speaker.outgoing())
        events += listener.feed(change(flight) if number == change_no else flight)
        if number == 3:
            listener.send(b"heard.")
    return events


def test_the_stand_in_for_tls_carries_what_was_said() -> None:
    technician_done, device_done, *said = talk()
    assert isinstance(technician_done, HandshakeDone)
    assert isinstance(device_done, HandshakeDone)
    assert technician_done.exporter == device_done.exporter
    assert said == [Plaintext(b"heard?"), Plaintext(b"heard.")]


@pytest.mark.parametrize("flight", range(5))
def test_the_stand_in_refuses_every_changed_byte(flight: int) -> None:
    lengths: list[int] = []
    talk(flight, lambda content: lengths.append(len(content)) or content)
    for place in range(5, lengths[0]):  # a changed length only makes it wait for more

        def change(content: bytes, place: int = place) -> bytes:
            return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

        with pytest.raises(PeerViolation) as refused:
            talk(flight, change)
        assert refused.value.code is ErrorCode.E_HANDSHAKE


@pytest.mark.parametrize("treated", ["again", "skipped", "swapped", "of another"])
def test_the_stand_in_refuses_records_that_were_not_sent_now(treated: str) -> None:
    device, technician = pair()
    for _ in range(2):
        moved(technician, device)
        moved(device, technician)
    technician.send(b"one")
    technician.send(b"two")
    one, two = technician.outgoing()
    _, other = pair()
    flights = {
        "again": one + one,
        "skipped": two,
        "swapped": two + one,
        "of another": b"".join(other.outgoing()),
    }
    with pytest.raises(PeerViolation) as refused:
        device.feed(flights[treated])
    assert refused.value.code is ErrorCode.E_HANDSHAKE
