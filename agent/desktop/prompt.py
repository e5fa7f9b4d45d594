"""The prompt: one window that asks the person, and gives back one answer."""

import math
import time
import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.desktop.ipc_messages import PromptAnswered, ShowPrompt
from agent.desktop.looks import Looks
from agent.desktop.place import place_at_pointer, place_below
from agent.desktop.prompt_rules import VERIFIED, Answer, ArmingTerms, PromptRules
from agent.desktop.prompt_text import GROUP, TECHNICIAN, clock, prompt_text
from agent.desktop.prompt_view import ARMED_IN, NO_ANSWER, PromptView, allow_in
from agent.desktop.verify_step import VerifyStep
from agent.desktop.x11_windows import WindowProperties, name_parts
from protocol.limits import VISITOR_ARMING_S

TICK_MS = 100
MATCH_ARMED_IN = "“They match” can be pressed in {seconds} s."


@dataclass(frozen=True, slots=True)
class PromptTools:
    """What a prompt needs from the desktop around it. `bars_height`: what it must not stand under."""

    looks: Looks
    properties: WindowProperties
    has_hot_key: bool
    is_input_settled: Callable[[], bool]
    bars_height: Callable[[], int] = lambda: 0


class Prompt:
    """Shows an order at once; calls `on_answer` exactly once, unless `cancel` comes before."""

    def __init__(
        self, tools: PromptTools, order: ShowPrompt, on_answer: Callable[[PromptAnswered], None]
    ) -> None:
        self.prompt_no = order.prompt_no
        self._tools = tools
        monitor = place_at_pointer(tools.looks.root, tools.properties)
        self._looks = tools.looks.on((monitor.width, monitor.height))
        self._on_answer = on_answer
        self._text = prompt_text(order, has_hot_key=tools.has_hot_key, language=tools.looks.language)
        self._rules = PromptRules(
            (name for name, _ in self._text.asked),
            ordered_s=time.monotonic(),
            timeout_s=order.timeout_s,
            terms=self._terms(),
        )
        self._place = place_below(tools.looks.root, tools.properties, tools.bars_height())
        self._view = PromptView(self._looks, self._text, self._place)
        self._window = self._view.window
        self._ticking = ""
        self._is_visible = False
        self._bind()
        self._show()

    def _terms(self) -> ArmingTerms:
        if self._text.is_verified:
            return VERIFIED
        return ArmingTerms(VISITOR_ARMING_S, self._text.word, must_compare=self._text.verify is not None)

    def cancel(self) -> None:
        """Close without an answer; the question is moot."""
        if self._ticking:
            self._window.after_cancel(self._ticking)
            self._ticking = ""
        self._rules.refuse(time.monotonic())
        if self._window.winfo_exists():
            self._window.destroy()

    def come_first(self) -> None:
        """See `ShownPrompt`: where a window manager keeps it above the others, nothing changes."""
        self._window.update_idletasks()  # Tk makes a new window when it is idle, above all others
        self._window.lift()

    def _bind(self) -> None:
        view = self._view
        view.refuse.configure(command=self._on_refuse)
        view.allow.configure(command=self._on_allow)
        view.more.configure(command=self._on_more_time)
        view.block.configure(command=self._on_block)
        parts: dict[str, tk.Widget] = {
            "more_time": view.more,
            "block": view.block,
            "refuse": view.refuse,
            "allow": view.allow,
        }
        for grantable, line in view.asked.items():
            parts[f"asked:{grantable}"] = line
        for whom, box in view.standing.items():
            box.configure(command=self._on_standing)
            parts[f"standing:{whom}"] = box
        if view.verify is not None:
            view.verify.configure(command=self.verify)
            parts["verify"] = view.verify
        if view.word is not None:
            self._bind_word(view.word)
            parts["word"] = view.word
        for widget in parts.values():
            if widget is not view.word and not isinstance(widget, tk.Label):
                self._guard(widget)
        name_parts(self._tools.properties, parts)

    def _bind_word(self, field: tk.Entry) -> None:
        """What another program makes up types nothing here, and Return is no answer."""

        def refuse_made_up(event: Any) -> str | None:
            return "break" if event.send_event else None

        for pattern in ("<Key>", "<KeyRelease>", "<ButtonPress>", "<ButtonRelease>"):
            field.bind(pattern, refuse_made_up)
        for pattern in ("<<Paste>>", "<<PasteSelection>>"):
            field.bind(pattern, lambda _: "break")
        typed = tk.StringVar(field)

        def take(*_: Any) -> None:
            self._rules.typed(typed.get())
            self._view.allow.enable(is_enabled=self._rules.may_allow(time.monotonic()))

        typed.trace_add("write", take)
        field.configure(textvariable=typed)
        self._typed = typed  # Tk keeps no reference of its own

    def _show(self) -> None:
        window = self._window
        window.resizable(width=False, height=False)
        window.protocol("WM_DELETE_WINDOW", self._on_refuse)
        window.bind("<Escape>", self._on_escape)
        window.bind("<Visibility>", self._on_visible)
        window.bind("<Destroy>", self._on_destroyed)
        window.attributes("-topmost", True)
        window.attributes("-type", "dialog")
        window.update_idletasks()
        width, height = window.winfo_reqwidth(), window.winfo_reqheight()
        place = self._place
        left = place.x + max(0, (place.width - width) // 2)
        top = place.y + (place.height - height) // 2
        if height > place.height:  # rather under a bar than with its buttons below the display
            top = place.y + place.height - height
        window.geometry(f"+{left}+{top}")
        wrapper = self._tools.properties.parent_of(window.winfo_id())
        if wrapper and wrapper != self._tools.properties.parent_of(wrapper):
            self._tools.properties.leave_focus(wrapper)
        self._view.refuse.focus_set()
        window.deiconify()
        window.lift()
        self._tick()

    def _tick(self) -> None:
        now_s = time.monotonic()
        answer = self._rules.tick(now_s)
        if answer:
            self._give(answer)
            return
        if self._is_visible and self._tools.is_input_settled():
            self._rules.shown(now_s)
        if self._view.step is not None:
            self._tick_step(self._view.step, now_s)
        else:
            self._tick_prompt(now_s)
        self._ticking = self._window.after(TICK_MS, self._tick)

    def _tick_step(self, step: VerifyStep, now_s: float) -> None:
        left_s = self._rules.matching_left_s(now_s)
        step.matched.enable(is_enabled=not left_s)
        say = self._looks.language.say
        lines = [say(NO_ANSWER, time=clock(self._rules.left_s(now_s)))]
        if left_s:
            lines.append(say(MATCH_ARMED_IN, seconds=str(math.ceil(left_s))))
        step.waiting.configure(text="\n".join(lines))

    def _tick_prompt(self, now_s: float) -> None:
        arming_s = self._rules.arming_left_s(now_s)
        self._view.allow.enable(is_enabled=self._rules.may_allow(now_s))
        seconds = math.ceil(arming_s)
        self._view.allow.configure(text=allow_in(self._looks, seconds) if arming_s else self._text.allow)
        say = self._looks.language.say
        left = say(NO_ANSWER, time=clock(self._rules.left_s(now_s)))
        if arming_s:
            announced = say(ARMED_IN, seconds=str(seconds))
        elif self._rules.is_comparing_missing:
            announced = say("The digits are not compared yet.")
        elif self._rules.is_word_missing:
            announced = say("The word is not typed yet.")
        else:
            announced = ""
        self._view.waiting.configure(text=f"{left}\n{announced}" if announced else left)

    def _on_visible(self, event: Any) -> None:
        if event.widget is not self._window or event.state == "VisibilityFullyObscured":
            return
        # shown counts from when no injected event can come any more: the next tick looks
        self._is_visible = True

    def verify(self) -> None:
        """Open the step in which the person compares four digits."""
        self._rules.compare(time.monotonic())
        step = self._view.open_step()
        step.back.configure(command=self._on_back)
        step.mismatched.configure(command=self._on_mismatched)
        step.matched.configure(command=self._on_matched)
        buttons: dict[str, tk.Widget] = {
            "back": step.back,
            "mismatched": step.mismatched,
            "matched": step.matched,
        }
        for button in buttons.values():
            self._guard(button)
        name_parts(self._tools.properties, {**buttons, "digits": step.digits})

    def _on_back(self) -> None:
        self._rules.stop_comparing()
        self._view.close_step(is_matched=False)

    def _on_matched(self) -> None:
        if self._rules.match(time.monotonic()):
            self._view.close_step(is_matched=True)

    def _on_mismatched(self) -> None:
        answer = self._rules.mismatch(time.monotonic())
        if answer:
            self._give(answer)

    def _on_standing(self) -> None:
        # everyone is more than this one
        ticked = [whom for whom in (GROUP, TECHNICIAN) if self._view.standing[whom].is_on]
        self._rules.standing = ticked[0] if ticked else ""

    def _on_block(self) -> None:
        answer = self._rules.block(time.monotonic())
        if answer:
            self._give(answer)

    def _on_more_time(self) -> None:
        self._rules.more_time(time.monotonic())
        if not self._rules.extensions_left:
            self._view.more.configure(state="disabled", disabledforeground=self._looks.colours.muted)

    def _on_allow(self) -> None:
        answer = self._rules.allow(time.monotonic())
        if answer:
            self._give(answer)

    def _on_refuse(self) -> None:
        answer = self._rules.refuse(time.monotonic())
        if answer:
            self._give(answer)

    def _on_escape(self, event: Any) -> None:
        if not event.send_event:
            self._on_refuse()

    def _on_destroyed(self, event: Any) -> None:
        if event.widget is self._window:
            self._ticking = ""
            self._on_refuse()

    def _give(self, answer: Answer) -> None:
        self.cancel()
        self._on_answer(
            PromptAnswered(
                prompt_no=self.prompt_no,
                allowed=list(answer.allowed),
                code=answer.code,
                text_sha256=self._text.sha256(),
                took_s=answer.took_s,
                locale=self._text.locale,
                standing=answer.standing,
                is_matched=answer.is_matched,
            )
        )

    def _guard(self, widget: tk.Widget) -> None:
        """Events that another program made up do nothing; keys do nothing while the person is typing."""

        def refuse_made_up(event: Any) -> str | None:
            return "break" if event.send_event else None

        def refuse_typing(event: Any) -> str | None:
            if event.send_event or not self._rules.key_counts(time.monotonic()):
                return "break"
            if event.keysym in ("Return", "KP_Enter"):
                event.widget.invoke()
                return "break"
            return None

        for pattern in ("<ButtonPress>", "<ButtonRelease>", "<KeyRelease>"):
            widget.bind(pattern, refuse_made_up)
        for pattern in ("<Key-Return>", "<Key-KP_Enter>", "<Key-space>"):
            widget.bind(pattern, refuse_typing)
        widget.bind("<Key>", self._note_typing)

    def _note_typing(self, event: Any) -> str | None:
        if event.send_event:
            return "break"
        if event.char and event.char.isprintable():
            self._rules.key_counts(time.monotonic())
        return None
