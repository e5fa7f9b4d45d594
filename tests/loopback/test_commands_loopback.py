"""Approved commands for real: capability, exec worker, program, and the default catalogue."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from agent.capabilities.commands.capability import CommandsCapability
from agent.capabilities.commands.run import PolicyInForce
from protocol.audit import AuditKind
from protocol.errors import ErrorCode
from protocol.messages.commands import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    CancelCommand,
    CommandEnded,
    CommandOutput,
    CommandRefused,
)
from tests.support.approved_commands import CommandBench, Outcome, entry, request_for, signed_policy
from tests.support.organisation import acme, intruders
from tests.support.tunnelled import served

pytestmark = pytest.mark.real

PYTHON = "/usr/bin/python3"
HOSTILE = [
    ";id",
    "a|b",
    "a&b",
    "$(id)",
    "`id`",
    "%PATH%",
    "^",
    "!",
    ">x",
    "<x",
    "*",
    "?",
    "'",
    '"',
    "$HOME",
    "a b",
    "\\",
    "~",
    "#x",
    "{x}",
]
ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"
SLEEPER = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(120)"

DEFAULT_RUNS: list[tuple[str, dict[str, str], str]] = [
    ("disk-usage", {}, "Filesystem"),
    ("disk-inodes", {}, "Inodes"),
    ("memory", {}, "Mem:"),
    ("uptime", {}, "load average"),
    ("system-version", {}, "PRETTY_NAME"),
    ("busiest-programs", {}, "PID"),
    ("block-devices", {}, ""),
    ("network-addresses", {}, "lo"),
    ("network-routes", {}, ""),
    ("dns-lookup", {"name": "localhost"}, "localhost"),
    ("ping", {"host": "127.0.0.1", "count": "1"}, "127.0.0.1"),
    ("service-status", {"service": "no-such-service"}, ""),
    ("services-failed", {}, ""),
    ("service-log", {"unit": "no-such-service", "lines": "3"}, ""),
    ("user-service-restart", {"service": "no-such-service"}, ""),
]


def bench_for(in_force: PolicyInForce) -> CommandBench:
    return CommandBench(acme().device(), in_force)


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "probe.py"
    path.write_text(text)
    return str(path)


async def until(is_so: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.02)


async def pid_in(path: Path) -> int:
    await until(lambda: path.exists() and path.read_text().isdigit())
    return int(path.read_text())


@pytest.fixture(scope="module")
def default_catalogue() -> PolicyInForce:
    return signed_policy(acme())


def test_every_command_of_the_default_catalogue_is_tried_here(default_catalogue: PolicyInForce) -> None:
    entries = {each.command_id for each in default_catalogue.policy.catalogue.entries}
    assert entries == {command_id for command_id, _, _ in DEFAULT_RUNS}


@pytest.mark.parametrize(
    ("command_id", "parameters", "expected"), DEFAULT_RUNS, ids=[row[0] for row in DEFAULT_RUNS]
)
async def test_a_default_command_runs_or_says_that_its_program_is_missing(
    default_catalogue: PolicyInForce, command_id: str, parameters: dict[str, str], expected: str
) -> None:
    program = Path(default_catalogue.policy.catalogue.find(command_id).argv[0])
    async with bench_for(default_catalogue) as bench:
        outcome = await bench.run(command_id, **parameters)
    if not program.exists():
        assert outcome.code == ErrorCode.E_COMMAND_MISSING
        assert outcome.refused is not None
        assert str(program) in outcome.refused.detail
        return
    assert outcome.ended is not None
    assert outcome.started is not None
    assert outcome.started.argv[0] == str(program)
    if expected:
        assert outcome.ended.exit_status == 0
        assert expected in outcome.output().decode()
    assert outcome.code == ""
    assert bench.audit.kinds == [
        AuditKind.COMMAND_REQUESTED,
        AuditKind.COMMAND_STARTED,
        AuditKind.COMMAND_ENDED,
    ]


async def test_metacharacters_arrive_as_one_element_each_and_unchanged(tmp_path: Path) -> None:
    import json

    parameters = {
        f"p{number}": {"type": "choice", "choices": [text], "description": "Any text"}
        for number, text in enumerate(HOSTILE)
    }
    half = len(HOSTILE) // 2
    for names in (list(parameters)[:half], list(parameters)[half:]):
        chosen = {name: parameters[name] for name in names}
        in_force = signed_policy(
            acme(),
            [
                entry(
                    "echo",
                    PYTHON,
                    script(tmp_path, ECHO),
                    *(f"{{{name}}}" for name in names),
                    parameters=chosen,
                )
            ],
        )
        given = {name: HOSTILE[int(name[1:])] for name in names}
        async with bench_for(in_force) as bench:
            outcome = await bench.run("echo", **given)
        assert json.loads(outcome.output()) == list(given.values())


async def test_a_worker_refuses_what_a_deceived_service_asks(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    forged = signed_policy(intruders(), [entry("it", "/usr/bin/touch", str(witness))])
    async with bench_for(forged) as bench:
        outcome = await bench.run("it")
    assert outcome.code == ErrorCode.E_POLICY_SIGNATURE
    assert AuditKind.COMMAND_STARTED not in bench.audit.kinds
    assert not witness.exists()


async def test_output_is_streamed_while_the_program_still_runs(tmp_path: Path) -> None:
    text = "import time; print('first', flush=True); time.sleep(60)"
    in_force = signed_policy(acme(), [entry("slow", PYTHON, script(tmp_path, text), timeout_s=60)])
    async with bench_for(in_force) as bench:
        request = bench.ask("slow")
        assert await bench.output_of(request) == b"first\n"
        bench.send(CancelCommand(request.request_id))
        outcome = await bench.outcome(request)
    assert outcome.ended is not None
    assert outcome.ended.exit_status == -1
    assert outcome.ended.took_s < 30


async def test_a_request_sent_twice_runs_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = "import sys; open(sys.argv[1], 'a').write('ran ')"
    in_force = signed_policy(acme(), [entry("once", PYTHON, script(tmp_path, text), str(log))])
    async with bench_for(in_force) as bench:
        request = bench.ask("once")
        bench.send(request)
        await bench.outcome(request)
        while bench.outcomes[request.request_id].ended is None:
            await bench.next()
    assert log.read_text() == "ran "


async def test_the_end_of_the_channel_ends_the_program_within_a_quarter_of_a_second(tmp_path: Path) -> None:
    witness = tmp_path / "pid"
    in_force = signed_policy(
        acme(), [entry("slow", PYTHON, script(tmp_path, SLEEPER), str(witness), timeout_s=60)]
    )
    async with bench_for(in_force) as bench:
        bench.ask("slow")
        program = psutil.Process(await pid_in(witness))
        started_s = time.monotonic()
        stopping = asyncio.create_task(bench.stop())
        await until(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE)
        took_s = time.monotonic() - started_s
        await stopping
    assert took_s < 0.25
    assert bench.audit.kinds[-1] is AuditKind.COMMAND_ENDED


async def test_a_command_runs_through_the_tunnel_and_large_output_arrives_whole(tmp_path: Path) -> None:
    text = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 3000)"
    in_force = signed_policy(
        acme(), [entry("much", PYTHON, script(tmp_path, text), output_limit_bytes=1 << 20)]
    )
    bench = bench_for(in_force)
    request = request_for(in_force.policy.catalogue.find("much"))
    outcome = Outcome()
    device = bench.surroundings.device
    async with served(CommandsCapability(bench.surroundings), device, acme().technician()) as (channel, _):
        await channel.send(FROM_TECHNICIAN_CODEC.encode(request))
        while outcome.ended is None:
            message = FROM_AGENT_CODEC.decode(await channel.receive())
            assert not isinstance(message, CommandRefused), message
            if isinstance(message, CommandOutput):
                outcome.chunks.append(message)
            elif isinstance(message, CommandEnded):
                outcome.ended = message
    assert outcome.output() == bytes(range(256)) * 3000
    assert (outcome.ended.exit_status, outcome.ended.is_truncated) == (0, False)
