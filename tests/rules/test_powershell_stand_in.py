"""The stand-in for PowerShell trips over what people trip over there, and guesses nothing."""

import pytest

from tests.support.dotnet import DotnetError, NotKnown
from tests.support.powershell import PowerShell, Thrown


def result(body: str, *arguments: object) -> object:
    return PowerShell(f"function Test-It([string]$A) {{\n{body}\n}}").call("Test-It", *(arguments or ("a",)))


def test_what_a_statement_leaves_goes_into_the_result() -> None:
    assert result("$l = New-Object System.Collections.ArrayList\n$l.Add(5)\nreturn 7") == [0, 7]
    assert result("$l = New-Object System.Collections.ArrayList\n[void]$l.Add(5)\nreturn 7") == 7


def test_a_returned_list_of_one_becomes_the_one_unless_a_comma_stands_before_it() -> None:
    assert result("$b = New-Object byte[] 1\nreturn $b") == 0
    assert result("$b = New-Object byte[] 1\nreturn , $b") == bytearray(1)


def test_a_variable_that_was_never_set_is_an_error() -> None:
    with pytest.raises(NotKnown, match="never set"):
        result("return $b")


def test_a_caller_s_variable_is_seen() -> None:
    script = "function A([int]$N) { return B }\nfunction B { return $n + 1 }"
    assert PowerShell(script).call("A", 1) == 2


def test_a_throw_and_an_index_beyond_the_end_end_it() -> None:
    with pytest.raises(Thrown):
        result("throw 'no'")
    with pytest.raises(DotnetError):
        result("$b = New-Object byte[] 1\nreturn $b[1]")


@pytest.mark.parametrize(
    "body",
    [
        "return $A -eq 'a'",
        "return 1 -ceq 'a'",
        "Get-Process",
        "return [Guid]::NewGuid()",
        "if ('a') { return 1 }",
        'return "a`n"',
        "switch (1) { 1 { return 2 } }",
    ],
)
def test_what_it_does_not_know_is_refused(body: str) -> None:
    with pytest.raises(NotKnown):
        result(body)
