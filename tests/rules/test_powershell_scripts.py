"""The Windows scripts: they parse, stay within Windows PowerShell 5.1, and do nothing that they must not."""

import re
from pathlib import Path

import pytest

from tests.support.powershell import nodes, parsed

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "scripts").rglob("*.ps1"))
LINES_LIMIT = 500
FORBIDDEN_COMMANDS = {
    "add-type": "compiles a program on the computer",
    "invoke-expression": "runs a text",
    "iex": "runs a text",
    "invoke-webrequest": "has no limit of length",
    "import-certificate": "changes whom the computer believes",
    "set-executionpolicy": "changes what others may run",
    "start-transcript": "writes down what is typed",
}
NEWER_THAN_5_1 = {"??", "??=", "?.", "?[", "&&", "||", "ternary_expression", "clean"}

pytestmark = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)


def test_a_script_parses_without_an_error(script: Path) -> None:
    broken = [node for node in nodes(parsed(script.read_text("ascii"))) if node.is_broken]
    assert not broken, [(node.start_point, node.text) for node in broken]


def test_a_script_is_ascii_since_5_1_takes_a_file_without_a_mark_for_the_computers_own_code_page(
    script: Path,
) -> None:
    assert script.read_bytes().isascii()
    assert b"\t" not in script.read_bytes()


def test_a_script_uses_nothing_that_5_1_does_not_know(script: Path) -> None:
    found = {node.type for node in nodes(parsed(script.read_text("ascii")))} & NEWER_THAN_5_1
    assert not found
    assert not re.search(r"\$(PSStyle|IsWindows|IsLinux|IsCoreCLR)\b", script.read_text("ascii"))


def test_a_script_runs_no_command_that_it_must_not(script: Path) -> None:
    names = [
        node.text.decode().lower()
        for node in nodes(parsed(script.read_text("ascii")))
        if node.type == "command_name"
    ]
    assert not {name: FORBIDDEN_COMMANDS[name] for name in names if name in FORBIDDEN_COMMANDS}


def test_a_script_hands_over_no_member_as_a_bare_word_which_powershell_takes_for_text(script: Path) -> None:
    words = [node.text for node in nodes(parsed(script.read_text("ascii"))) if node.type == "generic_token"]
    assert not [word for word in words if b"::" in word]


def test_a_text_has_no_colon_behind_a_variable_which_powershell_takes_for_a_scope(script: Path) -> None:
    texts = [
        node.text.decode()
        for node in nodes(parsed(script.read_text("ascii")))
        if node.type == "expandable_string_literal"
    ]
    assert not [text for text in texts if re.search(r"\$(?!script:|env:)\w+:", text, re.IGNORECASE)]


def test_a_script_has_no_parameter_that_holds_a_secret(script: Path) -> None:
    parameters = [
        node.text.decode().lower()
        for parameter in nodes(parsed(script.read_text("ascii")))
        if parameter.type == "script_parameter"
        for node in parameter.children
        if node.type == "variable"
    ]
    assert not [name for name in parameters if re.search(r"\$(token|password|secret|credential)$", name)]


def test_a_script_that_runs_by_itself_is_strict_and_stops_at_the_first_error(script: Path) -> None:
    text = script.read_text("ascii")
    (statements,) = (node for node in parsed(text).named_children if node.type == "statement_list")
    if all(node.type in {"function_statement", "comment"} for node in statements.named_children):
        return  # its functions run in the script that takes them in
    assert "Set-StrictMode -Version 3" in text
    assert "$ErrorActionPreference = 'Stop'" in text


def test_a_script_stays_small(script: Path) -> None:
    assert len(script.read_text("ascii").splitlines()) <= LINES_LIMIT
