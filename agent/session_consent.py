"""The consent broker: one session's asks and grants; who is asked through which desktop, and the end.

Nothing else in the agent holds a `GrantBook`, so nothing else can make a grant.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from msgspec.structs import replace

from agent.consent_runner import ConsentRunner, Outcome, PersonAnswer
from agent.desktop import ipc_messages as ipc
from agent.desktop_link import DesktopLink, DesktopSeat, SessionDesk
from agent.session_audit import SessionAudit
from agent.session_facts import SessionFacts
from agent.standing import StandingConsent, Whom
from protocol.audit import AuditKind
from protocol.consent import ConsentMachine, GiveGrants, ShowIndicator, ShowPrompt
from protocol.errors import ErrorCode, NotGranted, Refused, SupportError, Unreachable
from protocol.grantables import Grantable, in_order
from protocol.grants import Grant, GrantBook, GrantParties
from protocol.limits import ASK_LIMIT_PER_SESSION, STANDING_LENGTH_LIMIT_S, VISITOR_SESSION_LIMIT_S
from protocol.messages.consent import Ask
from protocol.names import shown_name, shown_reason, shown_text
from protocol.policy import Consent

PERSON, POLICY, AGENT = "person", "policy", "agent"
SLEEP_NOTICED_S = 2.0
TECHNICIAN, GROUP = "technician", "group"  # for whom the person allows something beforehand

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Coming:
    """What the indicator shows already, and what is granted once the person can see that."""

    grantables: frozenset[Grantable] = frozenset()
    length_s: float = 0.0
    is_standing: bool = False


NOTHING = Coming()


class SessionConsent:
    """Asks the person, holds the grants, keeps the indicator true."""

    def __init__(
        self,
        facts: SessionFacts,
        desktop: DesktopLink,
        audit: SessionAudit,
        *,
        on_desk: Callable[[SessionDesk], None],
        on_mismatch: Callable[[], None],
    ) -> None:
        """`on_desk` hears once which desktop process this session is bound to.

        `on_mismatch`: the person says that the four digits are not the same.
        """
        self._facts = facts
        self._admitted = facts.admitted
        self._desktop = desktop
        self._audit = audit
        self._on_desk, self._on_mismatch = on_desk, on_mismatch
        self._stack = AsyncExitStack()
        self._asks = 0
        self._is_asking = False
        self._resting: dict[Grantable, str] = {}  # what rests on a standing consent, and its id
        self._coming = NOTHING
        self._slept_s = facts.slept_s()
        self.desk: SessionDesk | None = None
        self.book: GrantBook | None = None

    @property
    def is_unattended(self) -> bool:
        """Whether policy let the newest ask go without an answer."""
        return self._admitted.rules.consent is Consent.UNATTENDED

    @property
    def is_absent(self) -> bool:
        """Whether the person is away from this desktop, or the machine has slept since grants were given."""
        return self._has_slept or (self.desk is not None and self.desk.seat.absence.is_away)

    @property
    def unwelcome(self) -> ErrorCode | None:
        """Why the person wants nobody for a while, or not this technician; None when they do."""
        return self._facts.welcome.refusal(self._facts.admitted.peer, self.seat_uid)

    @property
    def seat_uid(self) -> int | None:
        """The user whose desktop this session is at, or would come to now; None: there is no desktop."""
        seat = self.desk.seat if self.desk else self._seat
        return seat.uid if seat else None

    @property
    def departures(self) -> int:
        """How often the person has left this desktop."""
        return self.desk.seat.absence.departures if self.desk is not None else 0

    @property
    def _has_slept(self) -> bool:
        return self._facts.slept_s() - self._slept_s > SLEEP_NOTICED_S

    def require(self, grantable: Grantable) -> Grant:
        """The live grant.

        Raises:
            NotGranted: there is none, or its time is over.
        """
        if self.book is None:
            raise NotGranted(grantable.value)
        if unwelcome := self.unwelcome:
            raise NotGranted(grantable.value, code=unwelcome)
        if self.is_absent:
            raise NotGranted(grantable.value, code=ErrorCode.E_CONSENT_AWAY)
        return self.book.require(grantable, asyncio.get_running_loop().time())

    async def ask(self, ask: Ask, pending: Callable[[float], Awaitable[None]]) -> Outcome:
        """Carry one ask through. `pending` hears the time limit when the person is being asked."""
        asked = _known(ask.grantables)
        if self._facts.admitted.peer.is_visitor:
            ask = replace(ask, length_s=min(ask.length_s, VISITOR_SESSION_LIMIT_S))
        refusal = self._refusal() or self._judge_again()
        if refusal is None:
            self._is_asking = True
            try:
                outcome = await self._run(ask, asked, pending)
            finally:
                self._is_asking = False
                self._coming = NOTHING
        else:
            outcome = Outcome(frozenset(), dict.fromkeys(asked, refusal))
            if self._asks <= ASK_LIMIT_PER_SESSION:
                self._note_refused(outcome)
        await self.refresh_indicator()
        return outcome

    def _refusal(self) -> ErrorCode | None:
        self._asks += 1
        if self._asks > ASK_LIMIT_PER_SESSION:
            return ErrorCode.E_RATE
        # a session stays at the desktop that it came to: after a user switch the next person is asked anew
        seat = self.desk.seat if self.desk else self._seat
        peer = self._facts.admitted.peer
        if unwelcome := self._facts.welcome.refusal_to_ask(peer, self.seat_uid):
            return unwelcome
        if self._is_asking:
            return ErrorCode.E_BUSY
        if seat is not None and seat.absence.is_away:
            return ErrorCode.E_CONSENT_AWAY
        return self._facts.patience.refusal(self._technician_id, asyncio.get_running_loop().time())

    def _judge_again(self) -> ErrorCode | None:
        """A policy that came since the session began, and the certificate's end, hold for this ask."""
        try:
            self._admitted = self._facts.admit_again()
        except SupportError as exc:
            return exc.code
        return None

    @property
    def _is_verified(self) -> bool:
        """Whether the person's organisation vouches for who this is."""
        return bool(self._facts.shown_organisation)

    @property
    def _technician_id(self) -> str:
        return self._facts.admitted.peer.subject_id

    def block(self, *, is_mismatch: bool = False) -> None:
        """The person does not want this technician for a while; `is_mismatch`: the digits did not match."""
        assert self.desk is not None
        peer, uid = self._facts.admitted.peer, self.desk.seat.uid
        block = self._facts.welcome.block(peer, uid, is_mismatch=is_mismatch)  # first: from here on it holds
        until = datetime.now(UTC) + timedelta(seconds=block.left_s)
        facts: dict[str, str | int] = {"whom": block.technician_id, "code": block.code.value, "uid": uid}
        self._audit.note(
            AuditKind.BLOCK_STARTED, {**facts, "until": f"{until:%Y-%m-%d %H:%M} UTC"}, actor=PERSON
        )

    def note_matched(self) -> None:
        """The person compared the four digits, and they were the same."""
        self._audit.note(AuditKind.READBACK_COMPARED, {"outcome": "matched"}, actor=PERSON)

    def note_no(self) -> None:
        """The person refused, did not answer, or pressed Stop."""
        self._facts.patience.said_no(self._technician_id, asyncio.get_running_loop().time())

    async def _run(
        self, ask: Ask, asked: frozenset[Grantable], pending: Callable[[float], Awaitable[None]]
    ) -> Outcome:
        held = frozenset(grant.grantable for grant in self.book.live) if self.book else frozenset()
        machine = ConsentMachine(asked, self._admitted.offers, held=held)
        try:
            self._audit.write(
                AuditKind.CONSENT_ASKED, {"asked": " ".join(sorted(asked)), "ask_no": ask.ask_no}
            )
            is_there = await self._bind()
        except SupportError as exc:
            return Outcome(frozenset(), dict.fromkeys(asked, exc.code))
        self._end_before_sleep()
        standing = self._covering(machine.possible)
        person = _PersonAtDesk(self, ask, pending, standing)
        runner = ConsentRunner(machine, person, lambda effect: self._give(effect, person))
        try:
            consent = self._admitted.rules.consent
            outcome = await runner.run(consent, is_anybody_there=is_there, is_standing=bool(standing))
        except asyncio.CancelledError:
            self._audit.note(AuditKind.CONSENT_DENIED, {"codes": "withdrawn"}, succeeded=False)
            self._remember(person, is_yes=False)
            raise
        self._remember(person, is_yes=bool(outcome.granted))
        outcome = _with_failure(outcome, person.failure)
        self._note_refused(outcome)
        if ErrorCode.E_READBACK_MISMATCH in outcome.refused.values():
            self._on_mismatch()
        return outcome

    def _covering(self, possible: frozenset[Grantable]) -> dict[Grantable, StandingConsent]:
        """What the person allowed beforehand, if that is all that is possible here."""
        if self.is_unattended or not self._is_verified:
            return {}
        uid = self.desk.seat.uid if self.desk else None
        found = self._facts.standing.covering(self._technician_id, self._facts.group, possible, uid)
        return found if set(found) == possible else {}

    def _end_before_sleep(self) -> None:
        """Before anybody is asked anew: what was given before the machine slept is over."""
        if not self._has_slept:
            return
        for grant in self.book.live if self.book else []:
            self.end(grant, ErrorCode.E_CONSENT_AWAY)
        self._slept_s = self._facts.slept_s()

    def end(self, grant: Grant, code: str) -> bool:
        """Take one grant away and write that down; False if it was gone already."""
        if self.book is None or not self.book.end(grant):
            return False
        self._resting.pop(grant.grantable, None)
        self.note_ended(grant, code)
        return True

    def resting_on(self, standing_id: str) -> list[Grant]:
        """The grants that were given without a question because of this standing consent."""
        live = self.book.live if self.book else []
        return [grant for grant in live if self._resting.get(grant.grantable) == standing_id]

    def _remember(self, person: "_PersonAtDesk", *, is_yes: bool) -> None:
        if not person.was_asked:
            return
        if is_yes:
            self._facts.patience.said_yes(self._technician_id)
        else:
            self.note_no()

    async def _bind(self) -> bool:
        if self.desk is not None:
            return not self.desk.seat.lost.is_set()
        seat = self._seat
        if seat is None:
            return False
        self._audit.write(AuditKind.SESSION_SEATED, {"uid": seat.uid})  # whose visit it is
        self.desk = await self._stack.enter_async_context(seat.session(self._facts.session_id))
        self.book = GrantBook(
            GrantParties(
                technician_id=self._facts.admitted.peer.subject_id,
                device_id=self._facts.device_id,
                os_session=f"{seat.uid}/{seat.os_session}",
                session_id=self._facts.session_id,
            )
        )
        self._on_desk(self.desk)
        return True

    @property
    def _seat(self) -> DesktopSeat | None:
        return self._desktop.seat_for(self._facts.asker_uid)

    def _give(self, effect: GiveGrants, person: "_PersonAtDesk") -> None:
        assert self.book is not None
        length_s = person.length_s
        if unwelcome := self.unwelcome:
            raise Refused("the person does not want it any more", code=unwelcome)
        if self.is_absent or self.departures != person.departures:
            raise Refused("the person left meanwhile", code=ErrorCode.E_CONSENT_AWAY)
        self._audit.write(
            AuditKind.CONSENT_ALLOWED,
            {"granted": " ".join(sorted(effect.granted))} | person.answer_facts,
            actor=POLICY if self.is_unattended else PERSON,
        )
        for grantable in sorted(effect.granted):
            self._audit.write(
                AuditKind.GRANT_GIVEN, {"grantable": grantable.value, "length_s": round(length_s)}
            )
        now_s = asyncio.get_running_loop().time()
        self.book.mint(effect.granted, until_s=min(now_s + length_s, self._facts.certificate_ends_s))
        self._resting |= dict.fromkeys(effect.granted, "")
        self._resting |= {grantable: each.standing_id for grantable, each in person.standing.items()}
        self._keep_standing(person.stands_for, effect.granted)

    def _keep_standing(self, stands_for: str, granted: frozenset[Grantable]) -> None:
        """The person wants it to hold for the next time too; when that cannot be kept, it does not."""
        if not stands_for or not self._is_verified:
            return
        is_group = stands_for == GROUP
        name = shown_name(self._facts.admitted.peer.name)
        assert self.desk is not None
        uid = self.desk.seat.uid
        whom = (
            Whom(group=self._facts.group, uid=uid)
            if is_group
            else Whom(self._technician_id, name=name, uid=uid)
        )
        until = datetime.now(UTC) + timedelta(seconds=STANDING_LENGTH_LIMIT_S)
        facts = {
            "whom": f"group:{whom.group}" if is_group else whom.technician_id,
            "granted": " ".join(sorted(granted)),
            "until": f"{until:%Y-%m-%d %H:%M} UTC",
        }
        try:
            self._audit.write(AuditKind.STANDING_GIVEN, facts, actor=PERSON)
            self._facts.standing.give(whom, granted, STANDING_LENGTH_LIMIT_S)
        except SupportError as exc:
            log.error("standing.not_kept", code=str(exc.code), detail=exc.detail)

    def _note_refused(self, outcome: Outcome) -> None:
        if outcome.granted:
            return
        codes = set(outcome.refused.values()) - {ErrorCode.E_CONSENT_LATER}  # of that nobody heard
        is_timeout = codes == {ErrorCode.E_CONSENT_TIMEOUT}
        kind = AuditKind.CONSENT_TIMED_OUT if is_timeout else AuditKind.CONSENT_DENIED
        is_persons = codes & {ErrorCode.E_CONSENT_DENIED, ErrorCode.E_READBACK_MISMATCH}
        actor = PERSON if is_persons else AGENT
        self._audit.note(kind, {"codes": " ".join(sorted(codes))}, succeeded=False, actor=actor)

    def indicator(self) -> ipc.ShowIndicator:
        """What the indicator says now: what is granted, and what is about to be."""
        live = self.book.live if self.book else []
        now_s = asyncio.get_running_loop().time()
        coming = self._coming
        return ipc.ShowIndicator(
            session_id=self._facts.session_id,
            technician_name=self._facts.shown_technician,
            organisation_name=self._facts.shown_organisation,
            grantables=in_order({grant.grantable for grant in live} | coming.grantables),
            remaining_s=max((coming.length_s, *(grant.until_s - now_s for grant in live))),
            is_unattended=self.is_unattended,
            is_standing=coming.is_standing or any(self._resting.get(grant.grantable) for grant in live),
        )

    async def show_coming(self, coming: Coming) -> None:
        """Return when the person can see that these are about to be granted. Raises SupportError."""
        assert self.desk is not None
        self._coming = coming
        await self.desk.show_indicator(self.indicator())

    def prompt(self, ask: Ask, shown: ShowPrompt) -> ipc.ShowPrompt:
        """What the person reads; every text of the technician goes through `protocol.names`."""
        assert self.desk is not None
        peer = self._facts.admitted.peer
        return ipc.ShowPrompt(
            prompt_no=self.desk.seat.next_no(),
            session_id=self._facts.session_id,
            organisation_name=self._facts.shown_organisation,
            technician_name=self._facts.shown_technician,
            technician_id=peer.subject_id,
            grantables=in_order(shown.grantables),
            reason=shown_reason(ask.reason),
            ticket_number=shown_text(ask.ticket_number, 40),
            length_s=ask.length_s,
            timeout_s=shown.timeout_s,
            may_stand=self._is_verified,
            readback=self._facts.readback,
        )

    async def refresh_indicator(self) -> None:
        """Tell the desktop process what is granted now; without a grant there is nothing to indicate."""
        if self.desk is None or self.book is None:
            return
        with suppress(Unreachable):
            if self.book.live or self._coming.grantables:
                await self.desk.change_indicator(self.indicator())
            else:
                await self.desk.send(ipc.HideIndicator(session_id=self._facts.session_id))

    def note_ended(self, grant: Grant, code: str) -> None:
        """Write that a grant is over; it is taken away already."""
        self._audit.note(AuditKind.GRANT_ENDED, {"grantable": grant.grantable.value, "code": code})

    async def close(self) -> None:
        """Take the indicator away. Grants are ended before."""
        await self._stack.aclose()


