"""The person and the desktop process of one device, over a local connection in memory."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from random import Random

from agent.desktop import ipc_messages as ipc
from agent.desktop_link import DesktopLink
from agent.local_peer import LocalPeer
from protocol.errors import ErrorCode, PeerViolation, Unreachable
from protocol.grantables import Grantable
from protocol.version import PROTOCOL_VERSION
from tests.simulate.loop import PROGRAM, VirtualLoop
from tests.simulate.oracle import Oracle
from tests.support.desktop import DISPLAY

IPC_S = 0.001
SHOWING_S = 0.05


class LocalEnd:
    """One end of a `LocalConnection` in memory: whole frames in order, a millisecond on their way."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.peer = LocalPeer(os.geteuid(), os.getpid())
        self._arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._coming: deque[bytes | None] = deque()
        self.other: LocalEnd | None = None
        self._is_closed = False

    async def receive(self, limit_bytes: int) -> bytes:
        """See `LocalConnection.receive`."""
        frame = None if self._is_closed and self._arrived.empty() else await self._arrived.get()
        if frame is None:
            self._is_closed = True
            raise Unreachable("local connection closed", code=ErrorCode.E_LINK_LOST)
        if len(frame) > limit_bytes:
            raise PeerViolation("too long", code=ErrorCode.E_MESSAGE_SIZE)
        return frame

    async def send(self, payload: bytes, timeout_s: float | None = None) -> None:
        """See `LocalConnection.send`."""
        if self._is_closed:
            raise Unreachable("local connection closed", code=ErrorCode.E_LINK_LOST)
        self.push(payload)

    def close(self) -> None:
        """See `LocalConnection.close`."""
        if not self._is_closed:
            self._is_closed = True
            self._arrived.put_nowait(None)
            self.push(None)

    async def finish(self) -> None:
        """See `LocalConnection.finish`."""
        self.close()

    def push(self, payload: bytes | None) -> None:
        """Send without waiting; None closes."""
        assert self.other is not None
        self.other._coming.append(payload)
        # in no program's context: what was sent arrives, though its sender is killed meanwhile
        self._loop.call_later(IPC_S, self.other._take_next, context=Context())

    def _take_next(self) -> None:
        # timers of one moment have no order of their own (heapq); what is on its way has
        self._arrived.put_nowait(self._coming.popleft())


def local_pair(loop: VirtualLoop) -> tuple[LocalEnd, LocalEnd]:
    """Two connected ends."""
    one, two = LocalEnd(loop), LocalEnd(loop)
    one.other, two.other = two, one
    return one, two


class Person:
    """What the person does with prompts, drawn from a seed."""

    def __init__(self, chance: Random, *, answers_always: bool) -> None:
        """`answers_always`: yes or no, and within 20 s."""
        self._chance = chance
        self._answers_always = answers_always
        self.is_willing = False

    def answer(self, prompt: ipc.ShowPrompt) -> tuple[float, ipc.PromptAnswered | None]:
        """After how long, and what; None is an answer that never comes."""
        after_s = self._chance.uniform(1.5, 20.0)
        draw = 0.0 if self.is_willing else self._chance.random()
        if draw < 0.6:
            return after_s, _answered(prompt, prompt.grantables)
        if draw < 0.75:
            some = [word for word in prompt.grantables if self._chance.random() < 0.5]
            return after_s, _answered(prompt, some)
        if draw < 0.92 or self._answers_always:
            return after_s, _answered(prompt, [], ErrorCode.E_CONSENT_DENIED)
        if draw < 0.97:
            return prompt.timeout_s, _answered(prompt, [], ErrorCode.E_CONSENT_TIMEOUT)
        return after_s, None

    def stops_after_s(self) -> float | None:
        """When the person presses Stop after a session was allowed, if at all."""
        return (
            self._chance.uniform(0.0, 40.0) if not self.is_willing and self._chance.random() < 0.25 else None
        )

    def sees_indicator(self) -> bool:
        """Whether the indicator can be shown."""
        return self.is_willing or self._chance.random() < 0.96


