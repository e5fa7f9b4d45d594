"""The whole product as real processes: relay, organisation, agent on a virtual desktop, console.

Only the outer surface is used (commands, their JSON, files they document); the steps are quickstart's own.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from quickstart import Options, Quickstart
from started import Programs, QuickstartFailed

BIN = Path(sys.executable).parent
CALL_TIMEOUT_S = 60.0


class WholeSystem:
    """Everything that a session needs, started on free ports in a folder of its own."""

    def __init__(self, folder: Path, programs: Programs) -> None:
        self.folder = folder
        self._steps = Quickstart(
            Options(folder, is_json=True, demo_allow=False, no_browser=True, stop=False),
            programs,
            display="",
        )
        self.screen = self._steps.screen()
        for name in ("clock", "terminal"):
            self._steps.programs.stop(name)
        self._relay_facts = self._steps.relay()
        self._steps.organisation(self._relay_facts)
        self._steps.agent(self._relay_facts, self.screen)
        self.device_id: str = self._steps.agent_facts["device_id"]

    @property
    def pids(self) -> dict[str, int]:
        """Name and pid of every program of ours that runs."""
        return self._steps.programs.pids()

    @property
    def agent_folder(self) -> Path:
        """The agent's --data."""
        return self.folder / "agent"

    @property
    def technician_folder(self) -> Path:
        """The technician's and the admin's --data."""
        return self.folder / "technician"

    def console_url(self, *words: str) -> str:
        """Start the console anew; its single-use address."""
        self._steps.programs.stop("console")
        command = [str(BIN / "alongside"), "console", "--no-browser", "--json", *words]
        command += ["--data", str(self.technician_folder)]
        return str(self._steps.programs.start_ready("console", command, 30)["url"])

    def kill_relay(self) -> None:
        """SIGKILL, as a power cut would; its session worker has to go with it."""
        relay = psutil.Process(self.pids["relay"])
        family = [relay, *relay.children(recursive=True)]
        os.kill(relay.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive, "a part of the relay outlived it"

    def start_relay(self) -> None:
        """The same relay again, on the same port and data."""
        self._relay_facts = self._steps.relay()

    def kill_agent(self) -> None:
        """SIGKILL, as a power cut would; its desktop process goes with it."""
        agent = psutil.Process(self.pids["agent"])
        family = [agent, *agent.children(recursive=True)]
        os.kill(agent.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, "a part of the agent outlived it"

    def start_agent(self) -> None:
        """The same agent again, on the same data."""
        self._steps.agent(self._relay_facts, self.screen)

    def serve_release(self, folder: Path) -> None:
        """The same relay again, which hands out this folder too."""
        words = [str(BIN / "alongside-relay"), "serve", "--data", str(self.folder / "relay"), "--json"]
        words += ["--listen", self._relay_facts["relay_url"].partition("//")[2], "--release", str(folder)]
        self.kill_relay()
        self._steps.programs.stop("relay")
        self._relay_facts = self._steps.programs.start_ready("relay", words, 30)

    def set_consent(self, consent: str) -> None:
        """Sign and publish a policy with this consent for every device of the default group."""
        passphrase = ["--passphrase-file", str(self.folder / "organisation-passphrase")]
        self.alongside("policy", "set-consent", "default", consent)
        self.alongside("policy", "sign", "--yes", *passphrase)
        self.alongside("policy", "publish")

    def alongside(self, *words: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run `alongside WORDS --data ...` to its end and check its exit status."""
        command = [str(BIN / "alongside"), *words, "--data", str(self.technician_folder)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=CALL_TIMEOUT_S)
        assert status is None or ended.returncode == status, (ended.returncode, ended.stderr)
        return ended

    def start_alongside(self, *words: str) -> subprocess.Popen[str]:
        """Start `alongside WORDS --data ...`; the caller waits for it."""
        command = [str(BIN / "alongside"), *words, "--data", str(self.technician_folder)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def agent(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `alongside-agent WORDS --data ...` to its end."""
        command = [str(BIN / "alongside-agent"), *words, "--data", str(self.agent_folder)]
        return subprocess.run(command, capture_output=True, text=True, timeout=CALL_TIMEOUT_S)

    def start_on_screen(self, name: str, words: list[str]) -> Any:
        """Start an X program on the device's desktop."""
        return self._steps.programs.start(name, words, environment=self.screen)

    def stop_on_screen(self, name: str) -> None:
        """End a program started by `start_on_screen`."""
        self._steps.programs.stop(name)

    def screen_workers(self) -> list[int]:
        """Pids of the agent's screen workers."""
        agent = psutil.Process(self.pids["agent"])
        return [
            child.pid
            for child in agent.children(recursive=True)
            if "agent.capabilities.screen.worker" in child.cmdline()
        ]

    def audit_kinds(self) -> list[str]:
        """The kinds of the agent's audit records, oldest first."""
        lines = (self.agent_folder / "audit.jsonl").read_bytes().splitlines()
        return [json.loads(line)["kind"] for line in lines]


@contextmanager
def whole_system(folder: Path) -> Iterator[WholeSystem]:
    """A running system that is stopped at the end, also when starting it fails half way."""
    programs = Programs(folder)
    try:
        yield WholeSystem(folder, programs)
    except QuickstartFailed as exc:
        raise AssertionError(str(exc)) from exc
    finally:
        programs.stop_all()