class _PersonAtDesk:
    """Implements `Person` for one ask."""

    def __init__(
        self,
        consent: SessionConsent,
        ask: Ask,
        pending: Callable[[float], Awaitable[None]],
        standing: dict[Grantable, StandingConsent],
    ) -> None:
        self._consent = consent
        self.ask_terms = ask
        self.standing = standing
        self.stands_for = ""
        self.length_s: float = min((ask.length_s, *(each.left_s for each in standing.values())))
        self._pending = pending
        self.failure: ErrorCode | None = None
        self.was_asked = False
        self.departures = consent.departures
        """When this was allowed; leaving afterwards ends it, also before it is given."""
        self.answer_facts: dict[str, str | int] = {}
        if standing:
            self.answer_facts = {"standing": " ".join(sorted(one.standing_id for one in standing.values()))}

    async def ask(self, prompt: ShowPrompt) -> PersonAnswer:
        assert self._consent.desk is not None
        await self._pending(prompt.timeout_s)
        self.was_asked = True
        try:
            answer = await self._consent.desk.seat.ask(self._consent.prompt(self.ask_terms, prompt))
            if answer.code == ErrorCode.E_BUSY:
                raise Refused("the desktop shows another prompt", code=ErrorCode.E_BUSY)
        except SupportError as exc:
            self.failure = exc.code
            self.was_asked = False  # not by the person's doing
            raise
        self.departures = self._consent.departures
        self.answer_facts = {
            "text_sha256": answer.text_sha256,
            "locale": answer.locale,
            "took_ms": round(answer.took_s * 1000),
        }
        if answer.is_matched:
            self._consent.note_matched()
        if answer.code == ErrorCode.E_CONSENT_BLOCKED:
            self._consent.block()
        elif answer.standing in (TECHNICIAN, GROUP):
            self.stands_for = answer.standing
        return PersonAnswer(_known(answer.allowed) & prompt.grantables, answer.code)

    async def show_indicator(self, shown: ShowIndicator) -> None:
        await self._consent.show_coming(Coming(shown.grantables, self.length_s, bool(self.standing)))


def _known(words: list[str]) -> frozenset[Grantable]:
    known = {grantable.value for grantable in Grantable}
    return frozenset(Grantable(word) for word in words if word in known)


def _with_failure(outcome: Outcome, failure: ErrorCode | None) -> Outcome:
    if failure is None:
        return outcome
    busy = {
        grantable: failure if code is ErrorCode.E_CONSENT_NOBODY else code
        for grantable, code in outcome.refused.items()
    }
    return Outcome(outcome.granted, busy)
