"""Watches one schedule from outside and says which promise was broken.

It hears what the person did, what the desktop and the exec worker were made to do, what was written to the
audit log, and which plain bytes went into and came out of tunnels. It asks nothing of the code that decides.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from protocol.audit import AuditEvent, AuditKind
from protocol.errors import ErrorCode
from protocol.grantables import Grantable, in_order
from protocol.limits import SESSION_SILENCE_LIMIT_S

STOP_BOUND_S = 0.25
DESKTOP_LOST_BOUND_S = 2.0
SILENCE_MARGIN_S = 1.5
ROUNDING_S = 0.05
LOCAL_WAY_S = 0.01


class Violation(Exception):
    """A promise was broken; the text begins with its number."""


@dataclass(slots=True)
class _Given:
    until_s: float


@dataclass(slots=True)
class SessionView:
    """What can be seen of one session."""

    session_id: str
    may_be_admitted: bool
    certificate_ends_s: Callable[[], float]
    is_taken: bool = False
    technician_id: str = ""
    ready_ends_s: float | None = None  # when the certificate that was admitted ends
    is_prompted: bool = False
    permitted: set[Grantable] = field(default_factory=set)
    shown: set[Grantable] = field(default_factory=set)
    given: dict[Grantable, _Given] = field(default_factory=dict)
    input_until_s: float = 0.0
    stopped_at_s: float | None = None
    desktop_lost_at_s: float | None = None
    is_over: bool = False


@dataclass(slots=True)
class _Stream:
    sent: bytearray = field(default_factory=bytearray)
    received: int = 0


class Oracle:
    """One for each schedule. Every method may raise `Violation`."""

    def __init__(self, now_s: Callable[[], float], report: Callable[[str], None]) -> None:
        """`report` hears of the first broken promise even when the code under test swallows the exception."""
        self._now_s = now_s
        self._report = report
        self.is_closed = False
        self.is_unattended_possible = False
        self.sessions: dict[str, SessionView] = {}
        self.started: dict[str, int] = defaultdict(int)
        self.recorded_starts: set[str] = set()
        self.refused: set[str] = set()
        self.settled: set[str] = set()
        self.streams: dict[tuple[bytes, bool], _Stream] = defaultdict(_Stream)
        self.actions = 0
        self.prompts = 0
        self.newest_policy = 0

    def broken(self, text: str) -> None:
        """A promise does not hold.

        Raises:
            Violation: always, until the schedule is over.
        """
        if not self.is_closed:
            self._report(text)
            raise Violation(text)

    # -- who may be here ---------------------------------------------------------------------------

    def opened(
        self, session_id: str, *, may_be_admitted: bool, certificate_ends_s: Callable[[], float]
    ) -> None:
        """A relay offers this session to a device; `certificate_ends_s`: the end by that device's clock."""
        self.sessions[session_id] = SessionView(session_id, may_be_admitted, certificate_ends_s)

    def taken(self, session_id: str) -> None:
        """A device opens a session's socket: once, since its indicator and its Stop go by the id."""
        if self.sessions[session_id].is_taken:
            self.broken("P7: a second session with the id of another one")
        self.sessions[session_id].is_taken = True

    def reached(self, session_id: str, wanted: str, real: str) -> None:
        """A technician's program says that it is in a session with the device that was wanted."""
        if wanted != real:
            self.broken(f"P1: {session_id} was taken for a session with another device")

    # -- the person and the desktop -----------------------------------------------------------------

    def prompted(self, session_id: str, *, open_prompts: int) -> None:
        """A prompt is on the screen."""
        self.prompts += 1
        view = self.sessions[session_id]
        view.is_prompted = True
        if not view.may_be_admitted:
            self.broken("P1: somebody without a right certificate made a prompt appear")
        if view.ready_ends_s is None:
            self.broken("P15: a prompt before the session was recorded")
        if open_prompts > 1:
            self.broken("P5: two prompts at once")

    def permitted(self, session_id: str, allowed: set[Grantable]) -> None:
        """The person, or a policy that says unattended, allows these."""
        self.sessions[session_id].permitted |= allowed

    def unattended(self, session_id: str, shown: set[Grantable]) -> None:
        """The service says that the policy needs nobody's answer for these."""
        if not self.is_unattended_possible:
            self.broken("P4: a session counts as unattended where every policy says ask")
        self.sessions[session_id].permitted |= shown

    def indicated(self, session_id: str, shown: set[Grantable]) -> None:
        """The indicator is on the screen with these."""
        self.sessions[session_id].shown = shown

    def stop_pressed(self, session_id: str) -> None:
        """The person pressed Stop."""
        view = self.sessions[session_id]
        view.stopped_at_s = view.stopped_at_s or self._now_s()

    def desktop_lost(self, session_ids: list[str]) -> None:
        """The desktop process that these sessions are bound to is gone."""
        for session_id in session_ids:
            self.sessions[session_id].desktop_lost_at_s = self._now_s()

    # -- the audit log -------------------------------------------------------------------------------

    def recorded(self, event: AuditEvent) -> None:
        """This is on the disk now."""
        if self.is_closed:
            return
        if event.kind in (AuditKind.COMMAND_ENDED, AuditKind.COMMAND_UNKNOWN):
            self._settled(event)
        view = self.sessions.get(event.session_id)
        if view is None:
            return
        match event.kind:
            case AuditKind.SESSION_READY:
                if not view.may_be_admitted:
                    self.broken("P1: a session was opened to somebody without a right certificate")
                if view.is_over:
                    self.broken("P4: a session became ready after its end")
                view.technician_id = event.actor
                view.ready_ends_s = view.certificate_ends_s()
            case AuditKind.GRANT_GIVEN:
                self._given(view, event)
            case AuditKind.GRANT_ENDED:
                self._over(view, Grantable(str(event.facts["grantable"])))
            case AuditKind.INPUT_STARTED:
                view.input_until_s = inf
            case AuditKind.INPUT_ENDED:
                view.input_until_s = self._now_s() + LOCAL_WAY_S
            case AuditKind.COMMAND_STARTED:
                self.recorded_starts.add(str(event.facts["request_id"]))
            case AuditKind.SESSION_REFUSED if event.facts.get("code") == ErrorCode.E_STATE:
                pass  # the id was offered a second time: this is not about the session that has it
            case AuditKind.SESSION_ENDED | AuditKind.SESSION_REFUSED:
                view.is_over = True
                self._over(view, *view.given)

    def _settled(self, event: AuditEvent) -> None:
        request_id = str(event.facts["request_id"])
        self.settled.add(request_id)
        if event.facts.get("outcome") == "not_run" and self.started[request_id]:
            self.broken("P11: a command that ran is recorded as not run")

    def nothing_is_left_open(self) -> None:
        """The agent runs, and no command does: how each one ended is written down, or that nobody knows."""
        lost = {request_id for request_id, count in self.started.items() if count} - self.settled
        if lost:
            self.broken("P11: a command ran, and no record says how it ended or that nobody knows")

    def _over(self, view: SessionView, *grantables: Grantable) -> None:
        """What was ordered before that moment is on its way through the local socket."""
        for grantable in grantables:
            if grantable in view.given:
                until_s = min(view.given[grantable].until_s, self._now_s() + LOCAL_WAY_S)
                view.given[grantable] = _Given(until_s)

    def _given(self, view: SessionView, event: AuditEvent) -> None:
        grantable = Grantable(str(event.facts["grantable"]))
        if grantable not in view.permitted:
            self.broken(f"P4: {grantable} was granted and nobody had allowed it")
        if grantable not in view.shown:
            self.broken(f"P7: {grantable} was granted before the indicator showed it")
        ends_s = self._now_s() + float(event.facts["length_s"])
        if view.ready_ends_s is not None:
            ends_s = min(ends_s, view.ready_ends_s)
        view.given[grantable] = _Given(ends_s + ROUNDING_S)

    def session_ended_with_its_program(self, session_ids: list[str]) -> None:
        """The agent was killed: nothing of these sessions can act any more."""
        for session_id in session_ids:
            view = self.sessions[session_id]
            view.is_over, view.is_taken = True, False
            view.given.clear()

    # -- effects -------------------------------------------------------------------------------------

    def injected(self, session_id: str) -> None:
        """Input reached the person's desktop."""
        view = self._act(session_id, Grantable.INPUT_CONTROL)
        if self._now_s() > view.input_until_s:
            self.broken("P15: input before it was recorded")

    def command_started(self, session_id: str, request_id: str) -> None:
        """A program of a command was started."""
        self._act(session_id, Grantable.COMMANDS_RUN)
        self.started[request_id] += 1
        if self.started[request_id] > 1:
            self.broken("P11: one request was run twice")
        if request_id not in self.recorded_starts:
            self.broken("P15: a command was started before it was recorded")
        if request_id in self.refused:
            self.broken("P11: a command was run that was said to be refused")

    def command_refused(self, request_id: str) -> None:
        """The technician was told that a request is not run; ids that are asked twice tell nothing."""
        self.refused.add(request_id)
        if self.started[request_id]:
            self.broken("P11: a command that ran was said to be refused")

    def _act(self, session_id: str, grantable: Grantable) -> SessionView:
        self.actions += 1
        view, now_s = self.sessions[session_id], self._now_s()
        given = view.given.get(grantable)
        if given is None:
            self.broken(f"P4: {grantable} was used without a grant ({in_order(view.given) or 'none'} live)")
        if now_s > given.until_s:
            self.broken(f"P4: {grantable} was used {now_s - given.until_s:.1f} s after its end")
        if view.stopped_at_s is not None and now_s - view.stopped_at_s > STOP_BOUND_S:
            self.broken(f"P7: {grantable} acted {now_s - view.stopped_at_s:.2f} s after Stop")
        lost_at_s = view.desktop_lost_at_s
        if lost_at_s is not None and now_s - lost_at_s > DESKTOP_LOST_BOUND_S:
            self.broken(f"P5: {grantable} acted {now_s - lost_at_s:.1f} s after the desktop was gone")
        return view

    # -- documents -----------------------------------------------------------------------------------

    def policy_in_force(self, version: int, *, is_genuine: bool) -> None:
        """This policy was put in force."""
        if not is_genuine:
            self.broken("P10: a policy that the organisation did not sign is in force")
        if version < self.newest_policy:
            self.broken(f"P10: policy {version} is in force after {self.newest_policy}")
        self.newest_policy = version

    # -- tunnels -------------------------------------------------------------------------------------

    def sealed(self, tunnel: bytes, content: bytes, *, is_device: bool) -> None:
        """One end puts these bytes into the tunnel with this exporter."""
        self.streams[tunnel, is_device].sent += content

    def unsealed(self, tunnel: bytes, content: bytes, *, is_device: bool) -> None:
        """One end takes these bytes out of it."""
        stream = self.streams[tunnel, not is_device]
        expected = stream.sent[stream.received : stream.received + len(content)]
        if bytes(expected) != content:
            self.broken("P1: bytes came out of a tunnel that the other end did not put in there")
        stream.received += len(content)

    def silence(self, who: str, silent_s: float) -> None:
        """An end is in a session and has heard nothing for so long."""
        if silent_s > SESSION_SILENCE_LIMIT_S + SILENCE_MARGIN_S:
            self.broken(f"P20: the {who}'s end is open after {silent_s:.1f} s of silence")
