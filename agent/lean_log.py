"""Imports structlog without what it takes along and our long-lived processes do not use.

Imported before anything that imports structlog. That draws tracebacks with `rich` where it is installed (the
command line needs it): 6 MiB in every process, while our log lines are JSON or plain. It names `asyncio` for
loggers that we do not use: 8 MiB in the desktop process, which has no event loop.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import cast

_UNUSED = ("rich", "greenlet")


def _import_lean() -> None:
    """What is None in `sys.modules` is not found (import system, 5.3.1); what was imported before stays."""
    hidden: dict[str, ModuleType | None] = dict.fromkeys(each for each in _UNUSED if each not in sys.modules)
    if "asyncio" not in sys.modules:
        hidden["asyncio"] = _put_off("asyncio")
    cast("dict[str, ModuleType | None]", sys.modules).update(hidden)
    try:
        import_module("structlog")
    finally:
        for name in hidden:
            del sys.modules[name]


def _put_off(name: str) -> ModuleType:
    """Stands for the module, and imports it as soon as somebody wants anything of it (PEP 562)."""
    stand_in = ModuleType(name)
    vars(stand_in)["__getattr__"] = lambda attribute: getattr(import_module(name), attribute)
    return stand_in


_import_lean()
