"""Input into an X11 desktop that never answers the system's own prompts."""

from agent.platform.input_interface import InputInjector
from agent.platform.system_prompts import SystemPrompts
from agent.platform.x11.input import XTestInjector
from agent.platform.x11.window_watch import open_x11_window_watch
from protocol.errors import BackendUnavailable, ErrorCode, Refused
from protocol.messages.input import Event


def open_guarded_injector(display: str) -> InputInjector:
    """The injector of this display.

    Raises:
        BackendUnavailable: E_INPUT_NONE, events cannot be played there, or its windows cannot be told apart.
    """
    injector = XTestInjector(display)
    try:
        return GuardedInjector(injector, SystemPrompts(open_x11_window_watch(display)))
    except BackendUnavailable as exc:
        injector.close()
        raise BackendUnavailable(exc.detail, code=ErrorCode.E_INPUT_NONE) from None


class GuardedInjector:
    """An `InputInjector` around another; it owns both of its parts."""

    def __init__(self, injector: InputInjector, prompts: SystemPrompts) -> None:
        self._injector, self._prompts = injector, prompts

    def make_ready(self, event: Event) -> float:
        """See `InputInjector.make_ready`."""
        return self._injector.make_ready(event)

    def inject(self, event: Event, display_index: int) -> None:
        """See `InputInjector.inject`.

        Raises:
            Refused: E_INPUT_PAUSED, the system asks for a password; nothing was played.
            BackendUnavailable: E_INPUT_NONE, the desktop is gone.
        """
        try:
            is_asking = self._prompts.is_one_up()
        except BackendUnavailable as exc:
            raise BackendUnavailable(exc.detail, code=ErrorCode.E_INPUT_NONE) from None
        if is_asking:
            raise Refused("the system asks for a password", code=ErrorCode.E_INPUT_PAUSED)
        self._injector.inject(event, display_index)

    def release_all(self) -> None:
        """See `InputInjector.release_all`."""
        self._injector.release_all()

    def settle(self) -> None:
        """See `InputInjector.settle`."""
        self._injector.settle()

    def close(self) -> None:
        """See `InputInjector.close`."""
        self._injector.close()
        self._prompts.close()
