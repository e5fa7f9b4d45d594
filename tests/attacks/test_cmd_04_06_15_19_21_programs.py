"""Programs and what surrounds them (THREATS.md CMD-04, CMD-05, CMD-06, CMD-15, CMD-19, CMD-21)."""

import json
import os
from pathlib import Path

import msgspec
import psutil
import pytest

from agent.exec.program_place import settled_program
from protocol.catalogue import CommandEntry
from protocol.errors import ErrorCode, SupportError
from protocol.limits import COMMANDS_AT_ONCE_LIMIT, COMMANDS_WAITING_LIMIT
from technician_client.cli.terminal_text import TerminalText
from tests.support.approved_commands import CommandBench, Outcome, entry, signed_policy
from tests.support.command_probes import PYTHON, script
from tests.support.organisation import acme

pytestmark = pytest.mark.beside

HOSTILE_NAMES = [
    *(
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "BASH_ENV",
        "ENV",
        "IFS",
        "COMSPEC",
    ),
    *("PSModulePath", "LC_ALL", "LANG", "LANGUAGE", "TZ", "HOME", "SHELLOPTS", "PERL5LIB", "GCONV_PATH"),
]
TELL_ALL = """
import json, os, sys
names = {name: value for name, value in os.environ.items() if name != "LC_CTYPE"}  # Python's own, PEP 538
print(json.dumps([names, os.getcwd(), sys.path[0], __import__("planted_or_not").WHERE]))
"""


def bench_with(*argv: str, **terms: object) -> CommandBench:
    return CommandBench(acme().device(), signed_policy(acme(), [entry("it", *argv, **terms)]))


async def ran(*argv: str, **terms: object) -> Outcome:
    async with bench_with(*argv, **terms) as bench:
        return await bench.run("it")


@pytest.mark.real
async def test_cmd_04_06_a_program_sees_the_fixed_environment_and_folder_and_nothing_that_was_planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, tools = tmp_path / "planted", tmp_path / "tools"
    for folder in (planted, tools):
        folder.mkdir()
        (folder / "planted_or_not.py").write_text(f"WHERE = {folder.name!r}")
    (planted / "json.py").write_text("raise SystemExit(66)")
    (planted / "python3").write_text("#!/bin/sh\nexit 67\n")
    (planted / "python3").chmod(0o755)
    for name in HOSTILE_NAMES:
        monkeypatch.setenv(name, str(planted))
    monkeypatch.chdir(planted)
    outcome = await ran(PYTHON, script(tools, TELL_ALL))
    assert outcome.ended is not None
    assert outcome.ended.exit_status == 0, outcome.output("stderr")
    names, folder, first_of_path, where = json.loads(outcome.output())
    assert names.keys() == {"PATH", "LANG", "HOME"}
    assert str(planted) not in json.dumps(names)
    assert (folder, first_of_path, where) == ("/", str(tools), "tools")


