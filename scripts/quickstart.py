"""The part of quickstart that starts programs; scripts/quickstart.sh installs what it needs first.

Every step looks at what is there and does only what is missing, so that it can be run again.
"""

import argparse
import getpass
import json
import os
import secrets
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parent))

import demo_desktop
import platformdirs
from started import Programs, QuickstartFailed

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
STEPS = 6
TECHNICIAN_DAYS = 7
READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    data: Path
    is_json: bool
    demo_allow: bool
    no_browser: bool
    stop: bool


def parse(words: list[str]) -> Options:
    """The command line; scripts/quickstart.sh has the text of --help."""
    parser = argparse.ArgumentParser(prog="scripts/quickstart.sh", add_help=False)
    parser.add_argument("--data", type=Path)
    for switch in ("--json", "--demo-allow", "--no-browser", "--stop"):
        parser.add_argument(switch, action="store_true")
    given = parser.parse_args(words)
    data = given.data or platformdirs.user_data_path("alongside-quickstart", appauthor=False)
    return Options(data.absolute(), given.json, given.demo_allow, given.no_browser, given.stop)


class Quickstart:
    """Carries out the steps in order and remembers what it started."""

    def __init__(self, options: Options, programs: Programs, *, display: str) -> None:
        self.options = options
        self.data = options.data
        self.programs = programs
        self._step = 0
        self.display = display
        self.is_demo = not self.display

    def run(self) -> dict[str, Any]:
        """Everything, in order; returns what --json prints."""
        environment = self.screen()
        relay = self.relay()
        self.organisation(relay)
        self.agent(relay, environment)
        if self.options.demo_allow:
            self.demo_person(environment)
        url = self.console()
        return {
            "relay_url": relay["relay_url"],
            "console_url": url,
            "device_id": self.agent_facts["device_id"],
            "data": str(self.data),
            "pids": self.programs.pids(),
        }

    def screen(self) -> dict[str, str]:
        """The desktop to be shown: this one, or a virtual one with a small demo on it."""
        if not self.is_demo:
            self.say(f"Screen: your own desktop ({self.display})")
            if self.options.demo_allow:
                raise QuickstartFailed("--demo-allow works on the demo desktop only, never on a real one", 3)
            return {}
        environment = demo_desktop.start(self.programs)
        self.display = environment["DISPLAY"]
        self.say(f"Screen: a virtual demo desktop on {self.display}")
        return environment

    def relay(self) -> dict[str, Any]:
        """A relay on loopback, on the port it had before."""
        port_file = self.data / "relay-port"
        if not port_file.exists():
            port_file.write_text(str(_free_port_pair()))
        port = int(port_file.read_text())
        words = ["serve", "--data", self._folder("relay"), "--listen", f"127.0.0.1:{port}", "--json"]
        facts = self.programs.start_ready("relay", [str(BIN / "alongside-relay"), *words], READY_TIMEOUT_S)
        self.say(f"Relay: {facts['relay_url']}")
        return facts

    def organisation(self, relay: dict[str, Any]) -> None:
        """An organisation that has claimed the relay, and you as its technician."""
        passphrase = self.data / "organisation-passphrase"
        technician = self.data / "technician"
        if not (technician / "org" / "root.pem").exists():
            if not passphrase.exists():
                passphrase.write_text(secrets.token_urlsafe(24) + "\n")
            self._alongside(
                "org", "init", "--name", "Quickstart", "--relay", relay["relay_url"],
                "--claim-secret-file", relay["claim_secret_file"], "--passphrase-file", str(passphrase),
                "--no-passphrase",  # nobody is asked in a quickstart; the keys lie in a folder of its own
            )  # fmt: skip
        shown = (
            self._alongside("org", "technician", "list") if (technician / "identity.pem").exists() else None
        )
        if shown is None or _needs_renewal(shown):
            name = os.environ.get("SUDO_USER") or getpass.getuser()
            safe = "".join(c for c in name.lower() if c.isascii() and c.isalnum()) or "technician"
            self._alongside(
                "org", "technician", "add", safe, "--days", str(TECHNICIAN_DAYS), "--this-computer",
                "--passphrase-file", str(passphrase), "--no-passphrase",
            )  # fmt: skip
        self.say("Organisation: Quickstart, with you as its technician")

    def agent(self, relay: dict[str, Any], environment: dict[str, str]) -> None:
        """This computer's agent, joined with a token that works once."""
        folder = self._folder("agent")
        agent = str(BIN / "alongside-agent")
        if not (Path(folder) / "identity.pem").exists():
            token = self.data / "join-token"
            token.unlink(missing_ok=True)
            self._alongside(
                "fleet", "token", "create", "--out", str(token), "--uses", "1", "--hours", "1",
                "--passphrase-file", str(self.data / "organisation-passphrase"),
            )  # fmt: skip
            self.programs.call([agent, "join", "--token-file", str(token), "--data", folder, "--json"])
            token.unlink()
        words = ["run", "--data", folder, "--display", self.display, "--json"]
        self.agent_facts = self.programs.start_ready(
            "agent", [agent, *words], READY_TIMEOUT_S, environment=environment
        )
        self.say(f"Agent: this computer is device {self.agent_facts['device_id']}")

    def demo_person(self, environment: dict[str, str]) -> None:
        """Somebody who says yes, on the demo desktop alone."""
        words = [sys.executable, str(HERE / "demo_person.py"), "--display", self.display, "--forever"]
        self.programs.start("demo-person", words, environment=environment)
        self.say("Demo person: clicks Allow on the demo desktop")

    def console(self) -> str:
        """The technician's console, anew each time because its address works once."""
        self.programs.stop("console")
        words = [str(BIN / "alongside"), "console", "--json", "--data", self._folder("technician")]
        if self.is_demo or self.options.no_browser:
            words.append("--no-browser")
        url = str(self.programs.start_ready("console", words, READY_TIMEOUT_S)["url"])
        self.say("Console: ready")
        return url

    def say(self, text: str) -> None:
        """Progress, for people."""
        self._step += 1
        print(f"[{self._step}/{STEPS - (not self.options.demo_allow)}] {text}", file=sys.stderr, flush=True)

    def _folder(self, name: str) -> str:
        folder = self.data / name
        folder.mkdir(exist_ok=True, mode=0o700)
        return str(folder)

    def _alongside(self, *words: str) -> Any:
        command = [str(BIN / "alongside"), *words, "--data", self._folder("technician"), "--json"]
        return self.programs.call(command)


