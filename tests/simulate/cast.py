"""Who and what there is in every schedule; made once for a process, because keys and signatures cost time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from agent.capabilities.commands.run import PolicyInForce
from protocol.catalogue import CommandEntry
from protocol.certificates import Scope
from protocol.identity import Identity
from tests.simulate.plan import Event, Who
from tests.support.approved_commands import entry, signed_policy
from tests.support.organisation import Organisation

SHORT_LIFE_S = 90
PROGRAM_OF_COMMANDS = "/usr/bin/true"
CANARY = b"canary of a command's output"
LAST_VERSION = 50


@dataclass(frozen=True, slots=True)
class Cast:
    """An organisation and its people. `now` is the wall clock's time at the start of every schedule."""

    now: datetime
    organisation: Organisation
    devices: tuple[Identity, Identity]
    technicians: dict[Who, Identity]
    grace: Identity
    first_policy: dict[bool, PolicyInForce]  # by whether it is unattended
    policies: dict[Event, bytes]
    last_policy: PolicyInForce

    @property
    def entries(self) -> list[CommandEntry]:
        """The catalogue of every policy here."""
        return list(self.last_policy.policy.catalogue.commands)


@cache
def cast() -> Cast:
    """The one of this process."""
    ours, theirs = Organisation("Acme"), Organisation("Acme")
    away = Scope(frozenset({"elsewhere"}), frozenset({"*"}))
    device = ours.device()
    technicians = {
        Who.HONEST: ours.technician("ada"),
        Who.ROGUE: ours.technician("rob"),
        Who.STRANGER: theirs.technician("ada"),
        Who.DEVICE: device,
        Who.OUTSIDE_SCOPE: ours.technician("olaf", scope=away),
        Who.SHORT_LIVED: ours.technician("shana", lifetime=timedelta(seconds=SHORT_LIFE_S)),
    }
    commands = [entry("probe-one", PROGRAM_OF_COMMANDS), entry("probe-two", PROGRAM_OF_COMMANDS, "--version")]

    def policy(version: int, *, by: Organisation = ours, **changes: Any) -> PolicyInForce:
        terms = {"version": version, "groups": {"default": "ask"}} | changes
        return signed_policy(by, commands, **terms)

    old = (ours.now - timedelta(days=2), ours.now - timedelta(days=1))
    policies = {
        Event.POLICY_NEWER: policy(12),
        Event.POLICY_OLDER: policy(9),
        Event.POLICY_SAME_VERSION: policy(10, technician_lifetime_days_limit=8),
        Event.POLICY_FORGED: policy(30, by=theirs, organisation_id=ours.organisation_id),
        Event.POLICY_EXPIRED: policy(31, issued_at_utc=old[0].isoformat(), expires_at_utc=old[1].isoformat()),
        Event.POLICY_NARROWER: policy(11, roles={"technician": ["screen.view"]}),
    }
    return Cast(
        now=ours.now + timedelta(seconds=1),
        organisation=ours,
        devices=(ours.device("first-pc"), ours.device("second-pc")),
        technicians=technicians,
        grace=ours.technician("grace"),
        first_policy={
            unattended: policy(10, groups={"default": "unattended" if unattended else "ask"})
            for unattended in (False, True)
        },
        policies={event: each.envelope for event, each in policies.items()},
        last_policy=policy(LAST_VERSION),
    )