@pytest.mark.parametrize(
    "program",
    [
        *(
            "whoami",
            "./whoami",
            "bin/whoami",
            "~/whoami",
            "$HOME/whoami",
            "",
            " /usr/bin/id",
            "../usr/bin/id",
        ),
        *("/usr/bin/../../tmp/id", "//server/share/id", "\\\\server\\share\\id.exe", "C:id.exe", "\\id.exe"),
        *("/bin/sh", "/usr/bin/env", "/usr/bin/bash", "C:\\Windows\\System32\\cmd.exe", "C:\\x\\run.BAT"),
    ],
)
def test_cmd_05_06_only_a_plain_absolute_path_to_no_shell_is_a_program(program: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(entry("it", program), CommandEntry)
    assert msgspec.convert(entry("it", "/usr/bin/id"), CommandEntry).argv == ("/usr/bin/id",)


@pytest.mark.real
async def test_cmd_15_output_without_end_is_capped_and_ended_with_every_grandchild(tmp_path: Path) -> None:
    """The grandchild left the session, ignores SIGTERM and holds the pipe open."""
    text = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    with open(sys.argv[1], "w") as file:
        file.write(str(os.getpid()))
while True:
    os.write(1, bytes(65536) + b"\\x1b[2J")
"""
    pid_file = tmp_path / "pid"
    outcome = await ran(
        PYTHON, script(tmp_path, text), str(pid_file), timeout_s=1, output_limit_bytes=100_000
    )
    assert outcome.ended is not None
    assert (outcome.ended.is_truncated, outcome.code) == (True, ErrorCode.E_COMMAND_TIMEOUT)
    assert len(outcome.output()) == 100_000
    grandchild = int(pid_file.read_text())
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_cmd_15_escapes_of_a_command_never_reach_the_technician_s_terminal() -> None:
    hostile = b"\x1b]0;title\x07\x1b[2J\x9b31m\x1b]52;c;aGk=\x07ok\x08\x7f\r\n\xe2\x80\xae\xff"
    for cut in range(len(hostile) + 1):
        text = TerminalText()
        shown = text.feed(hostile[:cut]) + text.feed(hostile[cut:]) + text.end()
        assert "ok" in shown
        assert not {character for character in shown if not character.isprintable()} - {"\n"}


@pytest.mark.real
async def test_cmd_19_of_a_hundred_commands_a_few_run_a_few_wait_and_the_rest_is_busy(tmp_path: Path) -> None:
    """The program counts how many of it run: more than the places are never there at once."""
    text = """
import os, sys, time
mine = os.path.join(sys.argv[1], str(os.getpid()))
open(mine, "w").close()
print(len(os.listdir(sys.argv[1])))
time.sleep(0.3)
os.remove(mine)
"""
    counted = tmp_path / "counted"
    counted.mkdir()
    in_force = signed_policy(acme(), [entry("it", PYTHON, script(tmp_path, text), str(counted))])
    bench = CommandBench(acme().device(), in_force)
    async with bench:
        requests = [bench.ask("it") for _ in range(100)]
        outcomes = [await bench.outcome(request) for request in requests]
    ended = [outcome for outcome in outcomes if outcome.ended is not None]
    assert {outcome.code for outcome in outcomes if outcome.refused is not None} == {ErrorCode.E_BUSY}
    assert len(ended) == COMMANDS_AT_ONCE_LIMIT + COMMANDS_WAITING_LIMIT
    assert max(int(outcome.output()) for outcome in ended) <= COMMANDS_AT_ONCE_LIMIT


def own_program(folder: Path) -> Path:
    """A program that nobody else can change."""
    folder.mkdir(parents=True)
    program = folder / "tool"
    program.write_bytes(Path("/usr/bin/true").read_bytes())
    program.chmod(0o755)
    return program


@pytest.mark.real
@pytest.mark.parametrize("what", ["file", "folder", "folder above", "link"])
async def test_cmd_21_a_program_that_others_can_exchange_is_not_started(tmp_path: Path, what: str) -> None:
    program = own_program(tmp_path / "above" / "tools")
    named = program
    if what == "link":  # the link is ours, and what it points at lies where anybody writes
        named = tmp_path / "link"
        named.symlink_to(program)
        program.parent.chmod(0o777)
    opened = {"file": program, "folder": program.parent, "folder above": program.parent.parent}
    assert (await ran(str(named))).code == ("" if what != "link" else ErrorCode.E_COMMAND_UNSAFE)
    if what != "link":
        opened[what].chmod(0o777)
    outcome = await ran(str(named))
    assert outcome.code == ErrorCode.E_COMMAND_UNSAFE
    assert outcome.started is None


@pytest.mark.real
async def test_cmd_21_a_link_that_changes_after_the_look_changes_nothing(tmp_path: Path) -> None:
    """What is started is the file that was looked at, whatever the link says by then."""
    program, other = own_program(tmp_path / "a"), own_program(tmp_path / "b")
    link = tmp_path / "link"
    link.symlink_to(program)
    settled = settled_program(str(link))
    link.unlink()
    link.symlink_to(other)
    assert settled == str(program)


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root, to give a file to another user")
def test_cmd_21_a_program_of_another_user_is_not_started(tmp_path: Path) -> None:
    program = own_program(tmp_path / "tools")
    os.chown(program, 65534, 65534)
    with pytest.raises(SupportError) as refused:
        settled_program(str(program))
    assert refused.value.code is ErrorCode.E_COMMAND_UNSAFE


def test_cmd_21_what_is_no_file_is_missing(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for path in (tmp_path, tmp_path / "absent", circle, Path("/dev/null")):
        with pytest.raises(SupportError) as refused:
            settled_program(str(path))
        assert refused.value.code is ErrorCode.E_COMMAND_MISSING