def _needs_renewal(technicians: Any) -> bool:
    rows = technicians.get("technicians", []) if isinstance(technicians, dict) else technicians
    return not any(float(row.get("days_left", 0)) > 1 for row in rows)


def _free_port_pair() -> int:
    """A port that is free together with the one after it (the relay's session worker)."""
    for _ in range(50):
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
            return port
    raise QuickstartFailed("no free pair of ports on 127.0.0.1", 6)


def _next_step(facts: dict[str, Any], quickstart: Quickstart) -> None:
    device = "this demo desktop" if quickstart.is_demo else "this computer"
    again = "scripts/quickstart.sh"
    print(
        f"\nNext: open {facts['console_url']}\n"
        f"      (works once; in the list, connect to {device}, then answer the prompt on its screen)\n"
        f"Again: {again}     Stop: {again} --stop",
        file=sys.stderr,
    )


def _fail(failure: QuickstartFailed) -> NoReturn:
    print(f"alongside: {failure}", file=sys.stderr)
    sys.exit(failure.status)


def main() -> None:
    """Run one quickstart, or stop an earlier one."""
    os.umask(0o077)
    options = parse(sys.argv[1:])
    try:
        options.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        programs = Programs(options.data)
        if options.stop:
            stopped = programs.stop_all()
            print(f"Stopped: {', '.join(stopped) or 'nothing was running'}", file=sys.stderr)
            if options.is_json:
                print(json.dumps({"stopped": stopped}))
            return
        quickstart = Quickstart(options, programs, display=os.environ.get("DISPLAY", ""))
        facts = quickstart.run()
    except QuickstartFailed as exc:
        _fail(exc)
    except (OSError, subprocess.SubprocessError) as exc:
        _fail(
            QuickstartFailed(f"{exc}. Check disk space and permissions, then run it again. (E_DATA_DISK)", 6)
        )
    _next_step(facts, quickstart)
    if options.is_json:
        print(json.dumps(facts))


if __name__ == "__main__":
    main()
