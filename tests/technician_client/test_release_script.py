"""The one file that a relay hands out as a system's install script."""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocol.errors import UsageError
from protocol.platforms import Platform
from protocol.succession import RootLine, root_fingerprint
from technician_client.release_bundle import ReleaseTerms, create_release
from technician_client.release_script import one_script
from technician_client.release_wheels import read_wheels
from tests.support.dotnet import Stream
from tests.support.powershell import Node, PowerShell, Thrown, nodes, parsed, text_of
from tests.support.releases import SCRIPTS, new_root, stub_wheels


def test_the_windows_script_holds_what_it_takes_in_and_reads_no_other_file() -> None:
    script = one_script(SCRIPTS, "windows").decode("ascii")
    assert "Join-Path $PSScriptRoot" not in script
    assert "takes in what stands" not in script
    names = [node.text for node in nodes(parsed(script)) if node.type == "function_name"]
    assert {b"Get-CheckedBundle", b"Protect-State", b"Start-Installation"} <= set(names)
    assert len(names) == len(set(names))
    assert not [node for node in nodes(parsed(script)) if node.is_broken]
    assert script.rstrip().endswith("Start-Installation"), "cut anywhere before its end it installs nothing"


CMDLETS = {
    *("ConvertFrom-Json", "ForEach-Object", "Get-ChildItem", "Get-CimInstance", "Get-Command", "Get-Content"),
    *("Get-Item", "Get-Service", "Invoke-CimMethod", "Join-Path", "Measure-Object", "New-Item", "New-Object"),
    *("New-Service", "Out-Host", "Pop-Location", "Push-Location", "Remove-Item", "Remove-ItemProperty"),
    *("Resolve-Path", "Restart-Service", "Select-Object", "Set-ItemProperty", "Set-Location"),
    *("Set-StrictMode", "Sort-Object", "Start-Process", "Start-Service", "Start-Sleep", "Stop-Process"),
    *("Stop-Service", "Test-Path", "Where-Object", "Write-Host"),
}
"""Of Windows PowerShell 5.1."""
AUTOMATIC = {
    *("_", "env", "erroractionpreference", "executioncontext", "false", "lastexitcode", "null"),
    *("progresspreference", "pscommandpath", "pshome", "true"),
}


def of_windows() -> Node:
    return parsed(one_script(SCRIPTS, "windows").decode("ascii"))


def test_the_windows_script_calls_nothing_that_is_not_there() -> None:
    own = {text_of(node) for node in nodes(of_windows()) if node.type == "function_name"}
    called = {text_of(node) for node in nodes(of_windows()) if node.type == "command_name"}
    assert called - own - CMDLETS == set()
    assert own - called == set(), "and nothing is left over"


def test_the_windows_script_gives_its_functions_as_many_words_as_they_take() -> None:
    takes = {}
    for function in nodes(of_windows()):
        if function.type == "function_statement":
            name = next(text_of(node) for node in function.children if node.type == "function_name")
            takes[name] = sum(node.type == "script_parameter" for node in nodes(function))
    for command in nodes(of_windows()):
        if command.type == "command" and text_of(command.named_children[0]) in takes:
            words = [
                word
                for elements in command.named_children[1:]
                for word in elements.named_children
                if word.type != "command_argument_sep"
            ]
            assert len(words) == takes[text_of(command.named_children[0])], text_of(command)


def test_the_windows_script_reads_no_variable_that_is_never_set() -> None:
    known = set(AUTOMATIC)
    for node in nodes(of_windows()):
        if node.type in {"left_assignment_expression", "script_parameter"}:
            known |= {variable(each) for each in nodes(node) if each.type == "variable"}
        if node.type == "foreach_statement":
            known.add(variable(node.named_children[0]))
    read = {variable(node) for node in nodes(of_windows()) if node.type == "variable"}
    assert read - known == set()


def variable(node: Node) -> str:
    return re.split(r"[:.]", text_of(node)[1:].strip("{}").lower().removeprefix("script:"))[0]


def test_the_windows_script_that_is_served_checks_the_bundle_beside_it(tmp_path: Path) -> None:
    root, wheels = new_root(tmp_path), read_wheels(stub_wheels(tmp_path / "wheels"))
    terms = ReleaseTerms(
        RootLine(root.der), wheels, SCRIPTS, "windows", "amd64", 30, datetime.now(UTC), b"{}"
    )
    made = create_release(root, terms, tmp_path / "release")
    files = tmp_path / "release" / "files"
    script = PowerShell((files / made.script_sha256).read_text("ascii"))
    with (files / made.bundle_sha256).open("rb") as bundle:
        checked = script.call("Get-CheckedBundle", Stream(bundle), root_fingerprint(root.der))
        assert checked["Release"].platform == "windows"
        with pytest.raises(Thrown):
            script.call("Get-CheckedBundle", Stream(bundle), "0" * 64)


def test_a_script_is_not_made_without_what_it_takes_in(tmp_path: Path) -> None:
    shutil.copytree(SCRIPTS / "windows", tmp_path / "windows")
    (tmp_path / "windows" / "verify.ps1").unlink()
    with pytest.raises(UsageError):
        one_script(tmp_path, "windows")


@pytest.mark.parametrize("platform", ["linux", "macos"])
def test_a_shell_script_holds_what_it_takes_in_and_ends_with_its_only_call(
    tmp_path: Path, platform: Platform
) -> None:
    script = one_script(SCRIPTS, platform).decode()
    assert 'verify.sh"' not in script
    assert "follow_roots()" in script
    assert script.rstrip().endswith('main "$@"'), "cut anywhere before its end it installs nothing"
    shutil.copytree(SCRIPTS / platform, tmp_path / platform)
    with pytest.raises(UsageError):
        one_script(tmp_path, platform)


def test_a_system_without_a_script_has_none(tmp_path: Path) -> None:
    assert one_script(tmp_path, "windows") == b""
