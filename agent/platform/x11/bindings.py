"""The xcffib modules that the X11 source uses, loaded when it opens and not before."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from protocol.errors import BackendUnavailable


@dataclass(frozen=True, slots=True)
class Bindings:
    """One attribute per module; xcffib publishes no types."""

    xcffib: ModuleType
    xproto: ModuleType
    damage: ModuleType
    randr: ModuleType
    shm: ModuleType
    xfixes: ModuleType
    xinput: ModuleType


def load_bindings() -> Bindings:
    """Imports xcffib.

    Raises:
        BackendUnavailable: it is not installed, or libxcb is missing.
    """
    try:
        return Bindings(
            import_module("xcffib"),
            import_module("xcffib.xproto"),
            import_module("xcffib.damage"),
            import_module("xcffib.randr"),
            import_module("xcffib.shm"),
            import_module("xcffib.xfixes"),
            import_module("xcffib.xinput"),
        )
    except (ImportError, OSError) as exc:
        raise BackendUnavailable(
            f"xcffib cannot be loaded ({exc}); install it with: pip install 'alongside[agent]'"
        ) from exc
