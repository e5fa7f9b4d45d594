"""One session's asks and grants: who is asked through which desktop, what was given, and its end."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from agent.admission import Admitted
from agent.ask_patience import AskPatience
from agent.consent_runner import ConsentRunner, Outcome, PersonAnswer
from agent.desktop import ipc_messages as ipc
from agent.desktop_link import DesktopLink, SessionDesk
from agent.session_audit import SessionAudit
from protocol.audit import AuditKind
from protocol.consent import ConsentMachine, GiveGrants, ShowIndicator, ShowPrompt
from protocol.errors import ErrorCode, NotGranted, Refused, SupportError, Unreachable
from protocol.grantables import Grantable, in_order
from protocol.grants import Grant, GrantBook, GrantParties
from protocol.ids import DeviceId, SessionId
from protocol.limits import ASK_LIMIT_PER_SESSION
from protocol.messages.consent import Ask
from protocol.names import shown_name, shown_reason, shown_text
from protocol.policy import Consent

PERSON, POLICY, AGENT = "person", "policy", "agent"


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What stays the same for the whole session; `admitted` is how the technician stood at its start."""

    device_id: DeviceId
    session_id: SessionId
    organisation_name: str
    admitted: Admitted
    admit_again: Callable[[], Admitted]
    certificate_ends_s: float  # on the loop's clock
    patience: AskPatience


