"""The core, broken on purpose: each way has to be noticed, or the simulation proves nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import agent.policy_store
import technician_client.opening
from agent.desktop.ipc_messages import StopPressed
from agent.desktop_link import SessionDesk
from agent.exec.book import CommandBook, RequestState, TakenRequest
from agent.live_session import LiveSession
from agent.session_audit import SessionAudit
from agent.session_channels import SessionChannels
from agent.session_consent import SessionConsent
from agent.sessions import Sessions
from protocol.certificates import Role
from protocol.consent import ConsentMachine, GiveGrants
from protocol.errors import NotGranted, SupportError
from protocol.grants import GrantBook
from protocol.policy import PolicyMark, open_policy
from protocol.session import SessionMachine
from protocol.trust import Trust
from technician_client.opening import Wanted
from tests.simulate.plan import Event, Mode, Plan, Timed, Who, draw


@dataclass(frozen=True, slots=True)
class Mutation:
    """One way to break it; `changes` are (owner, name, replacement), `adds`: what shows it in every plan."""

    changes: tuple[tuple[Any, str, Any], ...]
    adds: tuple[Timed, ...] = ()
    is_misrouted: bool = False
    visitor: Who | None = None
    mode: Mode = Mode.SAFETY

    def plan(self, seed: int) -> Plan:
        """The plan of this seed, with what this mutation needs to show."""
        plan = draw(seed, self.mode)
        plan.events += self.adds
        if self.is_misrouted:
            plan.visits = [replace(visit, is_misrouted=True) for visit in plan.visits]
        if self.visitor is not None:
            plan.visits = [replace(visit, who=self.visitor) for visit in plan.visits * 2]
        return plan

    @contextmanager
    def apply(self) -> Iterator[None]:
        """Broken, as long as this is entered."""
        patches = [patch.object(*change) for change in self.changes]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()


def _open_without_asking(channels: SessionChannels, asked: Any) -> Any:
    if asked.capability not in channels._capabilities:
        raise NotGranted
    return channels._capabilities[asked.capability]


def _mint_what_is_missing(consent: SessionConsent, grantable: Any) -> Any:
    if consent.book is None:
        raise NotGranted
    return consent.book._live.get(grantable) or consent.book.mint([grantable], until_s=1e9)[0]


def _whatever_is_held(book: GrantBook, grantable: Any, _now_s: float) -> Any:
    if grantable not in book._live:
        raise NotGranted
    return book._live[grantable]


def _quiet_write(write: Callable[..., None]) -> Callable[..., None]:
    def write_or_not(*given: Any, **terms: Any) -> None:
        with suppress(SupportError):
            write(*given, **terms)

    return write_or_not


def _do_not_hear_stop(note: Callable[..., None]) -> Callable[..., None]:
    def note_all_but_stop(desk: SessionDesk, message: Any) -> None:
        if not isinstance(message, StopPressed):
            note(desk, message)

    return note_all_but_stop


def _allow_instead(machine: ConsentMachine) -> Any:
    return machine.allow(machine._possible, now_s=1e9)


def _give_at_once(machine: ConsentMachine, allowed: Any, _now_s: float) -> Any:
    machine._allowed = allowed
    return [GiveGrants(allowed, {})]


def _any_device(wanted: Wanted, chain: Any) -> Any:
    now = technician_client.opening.datetime.now()
    return Trust(wanted.identity.root_der).verify(chain, roles={Role.DEVICE}, now=now)


def _never_over(tick: Callable[..., Any]) -> Callable[..., Any]:
    def tick_without_limit(machine: SessionMachine, now_s: float) -> Any:
        machine._limit_s = now_s + 1e6
        return tick(machine, now_s)

    return tick_without_limit


def _take_again(take: Callable[..., None]) -> Callable[..., None]:
    def take_again(book: CommandBook, request_id: str, *given: Any) -> None:
        with book._transaction(is_owner=True) as connection:
            connection.execute("DELETE FROM requests WHERE request_id = ?", (request_id,))
        take(book, request_id, *given)

    return take_again


def _forget_all(book: CommandBook) -> list[Any]:
    book.path.unlink(missing_ok=True)
    return []


def _settle_kindly(settle: Callable[..., Any]) -> Callable[..., Any]:
    def settle_kindly(book: CommandBook) -> list[TakenRequest]:
        return [replace(request, state=RequestState.NOT_RUN) for request in settle(book)]

    return settle_kindly


def _open_any_version(envelope: bytes, trust: Any, *, now: Any, newest: Any) -> Any:
    return open_policy(envelope, trust, now=now, newest=PolicyMark())


MUTATIONS: dict[str, Mutation] = {
    "a channel opens without a grant": Mutation(
        (
            (SessionChannels, "_admit", _open_without_asking),
            (SessionConsent, "require", _mint_what_is_missing),
        )
    ),
    "a no counts as a yes": Mutation(((ConsentMachine, "deny", _allow_instead),)),
    "no answer counts as a yes": Mutation(((ConsentMachine, "time_out", _allow_instead),)),
    "grants do not wait for the indicator": Mutation(((ConsentMachine, "_show_indicator", _give_at_once),)),
    "grants do not end by time": Mutation(
        (
            (GrantBook, "require", _whatever_is_held),
            (GrantBook, "end_due", lambda book, _now_s: []),
        )
    ),
    "Stop is not heard": Mutation(((SessionDesk, "note", _do_not_hear_stop(SessionDesk.note)),)),
    "the book takes a request again": Mutation(((CommandBook, "take", _take_again(CommandBook.take)),)),
    "the book does not outlive the agent": Mutation(
        ((CommandBook, "settle", _forget_all),),
        tuple(Timed(at_s, Event.RESTART_AGENT, 0.5) for at_s in (20.0, 40.0, 60.0)),
        visitor=Who.ROGUE,
    ),
    "what was left open counts as not run": Mutation(
        ((CommandBook, "settle", _settle_kindly(CommandBook.settle)),),
        (Timed(1.0, Event.KILL_AGENT_AT_STEP, 5.0),),
    ),
    "what cannot be recorded happens all the same": Mutation(
        ((SessionAudit, "write", _quiet_write(SessionAudit.write)),), (Timed(1.0, Event.AUDIT_FAILS, 60.0),)
    ),
    "an older policy is taken": Mutation(
        ((agent.policy_store, "open_policy", _open_any_version),),
        (Timed(5.0, Event.POLICY_NEWER, 0.0), Timed(9.0, Event.POLICY_OLDER, 0.0)),
    ),
    "any device will do": Mutation(((Wanted, "verified", _any_device),), is_misrouted=True),
    "silence is never noticed": Mutation(((SessionMachine, "tick", _never_over(SessionMachine.tick)),)),
    "a session id counts twice": Mutation(
        ((Sessions, "_refusal", lambda sessions, *offer: None),),
        tuple(Timed(at_s, Event.OFFER_ID_AGAIN, 0.0) for at_s in (8.0, 16.0, 24.0)),
    ),
    "nobody watches the desktop": Mutation(((LiveSession, "_watch_desk", LiveSession._wait_over),)),
}
