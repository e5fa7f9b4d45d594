"""What a command of ours said at its end, and whether that is how we tell a person about a fault."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from protocol.errors import ErrorCode, exit_status

_MODULES = {
    "alongside": "technician_client.cli",
    "alongside-agent": "agent.cli",
    "alongside-relay": "relay.cli",
}
TIMEOUT_S = 30.0
PARTS_OF_A_FAULT = ("Error: ", "What to do: ", "Code: E_")


@dataclass(frozen=True, slots=True)
class Said:
    """Exit status and both outputs."""

    status: int
    output: str
    remarks: str

    def documents(self) -> list[dict[str, Any]]:
        """Standard output, of which every line has to be JSON."""
        return [json.loads(line) for line in self.output.splitlines()]

    def assert_fault(self, code: ErrorCode) -> None:
        """One sentence, what to do, the code, its documented exit status; JSON alone on standard output."""
        assert self.status == exit_status(code), self
        assert "Traceback" not in self.remarks, self.remarks
        for part in PARTS_OF_A_FAULT:
            assert self.remarks.count(part) == 1, self.remarks
        assert f"Code: {code}\n" in self.remarks, self.remarks
        errors = [one["error"] for one in self.documents() if "error" in one]
        assert [error["code"] for error in errors] == [code], self.output
        assert errors[0]["sentence"]
        assert errors[0]["remedy"]


def command(program: str, *words: str) -> list[str]:
    """The words that start one of our three programs."""
    return [sys.executable, "-c", f"from {_MODULES[program]} import main; main()", *words]


def said(
    program: str,
    *words: str,
    environment: Mapping[str, str | None] | None = None,
    before: Callable[[], None] | None = None,
) -> Said:
    """Run the program with --json to its end; `before` runs in the child; None takes a variable away."""
    merged = {**os.environ, **(environment or {})}
    ended = subprocess.run(
        command(program, *words, "--json"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={name: value for name, value in merged.items() if value is not None},
        preexec_fn=before,
    )
    return Said(ended.returncode, ended.stdout, ended.stderr)


def said_here(program: str, *words: str) -> Said:
    """The same in this process, which saves the start of an interpreter: `main` is all of the program."""
    main: Callable[[list[str]], None] = import_module(_MODULES[program]).main
    output, remarks = io.StringIO(), io.StringIO()
    umask = os.umask(0o077)
    status: object = 0
    try:
        with redirect_stdout(output), redirect_stderr(remarks):
            main([*words, "--json"])
    except SystemExit as exc:
        status = exc.code
    finally:
        os.umask(umask)
    return Said(int(str(status or 0)), output.getvalue(), remarks.getvalue())
