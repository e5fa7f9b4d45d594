"""Every command of the three programs: DESIGN.md section 8 gives each one --json, --data and a help text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
import typer

from agent.cli import app as agent
from relay.cli import app as relay
from technician_client.cli.program import app as technician

LONGEST_SUMMARY_CHARS = 120


@dataclass(frozen=True)
class Command:
    """One command, as a person types it."""

    words: str
    call: object
    options: frozenset[str] = field(repr=False)
    arguments_without_help: frozenset[str] = field(repr=False)

    @property
    def help(self) -> str:
        """Its help text."""
        return str(getattr(self.call, "__doc__", None) or "")


def commands_of(app: typer.Typer, words: str) -> Iterator[Command]:
    """This program's commands and those of its groups."""
    for registered in app.registered_commands:
        call = registered.callback
        assert call is not None
        name = registered.name or call.__name__.replace("_", "-")
        hints = [hint for hint in get_type_hints(call, include_extras=True).values() if _is_annotated(hint)]
        options = frozenset(name for hint in hints for name in _names(hint))
        silent = frozenset(str(hint) for hint in hints if not _parameter(hint).help)
        yield Command(f"{words} {name}", call, options, silent)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands_of(group.typer_instance, f"{words} {group.name}")


def _is_annotated(hint: object) -> bool:
    return get_origin(hint) is Annotated


def _parameter(hint: object) -> typer.models.ParameterInfo:
    [parameter] = [one for one in get_args(hint) if isinstance(one, typer.models.ParameterInfo)]
    return parameter


def _names(hint: object) -> list[str]:
    parameter = _parameter(hint)
    # in Annotated the first name lands in `default`; a name that is left out is made of the variable's
    return [str(parameter.default), *(parameter.param_decls or ())]


COMMANDS = [
    *commands_of(technician, "alongside"),
    *commands_of(agent, "alongside-agent"),
    *commands_of(relay, "alongside-relay"),
]


def test_the_three_programs_have_the_commands_of_the_design() -> None:
    words = {command.words for command in COMMANDS}
    assert {
        "alongside-relay serve",
        "alongside org init",
        "alongside org technician add",
        "alongside policy publish",
        "alongside fleet token create",
        "alongside connect",
        "alongside console",
        "alongside run",
        "alongside diagnose",
        "alongside audit verify",
        "alongside-agent join",
        "alongside-agent run",
        "alongside-agent status",
        "alongside-agent doctor",
        "alongside-agent history",
        "alongside-agent leave",
        "alongside-agent help-me",
    } <= words


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_a_command_takes_data_and_json_and_explains_itself(command: Command) -> None:
    assert {"--data", "--json"} <= command.options
    assert not command.arguments_without_help
    summary = command.help.partition("\n")[0]
    assert summary.endswith(".")
    assert len(summary) <= LONGEST_SUMMARY_CHARS


@pytest.mark.parametrize("app", [technician, agent, relay], ids=lambda app: app.info.name)
def test_a_program_documents_its_exit_statuses(app: typer.Typer) -> None:
    assert app.info.epilog is not None
    assert app.info.epilog.startswith("Exit statuses: 0 done, ")
