"""What goes wrong in one schedule, and when: drawn from the seed before anything runs."""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

TLS_SHARE = 0.02
"""This part of the schedules runs OpenSSL's real TLS 1.3 instead of `records`."""
HEALED_AT_S = 120.0
"""In a liveness run nothing is broken any more after so long."""


class Mode(StrEnum):
    """Safety: anything may break at any time. Liveness: it heals, and then everything has to work again."""

    SAFETY = "safety"
    LIVENESS = "liveness"


class Wrong(StrEnum):
    """What a network or a relay does to one message of a session, or from it on."""

    DROP = "drop"
    DELAY = "delay"
    REORDER = "reorder"
    DUPLICATE = "duplicate"
    CORRUPT = "corrupt"
    TRUNCATE = "truncate"
    INJECT = "inject"
    REPLAY = "replay"
    REFLECT = "reflect"
    SPLICE = "splice"
    CUT = "cut"
    HALF_CUT = "half_cut"
    HOLD = "hold"
    HOLD_BOTH = "hold_both"


class Event(StrEnum):
    """What happens to a machine, or what a relay does outside of a session's socket."""

    RESTART_AGENT = "restart_agent"
    KILL_AGENT_AT_STEP = "kill_agent_at_step"
    KILL_TECHNICIAN = "kill_technician"
    DESKTOP_DIES = "desktop_dies"
    CLOCK_JUMPS = "clock_jumps"
    AUDIT_FAILS = "audit_fails"
    POLICY_NEWER = "policy_newer"
    POLICY_OLDER = "policy_older"
    POLICY_SAME_VERSION = "policy_same_version"
    POLICY_FORGED = "policy_forged"
    POLICY_EXPIRED = "policy_expired"
    POLICY_NARROWER = "policy_narrower"
    OFFER_ID_AGAIN = "offer_id_again"
    END_ALL = "end_all"


class Who(StrEnum):
    """Who opens a session."""

    HONEST = "honest"
    ROGUE = "rogue"  # a valid certificate, and a program that sends what it likes
    STRANGER = "stranger"  # of another organisation with the same name
    DEVICE = "device"  # a device's certificate where a technician's belongs
    OUTSIDE_SCOPE = "outside_scope"
    SHORT_LIVED = "short_lived"  # honest, with a certificate that ends during the session


@dataclass(frozen=True, slots=True)
class MessageFault:
    """One wrong at the `at_message`-th message of one direction; `amount` is seconds or a place in it."""

    wrong: Wrong
    is_from_device: bool
    at_message: int
    amount: float


@dataclass(frozen=True, slots=True)
class Timed:
    """One event; `amount` is how long or how far, as the event needs it."""

    at_s: float
    event: Event
    amount: float


@dataclass(frozen=True, slots=True)
class Visit:
    """One technician's attempt at a session."""

    at_s: float
    who: Who
    is_misrouted: bool


@dataclass(slots=True)
class Plan:
    """Everything that was decided for one seed."""

    seed: int
    mode: Mode
    is_tls: bool
    is_unattended: bool
    events: list[Timed] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    kill_at_step: int = 0
    """The agent is killed at this turn of the loop; 0: at none."""
    has_faults_of_links: bool = True

    def random(self, word: str) -> Random:
        """A source of chance for one purpose, so that one more draw here changes nothing there."""
        return Random(f"{self.seed}/{self.mode}/{word}")


_OFTEN_WRONG = [
    *(each for each in Wrong for _ in range(2)),
    Wrong.CUT, Wrong.HOLD_BOTH, Wrong.HOLD, Wrong.DELAY,
]  # fmt: skip
_EVENTS = {
    Event.RESTART_AGENT: (3, lambda chance: chance.uniform(0.1, 5)),
    Event.KILL_AGENT_AT_STEP: (4, lambda chance: chance.uniform(0.1, 5)),
    Event.KILL_TECHNICIAN: (2, lambda chance: 0.0),
    Event.DESKTOP_DIES: (3, lambda chance: chance.uniform(0.5, 20)),
    Event.CLOCK_JUMPS: (
        2,
        lambda chance: chance.choice([-86400.0, -3600.0, -400.0, 400.0, 3600.0, 864000.0]),
    ),
    Event.AUDIT_FAILS: (3, lambda chance: chance.expovariate(1 / 10)),
    Event.POLICY_NEWER: (2, lambda chance: 0.0),
    Event.POLICY_OLDER: (2, lambda chance: 0.0),
    Event.POLICY_SAME_VERSION: (1, lambda chance: 0.0),
    Event.POLICY_FORGED: (1, lambda chance: 0.0),
    Event.POLICY_EXPIRED: (1, lambda chance: 0.0),
    Event.POLICY_NARROWER: (2, lambda chance: 0.0),
    Event.OFFER_ID_AGAIN: (2, lambda chance: 0.0),
    Event.END_ALL: (1, lambda chance: 0.0),
}  # type: dict[Event, tuple[int, Callable[[Random], float]]]
_VISITORS = [
    *[Who.HONEST] * 8, *[Who.ROGUE] * 6, Who.STRANGER, Who.DEVICE, Who.OUTSIDE_SCOPE, Who.SHORT_LIVED,
]  # fmt: skip


def draw(seed: int, mode: Mode) -> Plan:
    """The plan of this seed."""
    chance = Random(f"{seed}/{mode}")
    plan = Plan(seed, mode, is_tls=chance.random() < TLS_SHARE, is_unattended=chance.random() < 0.15)
    kinds = list(_EVENTS)
    weights = [_EVENTS[kind][0] for kind in kinds]
    for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
        kind = chance.choices(kinds, weights)[0]
        at_s = chance.uniform(0.0, HEALED_AT_S * 0.5)
        plan.events.append(Timed(at_s, kind, _EVENTS[kind][1](chance)))
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        is_misrouted = chance.random() < 0.04
        plan.visits.append(Visit(chance.uniform(0.0, 20.0), chance.choice(_VISITORS), is_misrouted))
    return plan


def quiet_plan(seed: int, kill_at_step: int) -> Plan:
    """One honest visit; nothing is wrong but that the agent is killed at this step."""
    plan = Plan(seed, Mode.SAFETY, is_tls=False, is_unattended=False, kill_at_step=kill_at_step)
    plan.visits.append(Visit(1.0, Who.HONEST, is_misrouted=False))
    plan.has_faults_of_links = False
    return plan


def faults_of_link(plan: Plan, link_no: int) -> list[MessageFault]:
    """What happens to the messages of the `link_no`-th session socket of this schedule."""
    if not plan.has_faults_of_links:
        return []
    chance = plan.random(f"link {link_no}")
    return [
        MessageFault(
            chance.choice(_OFTEN_WRONG),
            chance.random() < 0.5,
            int(chance.expovariate(1 / 20)),
            chance.random(),
        )
        for _ in range(chance.choice([0, 0, 0, 1, 1, 2, 3]))
    ]
