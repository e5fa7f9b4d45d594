"""The real `alongside-agent`, one command at a time or running, with its data in a folder of the test."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from protocol.identity import save_identity
from protocol.join_token import TokenTerms, make_token
from tests.support.organisation import Organisation, acme
from tests.support.relay_process import RelayProcess

AGENT = (sys.executable, "-c", "from agent.cli import main; main()")


def call(*words: str, data: Path, stdin: str = "", ok: bool = True) -> dict[str, Any]:
    """Run one command with --json; its document. Nothing may look like a traceback."""
    done = subprocess.run(
        [*AGENT, *words, "--data", str(data), "--json"],
        input=stdin, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert (done.returncode == 0) is ok, done.stderr
    return {**json.loads(done.stdout), "exit": done.returncode}


@dataclass
class RunningAgent:
    """One `alongside-agent run`."""

    process: "subprocess.Popen[str]"
    ready: dict[str, Any]
    log_file: Path

    @property
    def socket(self) -> Path:
        """Its local socket."""
        return Path(self.ready["socket"])


@contextmanager
def running_agent(data: Path, *words: str, inside: Sequence[str] = ()) -> Iterator[RunningAgent]:
    """Start it and read its ready line; it has to end by SIGTERM with status 0.

    `inside`: the words that start a program in other surroundings.
    """
    log_file = data.with_name("agent.log")
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    with log_file.open("a") as log:
        process = subprocess.Popen(
            [*inside, *AGENT, "run", "--data", str(data), "--json", *words],
            stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log_file.read_text()
        yield RunningAgent(process, json.loads(line), log_file)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, log_file.read_text()
        assert "Traceback" not in log_file.read_text()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def joined_folder(folder: Path) -> Path:
    """The data folder of a device of Acme whose relay does not answer."""
    data = folder / "agent"
    data.mkdir(mode=0o700)
    save_identity(acme().device(), data / "identity.pem")
    (data / "relay.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "relay_id": "0" * 64}))
    (data / "relay.json").chmod(0o600)
    return data


def new_token(relay: RelayProcess, organisation: Organisation, group: str = "default", **terms: Any) -> str:
    """A join token of this relay."""
    made = TokenTerms(relay.relay_url, relay.relay_id, group, datetime.now(UTC) + timedelta(hours=1), **terms)
    return make_token(organisation.root, organisation.root_key, made, now=datetime.now(UTC))
