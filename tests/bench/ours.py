"""Alongside as its users start it: relay, organisation, agent, unattended by policy, kiosk in Chromium."""

import sys
from collections.abc import Mapping

import psutil
from quickstart import Options, Quickstart
from started import Programs

from tests.bench.actors import ActorFailed
from tests.bench.stage import Running, Stage, with_displays
from tests.bench.usage import TcpPort, family

AGENT_ROLES = ("agent service", "agent desktop", "screen worker")
_MODULES = {"agent.desktop": "agent desktop", "agent.capabilities.screen.worker": "screen worker"}
BEHIND_RELAY = "relay.json"


def start(stage: Stage) -> Running:
    """Everything up to the browser that shows the kiosk.

    Raises:
        QuickstartFailed: with what a program said.
    """
    folder = stage.folder / "alongside"
    folder.mkdir()
    programs = Programs(folder)
    stage.scope.callback(programs.stop_all)
    options = Options(folder, is_json=True, demo_allow=False, no_browser=True, stop=False)
    steps = Quickstart(options, programs, display=stage.source.display)
    relay = steps.relay()
    steps.organisation(relay)
    steps.agent(relay, stage.source.environment)
    _allow_unattended(steps)
    control = int(relay["relay_url"].rpartition(":")[2])
    host = stage.shape(control, control + 1)
    if stage.link is not None:
        _move_agent(steps, relay, host, stage)
    device = steps.agent_facts["device_id"]
    command = [
        str(_program("alongside")),
        "console",
        "--no-browser",
        "--json",
        "--connect",
        device,
        "--kiosk",
    ]
    command += ["--data", str(folder / "technician")]
    url = str(programs.start_ready("console", command, 30)["url"])
    browser = stage.chromium(url)
    agent = programs.pids()["agent"]

    def roles() -> Mapping[str, list[int]]:
        pids = programs.pids()
        return {**_agent_roles(agent), "relay": family(pids["relay"]), "client": [pids["console"]],
                "browser": family(browser)}  # fmt: skip

    tcp = TcpPort(control + 1, is_listener=False, pid=agent)
    return Running("alongside", stage, with_displays(stage, roles), tcp, AGENT_ROLES)


def _program(name: str) -> str:
    return str(sys.executable).rpartition("/")[0] + "/" + name


def _allow_unattended(steps: Quickstart) -> None:
    technician = str(steps.data / "technician")
    passphrase = ["--passphrase-file", str(steps.data / "organisation-passphrase")]
    for words in (["set-consent", "default", "unattended"], ["sign", "--yes", *passphrase], ["publish"]):
        steps.programs.call([_program("alongside"), "policy", *words, "--data", technician, "--json"])


def _move_agent(steps: Quickstart, relay: Mapping[str, str], host: str, stage: Stage) -> None:
    """Let the agent, and it alone, reach the relay by the shaped link."""
    steps.programs.stop("agent")
    address = steps.data / "agent" / BEHIND_RELAY
    before = address.read_text()
    after = before.replace("127.0.0.1", host)
    if before == after:
        raise ActorFailed(f"{address} does not name 127.0.0.1")
    address.write_text(after)
    steps.agent(dict(relay), stage.source.environment)


def _agent_roles(agent: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {role: [] for role in AGENT_ROLES}
    for pid in family(agent):
        try:
            words = psutil.Process(pid).cmdline()
        except psutil.NoSuchProcess:
            continue
        role = next((role for module, role in _MODULES.items() if module in words), "agent service")
        found[role].append(pid)
    return found
