"""What of macOS the screen source uses, loaded in one place.

Names and signatures are those of Apple's documentation of ScreenCaptureKit, Core Media, Core Video and Core
Graphics, spelled as pyobjc spells them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from protocol.errors import BackendUnavailable

OnSample = Callable[[Any, int], None]
"""Called with a CMSampleBuffer and an SCStreamOutputType, on a thread of the system."""


@dataclass(frozen=True, slots=True)
class MacBindings:
    """The frameworks, and how to make an object that a stream reports to."""

    capture: Any
    media: Any
    quartz: Any
    new_queue: Callable[[], Any]
    new_receiver: Callable[[OnSample, Callable[[str], None]], Any]


def load_bindings() -> MacBindings:
    """Imports pyobjc's frameworks.

    Raises:
        BackendUnavailable: they are not installed, or macOS is older than 12.3.
    """
    try:
        capture = import_module("ScreenCaptureKit")
        media, quartz = import_module("CoreMedia"), import_module("Quartz")
        dispatch, base = import_module("dispatch"), import_module("Foundation").NSObject
    except (ImportError, AttributeError) as exc:
        raise BackendUnavailable(
            f"ScreenCaptureKit cannot be loaded ({exc}); it needs macOS 12.3; install it with: "
            "pip install 'alongside[agent]'"
        ) from exc
    return MacBindings(
        capture,
        media,
        quartz,
        lambda: dispatch.dispatch_queue_create(b"alongside.screen", None),
        lambda on_sample, on_stop: _receiver(base, on_sample, on_stop),
    )


def _receiver(base: Any, on_sample: OnSample, on_stop: Callable[[str], None]) -> Any:
    """An NSObject that is SCStreamOutput and SCStreamDelegate; pyobjc knows both methods' types by name."""

    def sample(self: Any, stream: Any, buffer: Any, kind: int) -> None:
        on_sample(buffer, kind)

    def stopped(self: Any, stream: Any, error: Any) -> None:
        on_stop(str(error))

    # every class of Objective-C needs a name of its own
    name = f"AlongsideScreen{id(on_sample):x}"
    methods = {"stream_didOutputSampleBuffer_ofType_": sample, "stream_didStopWithError_": stopped}
    return type(base)(name, (base,), methods).alloc().init()
