"""Programs that quickstart started: their pids, logs, ready lines and their end."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

STOP_TIMEOUT_S = 5.0
LOOK_EVERY_S = 0.05
CALL_TIMEOUT_S = 90.0
LOG_TAIL_LINES = 12


class QuickstartFailed(Exception):
    """A step failed; the text says what to do next. `status` is the exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Started:
    """One program: pid and start time together name a process for good."""

    pid: int
    created_at_s: float
    words: list[str]
    facts: dict[str, Any]


class Programs:
    """Starts programs in the background; `started.json` lets a later run find or end them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "started.json"
        self._logs = folder / "log"
        self._all: dict[str, Started] = {}
        self._children: list[subprocess.Popen[bytes]] = []
        if self._file.exists():
            rows = json.loads(self._file.read_text())
            self._all = {name: Started(**row) for name, row in rows.items()}

    def start(self, name: str, words: list[str], *, environment: dict[str, str] | None = None) -> Started:
        """Start it unless it is running already with the same words; its output goes to log/NAME.log."""
        running = self._running(name)
        if running is not None and running.words == words:
            return running
        self.stop(name)
        self._logs.mkdir(exist_ok=True, mode=0o700)
        with (self._logs / f"{name}.log").open("ab") as errors, self._output(name).open("wb") as output:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=os.environ | (environment or {}),
                start_new_session=True,
            )
        self._children.append(child)
        return self._remember(name, child.pid, words)

    def start_ready(
        self, name: str, words: list[str], timeout_s: float, *, environment: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Start it and wait for the one line of JSON that it prints when it is ready.

        Raises:
            QuickstartFailed: it ended, or was not ready in time; with the end of its log.
        """
        started = self.start(name, words, environment=environment)
        if started.facts:
            return started.facts
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            line = self._output(name).read_bytes().partition(b"\n")
            if line[1]:
                facts: dict[str, Any] = json.loads(line[0])
                if "error" in facts:
                    raise QuickstartFailed(f"{name} did not start:\n{self._tail(name)}", 6)
                self._all[name] = Started(started.pid, started.created_at_s, words, facts)
                self._save()
                return facts
            if self._running(name) is None:
                raise QuickstartFailed(f"{name} ended at once:\n{self._tail(name)}", 6)
            time.sleep(LOOK_EVERY_S)
        raise QuickstartFailed(f"{name} was not ready in {timeout_s:.0f} s:\n{self._tail(name)}", 6)

    def call(self, words: list[str]) -> Any:
        """Run it to its end; returns the JSON it printed, or None.

        Raises:
            QuickstartFailed: it failed; with what it said.
        """
        ended = subprocess.run(words, capture_output=True, timeout=CALL_TIMEOUT_S, stdin=subprocess.DEVNULL)
        if ended.returncode != 0:
            raise QuickstartFailed(ended.stderr.decode(errors="replace").strip(), ended.returncode)
        lines = ended.stdout.decode().strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    def pids(self) -> dict[str, int]:
        """Name and pid of everything that still runs."""
        return {name: one.pid for name, one in self._all.items() if self._running(name)}

    def facts(self, name: str) -> dict[str, Any]:
        """What was remembered about a running program; empty if it does not run."""
        running = self._running(name)
        return running.facts if running else {}

    def remember_facts(self, name: str, facts: dict[str, Any]) -> None:
        """Keep facts about a program that prints no ready line itself."""
        one = self._all[name]
        self._all[name] = Started(one.pid, one.created_at_s, one.words, facts)
        self._save()

    def said(self, name: str) -> str:
        """What it printed so far on standard output."""
        output = self._output(name)
        return output.read_text(errors="replace") if output.exists() else ""

    def stop(self, name: str) -> bool:
        """End one program with its children; False if it was not running."""
        one = self._running(name)
        self._all.pop(name, None)
        self._save()
        if one is None:
            return False
        process = psutil.Process(one.pid)
        family = [process, *process.children(recursive=True)]
        process.terminate()
        _, alive = psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)
        for straggler in alive:
            straggler.kill()
        psutil.wait_procs(alive, timeout=STOP_TIMEOUT_S)
        self._running(name)
        return True

    def stop_all(self) -> list[str]:
        """End everything, the youngest first."""
        return [name for name in reversed(list(self._all)) if self.stop(name)]

    def _remember(self, name: str, pid: int, words: list[str]) -> Started:
        started = Started(pid, psutil.Process(pid).create_time(), words, {})
        self._all[name] = started
        self._save()
        return started

    def _running(self, name: str) -> Started | None:
        one = self._all.get(name)
        self._children = [child for child in self._children if child.poll() is None]
        if one is None:
            return None
        try:
            process = psutil.Process(one.pid)
            is_same = abs(process.create_time() - one.created_at_s) < 1
            return one if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def _save(self) -> None:
        rows = {
            name: {"pid": one.pid, "created_at_s": one.created_at_s, "words": one.words, "facts": one.facts}
            for name, one in self._all.items()
        }
        if not rows and not self._file.exists():
            return
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(rows, indent=1))
        fresh.replace(self._file)

    def _output(self, name: str) -> Path:
        return self._logs / f"{name}.ready"

    def _tail(self, name: str) -> str:
        log = self._logs / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join(lines[-LOG_TAIL_LINES:]) or f"(nothing in {log})"
