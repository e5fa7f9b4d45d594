"""What the service orders, and what the person does: each goes to its part. Runs in the window thread.

Nothing of a session acts unless its indicator is in sight, and nothing at all after Stop.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from agent.desktop.input_gate import InputGate
from agent.desktop.ipc_messages import (
    AllowInput,
    CancelPrompt,
    DisplaysRead,
    EndInput,
    FromDesktop,
    HideIndicator,
    IndicatorShown,
    Inject,
    InputActs,
    InputAllowed,
    InputOrder,
    IpcRefused,
    PromptAnswered,
    ReadDisplays,
    ReleaseInput,
    ScreenEnded,
    ShowCard,
    ShowIndicator,
    ShowPrompt,
    StartScreen,
    StopPressed,
    StopScreen,
    ToDesktop,
)
from protocol.errors import BackendUnavailable, ErrorCode
from protocol.messages.diagnostics import Display

log = structlog.get_logger()

STOPPED_REMEMBERED = 64


class ShownPrompt(Protocol):
    """An open prompt."""

    prompt_no: int

    def cancel(self) -> None:
        """Close it without an answer."""
        ...

    def come_first(self) -> None:
        """Stand before the other windows of ours, one of which has just come up."""
        ...


class ShownBars(Protocol):
    """The indicators of all sessions."""

    @property
    def session_ids(self) -> tuple[str, ...]:
        """The sessions that have one."""
        ...

    def show(self, order: ShowIndicator) -> None:
        """Show it, or change what it says."""
        ...

    def say_keys(self, *, are_ours: bool) -> None:
        """Say in all of them whether the Stop keys work now."""
        ...

    def is_in_sight(self, session_id: str) -> bool:
        """Whether the person can see it at this moment."""
        ...

    def stopping(self, session_id: str) -> None:
        """Show that Stop was pressed."""
        ...

    def hide(self, session_id: str) -> None:
        """Take it away."""
        ...


class Workers(Protocol):
    """The parent of the screen workers."""

    def start(self, order: StartScreen) -> None:
        """Start this session's worker."""
        ...

    def kill(self, session_id: str) -> None:
        """Kill it, if there is one."""
        ...


class StopKeys(Protocol):
    """The keys that stop every session."""

    def grab(self) -> bool:
        """Take them; False when another program has them."""
        ...

    def release(self) -> None:
        """Give them back."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the orders go to. `open_prompt` shows one and calls back once with the answer.

    `later` calls in the window thread, after so many seconds.
    """

    send: Callable[[FromDesktop], None]
    open_prompt: Callable[[ShowPrompt, Callable[[PromptAnswered], None]], ShownPrompt]
    bars: ShownBars
    workers: Workers
    gate: InputGate
    keys: StopKeys
    read_displays: Callable[[], list[Display]]
    leave: Callable[[str], None]
    later: Callable[[float, Callable[[], None]], None]
    show_card: Callable[[ShowCard], None] = lambda _: None


