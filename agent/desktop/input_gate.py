"""Whose events act, and when: between the service's orders and the one injector.

Injection runs on its own thread, event by event under a lock. Stop and prompts close the gate first, without
waiting for anything, and then let go of what is held; should the display server keep the injector busy, the
injecting thread lets go as soon as it comes back.

A prompt cannot tell our events from those of a person's on-screen keyboard: the X server gives all XTest
events the same source device. So the two never meet: nothing is injected from before a prompt is armed until
PROMPT_GUARD_S after it is gone, and it is armed only once `is_settled` says that the server has taken the
last injected event. What was injected before went to the windows that were there then. `acts_in_s` says how
long that still lasts, so that nobody is told that they control before they do.

The person comes first: while a device of their own moves the pointer or types, nobody else does
(`person_first`).
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

import structlog

from agent.desktop.ipc_messages import Inject, InputHeldBack
from agent.desktop.person_first import PersonFirst
from agent.platform.input_interface import InputInjector, PersonDid, PersonWatch, TellPerson
from protocol.errors import BackendUnavailable, ErrorCode, Refused
from protocol.limits import PROMPT_GUARD_S
from protocol.messages.input import Event, Key, TypeText

log = structlog.get_logger()

RELEASE_WAIT_S = 0.1
ORDERS_WAITING_LIMIT: Final = 512


@dataclass(frozen=True, slots=True)
class _Batch:
    session_id: str
    epoch: int
    display_index: int
    events: tuple[Event, ...]


class _Release:
    """Queued: let go of everything."""


class _End:
    """Queued: the thread ends."""


class InputGate:
    """Opened by `allow`, closed by `end`, `suspend` (a prompt is open) and `close`. Any thread may call."""

    def __init__(
        self,
        open_injector: Callable[[], InputInjector],
        tell: Callable[[InputHeldBack], None],
        now_s: Callable[[], float] = time.monotonic,
        open_watch: Callable[[TellPerson], PersonWatch] | None = None,
    ) -> None:
        """`tell`, called in the injecting thread: these did not act, as the person is asked or at it.

        `open_watch`: tells what devices of the person's own do, while somebody may inject.
        """
        self._open_injector = open_injector
        self._tell = tell
        self._now_s = now_s
        self._open_watch = open_watch
        self._watch: PersonWatch | None = None
        self._person = PersonFirst()
        self._acts_from_s = 0.0
        self._suspended = self._settled = 0  # how many `suspend` there were, and the newest that is settled
        self._injector: InputInjector | None = None
        self._busy = threading.Lock()  # held while the injector is used
        self._allowed: frozenset[str] = frozenset()
        self._prompts = 0
        self._epoch = 0  # what was queued under an older one never acts
        self._queue: SimpleQueue[_Batch | _Release | _End] = SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing of what was injected before the newest `suspend` can still come."""
        return self._injector is None or self._settled == self._suspended

    @property
    def acts_in_s(self) -> float | None:
        """When events of those who may act do act: 0.0 now, None not before a prompt is gone."""
        return None if self._prompts else max(0.0, self._acts_from_s - self._now_s())

    def allow(self, session_id: str) -> str:
        """Events of this session may act from now on; "" or the code that says why they cannot."""
        try:
            with self._busy:
                if self._injector is None:
                    self._injector = self._open_injector()
            if self._watch is None and self._open_watch is not None:
                self._watch = self._open_watch(self._person_did)
        except BackendUnavailable as exc:
            log.warning("input.unavailable", detail=exc.detail)
            return str(ErrorCode.E_INPUT_NONE)
        if self._thread is None:
            self._queue = SimpleQueue()  # a thread that ends late never takes its successor's orders
            self._thread = threading.Thread(target=self._run, args=[self._queue], name="input", daemon=True)
            self._thread.start()
        self._allowed |= {session_id}
        return ""

    def inject(self, order: Inject) -> None:
        """Queue the events; dropped when they may not act, which is told, or when far too many wait."""
        if not self._may_act(order.session_id, self._epoch):
            self._tell_held_back(order.session_id, len(order.events))
            return
        if self._queue.qsize() >= ORDERS_WAITING_LIMIT:
            log.warning("input.flooded", session_id=order.session_id)
            self.release()
            return
        self._queue.put(_Batch(order.session_id, self._epoch, order.display_index, tuple(order.events)))

    def end(self, session_id: str) -> None:
        """No further events of this session; what is down goes up. The injector closes after the last one."""
        if session_id not in self._allowed:
            return
        self._allowed -= {session_id}
        self.release()
        if not self._allowed:
            self._finish()

    def release(self) -> None:
        """What is queued is dropped and what is down goes up; waits at most `RELEASE_WAIT_S`."""
        self._epoch += 1
        if not self._busy.acquire(timeout=RELEASE_WAIT_S):
            self._queue.put(_Release())
            return
        try:
            self._let_go()
        finally:
            self._busy.release()

    def suspend(self) -> None:
        """A prompt of ours opens: what is down goes up, and nothing acts until `resume`."""
        self._suspended += 1
        self._prompts += 1
        self.release()

    def resume(self) -> None:
        """That prompt is gone; events act again PROMPT_GUARD_S later."""
        self._epoch += 1
        self._acts_from_s = self._now_s() + PROMPT_GUARD_S
        self._prompts -= 1

    def close(self) -> None:
        """End all sessions' input. May be called twice."""
        self._allowed = frozenset()
        self.release()
        self._finish()

    def _person_did(self, kind: PersonDid, dx: float, dy: float) -> None:
        """Called in the watching thread."""
        person, now_s = self._person, self._now_s()
        had_any = person.has_pointer(now_s) or person.has_keys(now_s)
        match kind:
            case PersonDid.MOVED:
                person.moved(dx, dy, now_s)
            case PersonDid.PRESSED:
                person.pressed(now_s)
            case PersonDid.TYPED:
                person.typed(now_s)
        if not had_any and (person.has_pointer(now_s) or person.has_keys(now_s)):
            self._queue.put(_Release())

    def _is_the_persons(self, event: Event) -> bool:
        now_s = self._now_s()
        if isinstance(event, Key | TypeText):
            return self._person.has_keys(now_s)
        return self._person.has_pointer(now_s)

    def _finish(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(_End())
            thread.join(RELEASE_WAIT_S)
        if self._busy.acquire(timeout=RELEASE_WAIT_S):
            try:
                injector, self._injector = self._injector, None
                if injector is not None:
                    injector.close()
            finally:
                self._busy.release()

    def _may_act(self, session_id: str, epoch: int) -> bool:
        is_open = session_id in self._allowed and not self._prompts and epoch == self._epoch
        return is_open and self._now_s() >= self._acts_from_s

    def _tell_held_back(self, session_id: str, events: int) -> None:
        """So many did not act; not told of who may not act at all, nor of what a release dropped."""
        if session_id in self._allowed and self.acts_in_s != 0.0:
            self._tell(InputHeldBack(session_id=session_id, events=events))

    def _run(self, queue: "SimpleQueue[_Batch | _Release | _End]") -> None:
        while True:
            match queue.get():
                case _Batch() as batch:
                    self._play(batch)
                case _Release():
                    with self._busy:
                        self._let_go()
                case _End():
                    return

    def _let_go(self) -> None:
        """Called with `_busy` held: who injects holds it too, and has asked before whether it may."""
        if self._injector is None:
            return
        suspended = self._suspended
        self._injector.release_all()
        if self._settled == suspended:
            return
        try:
            self._injector.settle()
            self._settled = suspended
        except BackendUnavailable as exc:
            log.warning("input.lost", detail=exc.detail)
            self._allowed = frozenset()

    def _play(self, batch: _Batch) -> None:
        for done, event, ahead in _small_steps(batch.events):
            if not self._make_ready(batch, ahead):
                return
            with self._busy:
                if self._injector is None or not self._may_act(batch.session_id, batch.epoch):
                    self._tell_held_back(batch.session_id, len(batch.events) - done)
                    return
                try:
                    if self._is_the_persons(event):
                        raise Refused("the person is at it", code=ErrorCode.E_INPUT_PAUSED)
                    self._injector.inject(event, batch.display_index)
                except Refused:
                    self._injector.release_all()
                    self._tell(InputHeldBack(session_id=batch.session_id, events=len(batch.events) - done))
                    return
                except BackendUnavailable as exc:
                    log.warning("input.lost", detail=exc.detail)
                    self._allowed = frozenset()
                    return

    def _make_ready(self, batch: _Batch, ahead: Event) -> bool:
        """Whether it may still act once the desktop is ready. Nobody waits for us meanwhile."""
        while True:
            with self._busy:
                if self._injector is None or not self._may_act(batch.session_id, batch.epoch):
                    return False
                try:
                    wait_s = self._injector.make_ready(ahead)
                except BackendUnavailable as exc:
                    log.warning("input.lost", detail=exc.detail)
                    self._allowed = frozenset()
                    return False
            if not wait_s:
                return True
            time.sleep(wait_s)


def _small_steps(events: tuple[Event, ...]) -> Iterator[tuple[int, Event, Event]]:
    """Each step with how many events are done by then, and with what follows of the same text.

    Text is played character by character, so that Stop never waits for a long one.
    """
    for done, event in enumerate(events):
        if isinstance(event, TypeText):
            for at, character in enumerate(event.text):
                yield done, TypeText(character), TypeText(event.text[at:])
        else:
            yield done, event, event
