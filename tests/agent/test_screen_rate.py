"""Newest wins, on simulated links: the age of what is shown, queues, stalls, and two senders on one link."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capabilities.screen.portions import LARGEST_COST_BYTES, TileLedger, largest_costs
from agent.capabilities.screen.rate import FIRST_WINDOW_BYTES, STEP_BYTES, Decision, Phase, RateControl
from agent.platform.interfaces import Area
from protocol.limits import PICTURES_IN_FLIGHT_LIMIT
from tests.support.simulated_link import (
    DRAG,
    FAR,
    FULL_SCREEN,
    LOOPBACK,
    NEAR,
    SCROLL,
    SLOW,
    TYPING,
    LinkProfile,
    RenoLink,
    SimulatedLink,
    SimulatedSender,
    VirtualTime,
    megabits,
)

pytestmark = pytest.mark.simulation

WORKLOADS = {"typing": TYPING, "scroll": SCROLL, "drag": DRAG, "full screen": FULL_SCREEN}
SETTLED_S = 5.0


class Run:
    """One link, and senders on it."""

    def __init__(
        self, profile: LinkProfile, seed: int = 1, kind: type[SimulatedLink] = SimulatedLink
    ) -> None:
        self.time = VirtualTime()
        self.link = kind(self.time, profile, seed)

    def sender(self, workload, for_s: float) -> SimulatedSender:
        sender = SimulatedSender(self.link, workload)
        sender.load(for_s)
        return sender


def p95(values) -> float:
    return float(np.percentile(values, 95))


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
@pytest.mark.parametrize(
    ("profile", "more_s"), [(NEAR, 0.12), (FAR, 0.12), (SLOW, 0.4)], ids=["near", "far", "slow"]
)
def test_what_is_shown_is_never_older_than_a_round_trip_and_a_bit(profile, more_s, workload):
    run = Run(profile)
    sender = run.sender(workload, 60.0)
    run.time.run(SETTLED_S)
    sender.ages_s.clear()
    run.time.run(65.0)
    assert p95(sender.ages_s) <= profile.round_trip_s + more_s
    assert sender.is_exact


PROFILES = st.builds(
    LinkProfile,
    round_trip_s=st.floats(0.002, 0.3),
    bytes_per_s=st.floats(megabits(1), megabits(100)),
    loss=st.sampled_from([0.0, 0.002]),
    jitter_s=st.floats(0.0, 0.01),
    buffer_bytes=st.sampled_from([64 << 10, 1 << 20, 8 << 20]),
)


@settings(max_examples=15)
@given(PROFILES, st.sampled_from(list(WORKLOADS.values())), st.integers(0, 1000))
def test_on_any_link_the_age_stays_bounded_and_the_queue_empties(profile, workload, seed):
    run = Run(profile, seed)
    sender = run.sender(workload, 20.0)
    run.time.run(SETTLED_S)
    sender.ages_s.clear()
    run.time.run(20.0)
    if sender.ages_s:
        assert p95(sender.ages_s) <= 2 * profile.round_trip_s + 0.25
    run.time.run(21.0 + 2 * profile.round_trip_s + workload.tiles * workload.cost_bytes / profile.bytes_per_s)
    assert run.link.queue_bytes == 0
    assert sender.is_exact


@pytest.mark.parametrize("profile", [NEAR, FAR, SLOW], ids=["near", "far", "slow"])
@pytest.mark.parametrize("workload", [SCROLL, FULL_SCREEN], ids=["scroll", "full screen"])
def test_a_stall_of_five_seconds_is_followed_by_no_more_than_a_window(profile, workload):
    run = Run(profile)
    sender = run.sender(workload, 60.0)
    run.time.run(20.0)
    window_bytes = sender.control.window_bytes
    before = len(sender.sent)
    run.link.stall(5.0)
    run.time.run(25.0)
    assert sum(size for _, size in sender.sent[before:]) <= 1.5 * window_bytes
    before = len(sender.sent)
    run.time.run(25.0 + profile.round_trip_s)
    assert sum(size for _, size in sender.sent[before:]) <= window_bytes
    run.time.run(30.0)
    sender.ages_s.clear()
    run.time.run(60.0)
    assert p95(sender.ages_s) <= profile.round_trip_s + 0.15


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_where_each_loss_makes_the_link_slower_pictures_are_no_later_than_its_repetition(workload):
    """Reno leaves about one of the 5 Mbit/s; one run in ten has more losses in a row than that."""
    latest = []
    for seed in range(1, 5):
        run = Run(FAR, seed, RenoLink)
        sender = run.sender(workload, 65.0)
        run.time.run(SETTLED_S)
        sender.latencies_s.clear()
        run.time.run(65.0)
        assert len(sender.latencies_s) >= 60.0 * min(workload.changes_per_s, 18)
        latest.append(p95(sender.latencies_s))
    assert np.median(latest) <= FAR.round_trip_s + 0.12


@pytest.mark.parametrize("late_s", [0.0, 10.0])
@pytest.mark.parametrize("profile", [NEAR, FAR, SLOW], ids=["near", "far", "slow"])
def test_two_senders_share_a_link_within_a_factor_of_two(profile, late_s):
    run = Run(profile)
    first = run.sender(FULL_SCREEN, 60.0)
    run.time.run(late_s)
    second = run.sender(FULL_SCREEN, 60.0)
    run.time.run(30.0)
    before = first.shown_bytes, second.shown_bytes
    run.time.run(60.0)
    share = (first.shown_bytes - before[0]) / (second.shown_bytes - before[1])
    assert 0.5 <= share <= 2
    assert run.link.carried_bytes >= 0.8 * 60.0 * profile.bytes_per_s


def test_a_queue_of_somebody_elses_making_does_not_starve_us():
    """A download that fills a deep buffer for ever: we are as late as that buffer, and still shown."""
    run = Run(replace(NEAR, buffer_bytes=1 << 18))
    sender = run.sender(SCROLL, 60.0)

    def flood() -> None:
        while run.link.queue_bytes < run.link.profile.buffer_bytes * 0.9:
            run.link.send(15_000, 0.0)
        run.time.at(run.time.now_s + 0.005, flood)

    flood()
    run.time.run(30.0)
    before = sender.shown_bytes
    run.time.run(60.0)
    assert sender.shown_bytes - before >= 0.5 * 30.0 * 60 * SCROLL.step * SCROLL.cost_bytes


@pytest.mark.parametrize("factor", [0.25, 0.05])
def test_a_link_that_becomes_slow_loses_its_queue_and_one_that_recovers_is_used(factor):
    run = Run(NEAR)
    sender = run.sender(FULL_SCREEN, 60.0)
    run.time.run(20.0)
    run.link.profile = replace(NEAR, bytes_per_s=NEAR.bytes_per_s * factor)
    run.time.run(30.0)
    assert run.link.queue_bytes <= 0.15 * run.link.profile.bytes_per_s
    run.link.profile = NEAR
    run.time.run(35.0)
    before = sender.shown_bytes
    run.time.run(40.0)
    assert sender.shown_bytes - before >= 0.9 * 5.0 * NEAR.bytes_per_s


def test_typing_for_long_does_not_forget_what_the_link_can_do():
    run = Run(NEAR)
    sender = run.sender(FULL_SCREEN, 10.0)
    run.time.run(15.0)
    sender.workload = TYPING
    sender.load(300.0)
    run.time.run(320.0)
    sender.workload = FULL_SCREEN
    sender.load(10.0)
    before = sender.shown_bytes
    run.time.run(322.0)
    assert sender.shown_bytes - before >= 0.8 * 2.0 * NEAR.bytes_per_s


@pytest.mark.parametrize("workload", [SCROLL, DRAG], ids=["scroll", "drag"])
def test_on_loopback_nothing_is_held_back(workload):
    run = Run(LOOPBACK)
    sender = run.sender(workload, 20.0)
    run.time.run(21.0)
    assert sender.shown_pictures >= 0.98 * 20 * 60


def test_a_slow_viewer_gets_as_many_pictures_as_it_paints_and_no_queue():
    """Each picture takes it 40 ms, whatever its size: 25 a second."""
    run = Run(replace(LOOPBACK, paint_s=0.04))
    sender = run.sender(SCROLL, 60.0)
    run.time.run(SETTLED_S)
    sender.ages_s.clear()
    run.time.run(60.0)
    assert p95(sender.ages_s) <= 0.2
    assert sender.shown_pictures >= 0.8 * 25 * 60


def test_the_first_picture_after_quiet_goes_at_once():
    control = RateControl()
    for number in range(1, 100):
        now_s = number * 2.0
        assert control.allow(now_s).decision is Decision.EXACT_NOW
        control.sent(number, 200, now_s, is_cut=False)
        control.acknowledged(number, now_s + 0.1)


def test_a_viewer_that_answers_nothing_gets_one_window():
    control = RateControl()
    now_s, sent_bytes = 0.0, 0
    for number in range(1, 1000):
        now_s += 1.0
        allowed = control.allow(now_s)
        if allowed.decision is Decision.WAIT:
            continue
        control.sent(number, min(3000, allowed.budget_bytes), now_s, is_cut=True)
        sent_bytes += min(3000, allowed.budget_bytes)
    assert sent_bytes <= 3 * FIRST_WINDOW_BYTES
    assert control.in_flight_pictures <= PICTURES_IN_FLIGHT_LIMIT


def test_acknowledgements_of_nothing_and_repeated_ones_change_nothing():
    control = RateControl()
    control.acknowledged(7, 1.0)
    control.sent(1, 500, 2.0, is_cut=False)
    control.acknowledged(1, 2.1)
    rate = control.link.rate_bytes_per_s
    control.acknowledged(1, 9.0)
    assert (control.link.rate_bytes_per_s, control.in_flight_bytes) == (rate, 0)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ask", "ack", "forget"]), st.floats(0, 3), st.integers(1, 200_000)),
    max_size=60,
)


@given(EVENTS)
def test_whatever_happens_the_window_and_the_budget_are_sane(events):
    control = RateControl()
    now_s, newest = 0.0, 0
    for kind, after_s, size_bytes in events:
        now_s += after_s
        if kind == "ack":
            control.acknowledged(max(0, newest - size_bytes % 3), now_s)
        elif kind == "forget":
            control.forget_in_flight()
        elif (allowed := control.allow(now_s)).decision is Decision.EXACT_NOW:
            assert 0 < allowed.budget_bytes <= control.portion_bytes
            newest += 1
            control.sent(newest, size_bytes, now_s, is_cut=size_bytes > allowed.budget_bytes)
        else:
            assert allowed.again_at_s > now_s
            assert control.in_flight_pictures or allowed.again_at_s < np.inf
        # then the window is small on purpose, for one round trip or until everything has arrived
        is_emptying = control.phase in (Phase.EMPTY, Phase.HOLD)
        assert control.window_bytes >= (STEP_BYTES if is_emptying else control.portion_bytes / 2)
    control.acknowledged(newest, now_s)
    assert control.in_flight_bytes == 0


def test_half_a_budget_is_for_what_costs_little_and_half_for_what_waits():
    ledger = TileLedger((100,))
    dear, cheap = np.arange(50), np.arange(50, 100)
    for tile in dear:
        ledger.sent(np.array([tile]), 10_000)
    for tile in cheap:
        ledger.sent(np.array([tile]), 100)
    found = np.zeros(100, np.bool_)
    found[dear] = True
    ledger.order(found, 20_000, 1)
    found[:] = True
    order = ledger.order(found, 20_000, 500)
    assert set(order[:10]) <= set(cheap)
    costs = ledger.costs(order)
    first = order[np.cumsum(costs) <= 20_000]
    assert set(first) & set(dear)


def test_the_first_tiles_of_a_portion_cannot_cost_more_than_twice_its_budget():
    ledger = TileLedger((510,))
    order = ledger.order(np.ones(510, np.bool_), 50_000, 1)
    assert ledger.fitting(order, 50_000) * LARGEST_COST_BYTES <= 100_000


def test_tiles_that_were_cheap_are_dear_once_their_pixels_are_a_photograph():
    ledger = TileLedger((2, 10))
    everything = np.ones((2, 10), np.bool_)
    ledger.sent(np.arange(20), 20 * 100)
    pixels = np.zeros((128, 640), np.uint32)
    pixels[64:] = np.random.default_rng(1).integers(0, 1 << 24, (64, 640))
    assert ledger.may_be_dear(everything, 4_000)
    largest = largest_costs(pixels, Area(0, 0, 640, 128), (2, 10))
    ledger.order(everything, 4_000, 1, largest)
    costs = ledger.costs(np.arange(20))
    assert max(costs[:10]) <= 320 < 2_000 <= min(costs[10:])
    assert largest[10:].min() == LARGEST_COST_BYTES
    assert largest[:10].max() < LARGEST_COST_BYTES / 10


def test_a_large_first_picture_does_not_look_like_a_queue():
    """It takes 280 ms by its size alone on a link of 1 Mbit/s, which nothing is known of yet."""
    control = RateControl()
    control.sent(1, 500, 0.0, is_cut=False)
    control.acknowledged(1, 0.3)
    control.sent(2, 35_000, 1.0, is_cut=True)
    control.acknowledged(2, 1.58)
    assert control.phase is Phase.START


def test_after_a_stall_nothing_is_sent_until_everything_has_arrived():
    control = RateControl()
    for number in range(1, 9):
        control.sent(number, 3_000, number * 0.1, is_cut=True)
        control.acknowledged(number, number * 0.1 + 0.05)
    control.sent(9, 3_000, 1.0, is_cut=True)
    control.sent(10, 3_000, 1.01, is_cut=True)
    assert control.allow(2.0).decision is Decision.WAIT
    control.acknowledged(9, 5.0)
    assert control.allow(5.0).decision is Decision.WAIT
    control.acknowledged(10, 5.05)
    assert control.allow(5.1).decision is Decision.EXACT_NOW


def test_a_preview_is_for_what_takes_long_on_a_link_that_was_measured():
    rate, now_s = RateControl(), 0.0
    assert rate.allow(now_s).preview_over_bytes == math.inf
    for number in range(1, 40):
        allowed = rate.allow(now_s)
        if allowed.decision is Decision.WAIT:
            now_s += 0.01
            continue
        rate.sent(number, 4_000, now_s, is_cut=True)
        now_s += 0.032
        rate.acknowledged(number, now_s)
    over = [rate.allow(now_s + wait_s).preview_over_bytes for wait_s in (0.5, 1.0)]
    assert all(0.1 * 125_000 < one < 0.4 * 125_000 for one in over)