class SimulatedDesktop:
    """One desktop process, from its start to its death."""

    def __init__(self, loop: VirtualLoop, oracle: Oracle, person: Person, program: str) -> None:
        self._loop = loop
        self._oracle = oracle
        self._person = person
        self.program = program
        self._prompts: dict[int, ipc.ShowPrompt] = {}
        self._length_s: dict[str, float] = {}
        self._indicated: dict[str, list[str]] = {}
        self._input_of: set[str] = set()
        self._sessions: set[str] = set()
        self._shows_at_s = 0.0
        self._end: LocalEnd | None = None
        self.is_dead = False

    def attach(self, link: DesktopLink, agent_program: str) -> None:
        """Connect to the service."""
        mine, theirs = local_pair(self._loop)
        self._end = mine
        hello = ipc.DesktopHello(
            version=PROTOCOL_VERSION, os_session=self.program, user="person", pid=len(self.program)
        )
        self._loop.start(agent_program, _serve(link, hello, theirs))
        self._loop.start(self.program, self._listen(mine))

    def die(self) -> None:
        """SIGKILL."""
        if not self.is_dead:
            self.is_dead = True
            self._loop.kill(self.program)
            self._oracle.desktop_lost(sorted(self._sessions))
            if self._end is not None:
                self._end.close()

    @property
    def has_input_left_on(self) -> bool:
        """Whether some session's events would still act."""
        return bool(self._input_of)

    async def _listen(self, end: LocalEnd) -> None:
        with suppress(Unreachable):
            while True:
                self._obey(ipc.TO_DESKTOP_CODEC.decode(await end.receive(ipc.TO_DESKTOP_CODEC.limit_bytes)))
        self._input_of.clear()

    def _obey(self, order: ipc.ToDesktop) -> None:
        match order:
            case ipc.ShowPrompt():
                self._prompts[order.prompt_no] = order
                self._sessions.add(order.session_id)
                self._oracle.prompted(order.session_id, open_prompts=len(self._prompts))
                after_s, answer = self._person.answer(order)
                if answer is not None:
                    self._later(after_s, lambda: self._answer(order, answer))
            case ipc.CancelPrompt(prompt_no):
                self._prompts.pop(prompt_no, None)
            case ipc.ShowIndicator():
                self._sessions.add(order.session_id)
                if order.is_unattended:
                    self._oracle.unattended(order.session_id, _grantables(order.grantables))
                if self._person.sees_indicator():
                    # one after the other, as they came: two timers of one moment go off in any order
                    self._shows_at_s = max(self._loop.time() + SHOWING_S, self._shows_at_s + 1e-6)
                    self._later(self._shows_at_s - self._loop.time(), lambda: self._indicate(order))
            case ipc.HideIndicator(session_id):
                self._indicated.pop(session_id, None)
                self._oracle.indicated(session_id, set())
            case ipc.AllowInput(session_id):
                self._input_of.add(session_id)
                self._say(ipc.InputAllowed(session_id=session_id, code=""))
            case ipc.EndInput(session_id):
                self._input_of.discard(session_id)
            case ipc.Inject(session_id) if session_id in self._input_of and not self._prompts:
                self._oracle.injected(session_id)
            case ipc.ReadDisplays(request_no):
                self._say(ipc.DisplaysRead(request_no, [DISPLAY], ""))

    def _answer(self, prompt: ipc.ShowPrompt, answer: ipc.PromptAnswered) -> None:
        if self._prompts.pop(prompt.prompt_no, None) is None:
            return
        self._oracle.permitted(prompt.session_id, {Grantable(word) for word in answer.allowed})
        self._say(answer)
        stop_s = self._person.stops_after_s() if answer.allowed else None
        if stop_s is not None:
            self._later(stop_s, lambda: self._stop(prompt.session_id))

    def _indicate(self, order: ipc.ShowIndicator) -> None:
        self._indicated[order.session_id] = order.grantables
        self._oracle.indicated(order.session_id, _grantables(order.grantables))
        self._say(ipc.IndicatorShown(session_id=order.session_id, show_no=order.show_no))

    def _stop(self, session_id: str) -> None:
        if session_id in self._indicated:
            self._oracle.stop_pressed(session_id)
            self._say(ipc.StopPressed(session_id=session_id))

    def _say(self, message: ipc.FromDesktop) -> None:
        if self._end is not None and not self.is_dead:
            self._end.push(ipc.FROM_DESKTOP_CODEC.encode(message))

    def _later(self, after_s: float, act: Callable[[], None]) -> None:
        context = copy_context()
        context.run(PROGRAM.set, self.program)
        self._loop.call_later(after_s, act, context=context)


async def _serve(link: DesktopLink, hello: ipc.DesktopHello, connection: LocalEnd) -> None:
    with suppress(Unreachable, PeerViolation):
        await link.handle(hello, connection)  # the shape of a LocalConnection


def _grantables(words: list[str]) -> set[Grantable]:
    return {Grantable(word) for word in words}


def _answered(prompt: ipc.ShowPrompt, allowed: list[str], code: str = "") -> ipc.PromptAnswered:
    return ipc.PromptAnswered(prompt.prompt_no, allowed, code, "0" * 64, 2.0)