class SessionConsent:
    """Asks the person, holds the grants, keeps the indicator true."""

    def __init__(
        self,
        facts: SessionFacts,
        desktop: DesktopLink,
        audit: SessionAudit,
        *,
        on_desk: Callable[[SessionDesk], None],
    ) -> None:
        """`on_desk` hears once which desktop process this session is bound to."""
        self._facts = facts
        self._admitted = facts.admitted
        self._desktop = desktop
        self._audit = audit
        self._on_desk = on_desk
        self._stack = AsyncExitStack()
        self._asks = 0
        self._is_asking = False
        self.desk: SessionDesk | None = None
        self.book: GrantBook | None = None

    @property
    def is_unattended(self) -> bool:
        """Whether policy let the newest ask go without an answer."""
        return self._admitted.rules.consent is Consent.UNATTENDED

    def require(self, grantable: Grantable) -> Grant:
        """The live grant.

        Raises:
            NotGranted: there is none, or its time is over.
        """
        if self.book is None:
            raise NotGranted(grantable.value)
        return self.book.require(grantable, asyncio.get_running_loop().time())

    async def ask(self, ask: Ask, pending: Callable[[float], Awaitable[None]]) -> Outcome:
        """Carry one ask through. `pending` hears the time limit when the person is being asked."""
        asked = _known(ask.grantables)
        refusal = self._refusal() or self._judge_again()
        if refusal is None:
            self._is_asking = True
            try:
                outcome = await self._run(ask, asked, pending)
            finally:
                self._is_asking = False
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
        if self._is_asking:
            return ErrorCode.E_BUSY
        may_ask = self._facts.patience.may_ask(self._technician_id, asyncio.get_running_loop().time())
        return None if may_ask else ErrorCode.E_RATE

    def _judge_again(self) -> ErrorCode | None:
        """A policy that came since the session began, and the certificate's end, hold for this ask."""
        try:
            self._admitted = self._facts.admit_again()
        except SupportError as exc:
            return exc.code
        return None

    @property
    def _technician_id(self) -> str:
        return self._facts.admitted.peer.subject_id

    def note_no(self) -> None:
        """The person refused, did not answer, or pressed Stop."""
        self._facts.patience.said_no(self._technician_id, asyncio.get_running_loop().time())

    async def _run(
        self, ask: Ask, asked: frozenset[Grantable], pending: Callable[[float], Awaitable[None]]
    ) -> Outcome:
        machine = ConsentMachine(asked, self._admitted.offers)
        try:
            self._audit.write(
                AuditKind.CONSENT_ASKED, {"asked": " ".join(sorted(asked)), "ask_no": ask.ask_no}
            )
        except SupportError as exc:
            return Outcome(frozenset(), dict.fromkeys(asked, exc.code))
        is_there = await self._bind()
        person = _PersonAtDesk(self, ask, pending)
        runner = ConsentRunner(machine, person, lambda effect: self._give(effect, person))
        try:
            outcome = await runner.run(self._admitted.rules.consent, is_anybody_there=is_there)
        except asyncio.CancelledError:
            self._audit.note(AuditKind.CONSENT_DENIED, {"codes": "withdrawn"}, succeeded=False)
            self._remember(person, is_yes=False)
            raise
        self._remember(person, is_yes=bool(outcome.granted))
        outcome = _with_failure(outcome, person.failure)
        self._note_refused(outcome)
        return outcome

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
        seat = self._desktop.seat
        if seat is None:
            return False
        self.desk = await self._stack.enter_async_context(seat.session(self._facts.session_id))
        self.book = GrantBook(
            GrantParties(
                technician_id=self._facts.admitted.peer.subject_id,
                device_id=self._facts.device_id,
                os_session=seat.os_session,
                session_id=self._facts.session_id,
            )
        )
        self._on_desk(self.desk)
        return True

    def _give(self, effect: GiveGrants, person: "_PersonAtDesk") -> None:
        assert self.book is not None
        length_s = person.ask_terms.length_s
        self._audit.write(
            AuditKind.CONSENT_ALLOWED,
            {"granted": " ".join(sorted(effect.granted))} | person.answer_facts,
            actor=POLICY if self.is_unattended else PERSON,
        )
        for grantable in sorted(effect.granted):
            self._audit.write(AuditKind.GRANT_GIVEN, {"grantable": grantable.value, "length_s": length_s})
        now_s = asyncio.get_running_loop().time()
        self.book.mint(effect.granted, until_s=min(now_s + length_s, self._facts.certificate_ends_s))

    def _note_refused(self, outcome: Outcome) -> None:
        if outcome.granted:
            return
        codes = set(outcome.refused.values())
        is_timeout = codes == {ErrorCode.E_CONSENT_TIMEOUT}
        kind = AuditKind.CONSENT_TIMED_OUT if is_timeout else AuditKind.CONSENT_DENIED
        actor = PERSON if ErrorCode.E_CONSENT_DENIED in codes else AGENT
        self._audit.note(kind, {"codes": " ".join(sorted(codes))}, succeeded=False, actor=actor)

    def indicator(
        self, extra: frozenset[Grantable] = frozenset(), length_s: float = 0.0
    ) -> ipc.ShowIndicator:
        """What the indicator says now, with what is about to be granted for so long."""
        live = self.book.live if self.book else []
        now_s = asyncio.get_running_loop().time()
        return ipc.ShowIndicator(
            session_id=self._facts.session_id,
            technician_name=shown_name(self._facts.admitted.peer.name),
            organisation_name=shown_name(self._facts.organisation_name),
            grantables=in_order({grant.grantable for grant in live} | set(extra)),
            remaining_s=max((length_s, *(grant.until_s - now_s for grant in live))),
            is_unattended=self.is_unattended,
        )

    def prompt(self, ask: Ask, shown: ShowPrompt) -> ipc.ShowPrompt:
        """What the person reads; every text of the technician goes through `protocol.names`."""
        assert self.desk is not None
        peer = self._facts.admitted.peer
        return ipc.ShowPrompt(
            prompt_no=self.desk.seat.next_no(),
            session_id=self._facts.session_id,
            organisation_name=shown_name(self._facts.organisation_name),
            technician_name=shown_name(peer.name),
            technician_id=peer.subject_id,
            grantables=in_order(shown.grantables),
            reason=shown_reason(ask.reason),
            ticket_number=shown_text(ask.ticket_number, 40),
            length_s=ask.length_s,
            timeout_s=shown.timeout_s,
        )

    async def refresh_indicator(self) -> None:
        """Tell the desktop process what is granted now; without a grant there is nothing to indicate."""
        if self.desk is None or self.book is None:
            return
        with suppress(Unreachable):
            if self.book.live:
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
        self, consent: SessionConsent, ask: Ask, pending: Callable[[float], Awaitable[None]]
    ) -> None:
        self._consent = consent
        self.ask_terms = ask
        self._pending = pending
        self.failure: ErrorCode | None = None
        self.was_asked = False
        self.answer_facts: dict[str, str | int] = {}

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
        self.answer_facts = {"text_sha256": answer.text_sha256, "took_ms": round(answer.took_s * 1000)}
        return PersonAnswer(_known(answer.allowed) & prompt.grantables, answer.code)

    async def show_indicator(self, shown: ShowIndicator) -> None:
        assert self._consent.desk is not None
        shown_now = self._consent.indicator(shown.grantables, self.ask_terms.length_s)
        await self._consent.desk.show_indicator(shown_now)


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
