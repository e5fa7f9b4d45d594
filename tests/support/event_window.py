"""A real X client that says what reaches it: a Tk text field over the whole display, JSON lines on stdout.

Started as a program. It takes the keyboard focus, prints {"kind": "ready"}, then one line an event; a key's
line carries the whole text that stands in the field after it.
"""

import json
import subprocess
import sys
import tkinter as tk
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Show the window until the display or standard output ends."""
    root = tk.Tk()
    root.overrideredirect(True)
    root.geometry(f"{root.winfo_screenwidth()}x{root.winfo_screenheight()}+0+0")
    field = tk.Text(root)
    field.pack(fill="both", expand=True)

    def say(kind: str) -> Callable[[Any], None]:
        def tell(event: Any) -> None:
            root.after_idle(
                lambda: print(
                    json.dumps(
                        {
                            "kind": kind,
                            "keysym": getattr(event, "keysym", ""),
                            "button": event.num if isinstance(event.num, int) else 0,
                            "x": event.x_root,
                            "y": event.y_root,
                            "state": event.state if isinstance(event.state, int) else 0,
                            "text": field.get("1.0", "end-1c"),
                        }
                    ),
                    flush=True,
                )
            )

        return tell

    for pattern, kind in (
        ("<KeyPress>", "press"),
        ("<KeyRelease>", "release"),
        ("<ButtonPress>", "button_press"),
        ("<ButtonRelease>", "button_release"),
        ("<Motion>", "move"),
    ):
        field.bind(pattern, say(kind))
    root.update()
    field.focus_force()
    field.bind("<FocusIn>", lambda _: print(json.dumps({"kind": "ready"}), flush=True))
    root.mainloop()


class EventWindow:
    """The parent's end: starts the program and reads its lines."""

    def __init__(self, display: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, __file__],
            env={"DISPLAY": display, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.until(lambda line: line["kind"] == "ready")

    def until(self, is_it: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Read lines up to the first that is it; the test's own time limit bounds the wait."""
        seen: list[dict[str, Any]] = []
        assert self._child.stdout is not None
        for line in self._child.stdout:
            seen.append(json.loads(line))
            if is_it(seen[-1]):
                return seen
        raise AssertionError(f"the window ended; it saw {seen}")

    def close(self) -> None:
        """End the program."""
        self._child.kill()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()


if __name__ == "__main__":
    main()
