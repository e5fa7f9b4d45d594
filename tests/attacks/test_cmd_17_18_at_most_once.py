"""A request for a command, and SIGKILL at each step of it (THREATS.md CMD-17, CMD-18; promise P11).

The oracle is a line that the program appends to a file: whatever dies and whoever sends the request again,
there is at most one, and what is told afterwards is true.
"""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from agent.capabilities.commands.aftermath import settle_open_requests
from agent.exec.book import RequestState
from protocol.audit import AuditKind, read_record, verify_records
from protocol.errors import ErrorCode
from protocol.ids import RequestId
from protocol.messages.commands import AskOutcome, CommandOutcome, RunCommand
from tests.support.approved_commands import CommandBench, entry, request_for, signed_policy
from tests.support.killed_service import WORKER_STEPS, audit_of, book_of, prepare
from tests.support.organisation import acme

pytestmark = [pytest.mark.real, pytest.mark.beside]

PYTHON = "/usr/bin/python3"
APPEND = """
import os, sys, time
file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(file, b"ran\\n")
time.sleep(0.1)
"""
S = RequestState
# step: how many lines there may be, and what may be said of it afterwards
STEPS: dict[str, tuple[set[int], set[RequestState]]] = {
    "nothing_taken": ({1}, {S.ENDED}),  # nobody knew of it, so sending it again runs it, once
    "taken": ({0}, {S.NOT_RUN}),
    "verified": ({0}, {S.NOT_RUN}),
    "recorded": ({0}, {S.NOT_RUN}),
    "let_go": ({0, 1}, {S.NOT_RUN, S.UNKNOWN}),
    "begins_late": ({0}, {S.NOT_RUN}),
    "begun": ({0}, {S.UNKNOWN}),
    "spawned": ({0, 1}, {S.UNKNOWN}),
    "worker_dies": ({0, 1}, {S.UNKNOWN}),
    "ended": ({1}, {S.UNKNOWN}),
    "end_heard": ({1}, {S.UNKNOWN}),
    "end_recorded": ({1}, {S.UNKNOWN}),
    "nobody_dies": ({1}, {S.ENDED}),
}


@pytest.mark.parametrize("step", STEPS)
async def test_cmd_18_whoever_dies_the_program_starts_at_most_once_and_what_is_said_of_it_is_true(
    tmp_path: Path, step: str
) -> None:
    device, ran = acme().device(), tmp_path / "ran"
    (tmp_path / "append.py").write_text(APPEND)
    in_force = signed_policy(acme(), [entry("append", PYTHON, str(tmp_path / "append.py"), str(ran))])
    request = request_for(in_force.policy.catalogue.find("append"))
    prepare(tmp_path, device, in_force, request)
    run_service(tmp_path, step)

    book = book_of(tmp_path)
    settle_open_requests(book, audit_of(tmp_path, device))
    await until_all_are_gone(tmp_path)
    bench = CommandBench(device, in_force, book=book)
    outcome = await sent_again(bench, request)
    lines = len(ran.read_text().splitlines()) if ran.exists() else 0
    allowed_lines, allowed_states = STEPS[step]
    assert lines in allowed_lines
    assert RequestState(outcome.state) in allowed_states
    assert not (outcome.state == S.NOT_RUN and lines), "it was said not to have run, and it had"
    assert_audit_tells(tmp_path, request, outcome.state)


def run_service(folder: Path, step: str) -> None:
    """A service until it dies, or until its worker's death was told."""
    words = [sys.executable, "-m", "tests.support.killed_service", str(folder), step]
    root = Path(__file__).parents[2]
    with (folder / "complaints").open("wb") as complaints:
        ended = subprocess.run(
            words,
            cwd=root,
            env={**os.environ, "MARK": str(folder)},
            stderr=complaints,
            timeout=60,
            check=False,
        )
    survives = step in ("worker_dies", "nobody_dies")
    assert ended.returncode == (0 if survives else -9), (folder / "complaints").read_text()


async def until_all_are_gone(folder: Path) -> None:
    """No worker and no program of this folder is left."""
    import asyncio

    def is_left() -> bool:
        words = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
        return any(str(folder) in word for line in words for word in line)

    async with asyncio.timeout(20):
        while is_left():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.05)


async def sent_again(bench: CommandBench, request: RunCommand) -> CommandOutcome:
    """Send the request three times more, over two channels, and ask what became of it."""
    for _ in range(2):
        async with bench:
            for _ in range(2):
                bench.send(request)
                await bench.outcome(request)
                bench.outcomes.clear()
            bench.send(AskOutcome(request.request_id))
            told = await bench.next()
            assert isinstance(told, CommandOutcome)
    return told


def assert_audit_tells(folder: Path, request: RunCommand, state: str) -> None:
    """The log holds, and has exactly one record of a request whose end nobody saw."""
    lines = (folder / "audit.jsonl").read_bytes().splitlines(keepends=True)
    assert verify_records(lines).is_intact
    records = [read_record(line.removesuffix(b"\n")) for line in lines]
    unknown = [one for one in records if one.kind == AuditKind.COMMAND_UNKNOWN]
    assert len(unknown) == (1 if state in (S.UNKNOWN, S.NOT_RUN) else 0)
    assert all(one.facts["request_id"] == request.request_id for one in unknown)
    assert all(one.actor == "ada" for one in unknown)


def test_every_step_is_tried() -> None:
    from tests.support.killed_service import SERVICE_STEPS

    assert STEPS.keys() - {"nobody_dies"} == {*SERVICE_STEPS, *WORKER_STEPS}


async def test_cmd_17_a_request_runs_once_over_two_channels_and_two_ledgers(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "append.py").write_text(APPEND)
    in_force = signed_policy(acme(), [entry("append", PYTHON, str(tmp_path / "append.py"), str(ran))])
    device = acme().device()
    first = CommandBench(device, in_force)
    second = CommandBench(device, in_force, book=first.book)
    request = request_for(in_force.policy.catalogue.find("append"))
    async with first, second:
        first.send(request)
        second.send(request)
        codes = [(await bench.outcome(request)).code for bench in (first, second)]
    assert sorted(codes) == ["", ErrorCode.E_STATE]
    assert ran.read_text() == "ran\n"


async def test_cmd_17_an_outcome_is_told_to_the_technician_who_asked_for_it_alone(tmp_path: Path) -> None:
    in_force = signed_policy(acme(), [entry("yes", "/usr/bin/true")])
    bench = CommandBench(acme().device(), in_force)
    request = request_for(in_force.policy.catalogue.find("yes"))
    bench.book.take(RequestId(request.request_id), "yes", "bob")
    async with bench:
        bench.send(AskOutcome(request.request_id))
        told = await bench.next()
    assert isinstance(told, CommandOutcome)
    assert told.state == "not_taken"
