"""An input injector that plays nothing and remembers everything, with the same rules as a real one."""

from dataclasses import dataclass, field

from protocol.errors import BackendUnavailable, ErrorCode
from protocol.limits import ALL_DISPLAYS_INDEX
from protocol.messages.input import Event, Key, PointerButton, PointerMove


@dataclass
class RecordingInjector:
    """`played` is what reached the desktop, in order; `displays` are the sizes that it has, side by side."""

    displays: list[tuple[int, int]] = field(default_factory=lambda: [(1280, 800)])
    played: list[Event] = field(default_factory=list)
    held_keys: set[int] = field(default_factory=set)
    held_buttons: set[int] = field(default_factory=set)
    is_open: bool = True

    def make_ready(self, event: Event) -> float:
        """See `InputInjector`."""
        if not self.is_open:
            raise BackendUnavailable("closed", code=ErrorCode.E_INPUT_NONE)
        return 0.0

    def inject(self, event: Event, display_index: int) -> None:
        """See `InputInjector`."""
        if not self.is_open:
            raise BackendUnavailable("closed", code=ErrorCode.E_INPUT_NONE)
        match event:
            case PointerMove():
                sizes = [*self.displays[display_index : display_index + 1]]
                if display_index == ALL_DISPLAYS_INDEX:
                    widths, heights = zip(*self.displays, strict=True)
                    sizes = [(sum(widths), max(heights))]
                if not sizes:
                    return
                width, height = sizes[0]
                event = PointerMove(x=min(max(event.x, 0), width - 1), y=min(max(event.y, 0), height - 1))
            case Key(keysym, is_pressed):
                if is_pressed == (keysym in self.held_keys):
                    return
                self.held_keys ^= {keysym}
            case PointerButton(button, is_pressed):
                if is_pressed == (button in self.held_buttons):
                    return
                self.held_buttons ^= {button}
        self.played.append(event)

    def release_all(self) -> None:
        """See `InputInjector`."""
        self.played += [Key(keysym=keysym, is_pressed=False) for keysym in sorted(self.held_keys)]
        self.played += [
            PointerButton(button=button, is_pressed=False) for button in sorted(self.held_buttons)
        ]
        self.held_keys.clear()
        self.held_buttons.clear()

    def settle(self) -> None:
        """See `InputInjector`."""

    def close(self) -> None:
        """See `InputInjector`."""
        if self.is_open:
            self.release_all()
            self.is_open = False