class Orders:
    """Carries orders out. `stop` and `shown` are what the indicators call."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._prompt: ShownPrompt | None = None
        self._stopped: deque[str] = deque(maxlen=STOPPED_REMEMBERED)
        self._told_acts: dict[str, bool] = {}  # who may act, and whether they know that they do

    def carry_out(self, order: ToDesktop) -> None:
        """One order of the service."""
        match order:
            case ShowPrompt():
                self._show_prompt(order)
            case CancelPrompt():
                self._cancel_prompt(order.prompt_no)
            case ShowIndicator():
                self._show_indicator(order)
            case HideIndicator():
                self._hide_indicator(order.session_id)
            case StartScreen() | StopScreen():
                self._screen(order)
            case AllowInput() | Inject() | EndInput() | ReleaseInput():
                self._input(order)
            case ShowCard():
                if not self._parts.bars.session_ids:
                    self._parts.show_card(order)
            case ReadDisplays():
                self._parts.send(self._displays(order))
            case IpcRefused():
                self._parts.leave(order.code)

    def shown(self, session_id: str, show_no: int) -> None:
        """The person can see this session's indicator, as that order wanted it."""
        self._parts.send(IndicatorShown(session_id, show_no))

    def stop(self, session_id: str, *, is_mismatch: bool = False) -> None:
        """The person wants it to end, or cannot see it any more: first end it, then tell the service.

        `is_mismatch`: the four digits did not match.
        """
        if session_id in self._stopped:
            return
        self._stopped.append(session_id)
        self._parts.workers.kill(session_id)
        self._end_input(session_id)
        self._parts.send(StopPressed(session_id=session_id, is_mismatch=is_mismatch))
        self._parts.bars.stopping(session_id)
        log.info("session.stopped_by_person", session_id=session_id)

    def prompt_first(self) -> None:
        """A window of ours has come up: what is open of a prompt stands before it."""
        if self._prompt is not None:
            self._prompt.come_first()

    def stop_all(self) -> None:
        """The keys were pressed: every session ends."""
        for session_id in self._parts.bars.session_ids:
            self.stop(session_id)

    def take_keys(self) -> None:
        """Have the Stop keys while a session lives. Called again now and then: what holds them may let go."""
        if self._parts.bars.session_ids:
            self._parts.bars.say_keys(are_ours=self._parts.keys.grab())

    def _show_prompt(self, order: ShowPrompt) -> None:
        if self._prompt is not None:
            self._parts.send(
                PromptAnswered(
                    prompt_no=order.prompt_no,
                    allowed=[],
                    code=str(ErrorCode.E_BUSY),
                    text_sha256="",
                    took_s=0.0,
                )
            )
            return
        self._parts.gate.suspend()
        self._tell_acts()
        self._prompt = self._parts.open_prompt(order, self._answered)

    def _cancel_prompt(self, prompt_no: int) -> None:
        if self._prompt is not None and self._prompt.prompt_no == prompt_no:
            self._prompt.cancel()
            self._prompt_closed()

    def _answered(self, answer: PromptAnswered) -> None:
        self._prompt_closed()
        self._parts.send(answer)

    def _prompt_closed(self) -> None:
        self._prompt = None
        self._parts.gate.resume()
        self._tell_acts()

    def _show_indicator(self, order: ShowIndicator) -> None:
        if order.session_id in self._stopped:
            return
        self._parts.bars.show(order)
        self.take_keys()

    def _hide_indicator(self, session_id: str) -> None:
        self._parts.workers.kill(session_id)
        self._end_input(session_id)
        self._parts.bars.hide(session_id)
        if not self._parts.bars.session_ids:
            self._parts.keys.release()

    def _screen(self, order: StartScreen | StopScreen) -> None:
        if isinstance(order, StopScreen):
            self._parts.workers.kill(order.session_id)
            return
        code = self._refusal(order.session_id, ErrorCode.E_SCREEN_FAILED)
        if code is None:
            self._parts.workers.start(order)
            return
        detail = "stopped, or no indicator is in sight"
        self._parts.send(ScreenEnded(order.session_id, str(code), detail, order.start_no))

    def _input(self, order: InputOrder) -> None:
        match order:
            case Inject():
                if self._refusal(order.session_id, ErrorCode.E_INPUT_NONE) is None:
                    self._parts.gate.inject(order)
            case AllowInput():
                self._allow_input(order.session_id)
            case EndInput():
                self._end_input(order.session_id)
            case ReleaseInput():
                self._parts.gate.release()

    def _allow_input(self, session_id: str) -> None:
        code = self._refusal(session_id, ErrorCode.E_INPUT_NONE)
        answer = str(code) if code else self._parts.gate.allow(session_id)
        acts = not answer and self._parts.gate.acts_in_s == 0.0
        self._parts.send(InputAllowed(session_id=session_id, code=answer, is_active=acts))
        if not answer:
            self._told_acts[session_id] = acts
            self._tell_acts()

    def _end_input(self, session_id: str) -> None:
        self._told_acts.pop(session_id, None)
        self._parts.gate.end(session_id)

    def _tell_acts(self) -> None:
        """Tell each session that may control whether it does, and again when that changes by itself."""
        in_s = self._parts.gate.acts_in_s
        for session_id, was_told in self._told_acts.items():
            if was_told is not (in_s == 0.0):
                self._told_acts[session_id] = not was_told
                self._parts.send(InputActs(session_id=session_id, is_active=not was_told))
        if in_s and self._told_acts:
            self._parts.later(in_s, self._tell_acts)

    def _refusal(self, session_id: str, otherwise: ErrorCode) -> ErrorCode | None:
        if session_id in self._stopped:
            return ErrorCode.E_SESSION_STOPPED
        return None if self._parts.bars.is_in_sight(session_id) else otherwise

    def _displays(self, order: ReadDisplays) -> DisplaysRead:
        try:
            return DisplaysRead(request_no=order.request_no, displays=self._parts.read_displays(), failure="")
        except BackendUnavailable as exc:
            return DisplaysRead(request_no=order.request_no, displays=[], failure=exc.detail)
