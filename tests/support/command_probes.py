"""Small programs that tell what was started, as commands of a signed catalogue."""

import json
from pathlib import Path
from typing import Any

from protocol.identity import Identity
from tests.support.approved_commands import CommandBench, Outcome, entry, signed_policy
from tests.support.organisation import acme

PYTHON = "/usr/bin/python3"
ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"
TEXT_TYPES: dict[str, dict[str, Any]] = {
    "hostname": {"type": "hostname", "description": "A host"},
    "service": {"type": "service", "description": "A service"},
    "integer": {"type": "integer", "minimum": 0, "maximum": 99, "description": "A number"},
}


def script(folder: Path, text: str, name: str = "probe.py") -> str:
    """A script of Python's, as a path for an entry."""
    path = folder / name
    path.write_text(text)
    return str(path)


def echo_entry(folder: Path, parameter: dict[str, Any]) -> dict[str, Any]:
    """A command `echo` with one parameter `value`, which prints its arguments as JSON."""
    return entry("echo", PYTHON, script(folder, ECHO), "{value}", parameters={"value": parameter})


def echo_bench(folder: Path, parameter: dict[str, Any], device: Identity | None = None) -> CommandBench:
    """The capability with `echo` and a real worker."""
    return CommandBench(device or acme().device(), signed_policy(acme(), [echo_entry(folder, parameter)]))


def echoed(outcome: Outcome) -> list[str]:
    """The arguments that the program really got."""
    found: list[str] = json.loads(outcome.output())
    return found


def touch_entry(witness: Path, **terms: Any) -> dict[str, Any]:
    """A command `touch` that leaves a file behind: the oracle of a test in which nothing may happen."""
    return entry("touch", "/usr/bin/touch", str(witness), **terms)
