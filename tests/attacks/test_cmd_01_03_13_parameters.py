"""Values that want to be more than one argument (THREATS.md CMD-01, CMD-02, CMD-03, CMD-13).

The oracle is a program that prints its arguments: a value arrives as exactly one element, unchanged, or the
program is not started at all.
"""

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.catalogue import CommandEntry, Parameter
from protocol.errors import ErrorCode, PeerViolation, Refused
from protocol.ids import new_request_id
from protocol.limits import COMMAND_VALUE_LIMIT_CHARS
from protocol.messages.commands import FROM_TECHNICIAN_CODEC
from tests.support.approved_commands import CommandBench, entry, signed_policy
from tests.support.command_probes import ECHO, PYTHON, TEXT_TYPES, echo_bench, echoed, script
from tests.support.organisation import acme

pytestmark = pytest.mark.beside

METACHARACTERS = [
    *(";id", "a|b", "a&b", "a&&b", "$(id)", "`id`", "%PATH%", "%COMSPEC%", "^", "!", ">x", "<x", "*", "?"),
    *("'", '"', "$HOME", "a b", "\\", "~", "#x", "{x}", "[a-z]", "a;b", "\u037e", "\uff1bid", "a\u00a0b"),
]


def one_of(*choices: str) -> dict[str, Any]:
    return {"type": "choice", "choices": list(choices), "description": "Any text"}


def compiled(parameter: dict[str, Any]) -> CommandEntry:
    """An entry with one parameter `value`."""
    document = entry("echo", "/usr/bin/echo", "{value}", parameters={"value": parameter})
    return msgspec.convert(document, CommandEntry)


def is_let_through(parameter: dict[str, Any], value: str) -> bool:
    try:
        argv = compiled(parameter).build_argv({"value": value})
    except Refused as exc:
        assert exc.code is ErrorCode.E_COMMAND_PARAMETER
        return False
    assert argv == ["/usr/bin/echo", value]
    return True


# as long as a value may be, and only at the end not what the patterns look for
WORST_VALUES = [
    (text * COMMAND_VALUE_LIMIT_CHARS)[: COMMAND_VALUE_LIMIT_CHARS - 1] + "!"
    for text in ("a", "a-", "-", "1", "a.", "a" * 62 + ".", "a_", "0")
]


@pytest.mark.real
async def test_cmd_01_metacharacters_that_were_signed_arrive_as_one_element_each(tmp_path: Path) -> None:
    texts = [text for text in METACHARACTERS if text.isprintable()]
    for group in (texts[:14], texts[14:]):
        parameters = {f"p{number}": one_of(text) for number, text in enumerate(group)}
        argv = [PYTHON, script(tmp_path, ECHO), *(f"{{{name}}}" for name in parameters)]
        in_force = signed_policy(acme(), [entry("echo", *argv, parameters=parameters)])
        async with CommandBench(acme().device(), in_force) as bench:
            outcome = await bench.run("echo", **{f"p{number}": text for number, text in enumerate(group)})
        assert echoed(outcome) == group


@pytest.mark.parametrize("kind", TEXT_TYPES)
@pytest.mark.parametrize("text", METACHARACTERS)
def test_cmd_01_every_other_type_refuses_metacharacters(kind: str, text: str) -> None:
    assert not is_let_through(TEXT_TYPES[kind], text)
    assert not is_let_through(TEXT_TYPES[kind], f"1{text}1")


@pytest.mark.real
@pytest.mark.parametrize(
    ("kind", "value"), [("hostname", "example.org"), ("service", "ssh@1.service"), ("integer", "42")]
)
async def test_cmd_01_control_an_honest_value_arrives(tmp_path: Path, kind: str, value: str) -> None:
    async with echo_bench(tmp_path, TEXT_TYPES[kind]) as bench:
        assert echoed(await bench.run("echo", value=value)) == [value]


@settings(max_examples=300)
@given(st.sampled_from(sorted(TEXT_TYPES)), st.text(max_size=COMMAND_VALUE_LIMIT_CHARS + 2))
def test_cmd_01_whatever_a_type_lets_through_is_harmless_to_any_shell(kind: str, value: str) -> None:
    if is_let_through(TEXT_TYPES[kind], value):
        assert value.isascii()
        assert not set(value) & set(";|&$`%^!<>*?'\"\\ ~#{}()[]\n\r\t\0=,")
        assert value[0] not in "-/@+"


@pytest.mark.parametrize("kind", [*TEXT_TYPES, "choice"])
@pytest.mark.parametrize(
    "text", ["a\0b", "a\rb", "a\nb", "a\r\nb", "\0", "a\x1b[31mb", "a\u2028b", "a\u202eb"]
)
def test_cmd_02_nul_and_line_ends_are_refused_by_every_type(kind: str, text: str) -> None:
    assert not is_let_through(TEXT_TYPES.get(kind) or one_of("ab"), text)
    with pytest.raises(ValueError, match=r"cannot be shown|default"):
        compiled(one_of("fine") | {"default": text})


async def test_cmd_02_a_value_of_a_megabyte_is_refused_before_it_is_looked_at(tmp_path: Path) -> None:
    for length in (COMMAND_VALUE_LIMIT_CHARS + 1, 1 << 20):
        async with echo_bench(tmp_path, TEXT_TYPES["hostname"]) as bench:
            request = {
                "type": "commands.run_command",
                "request_id": new_request_id(),
                "command_id": "echo",
                "entry_sha256": "0" * 64,
                "parameters": {"value": "a" * length},
            }
            bench.channel.feed(msgspec.msgpack.encode(request))
            assert bench.serving is not None
            with pytest.raises(PeerViolation) as refused:
                await bench.serving
            assert refused.value.code in (ErrorCode.E_MESSAGE_FORMAT, ErrorCode.E_MESSAGE_SIZE)


@pytest.mark.parametrize("kind", TEXT_TYPES)
@pytest.mark.parametrize(
    "text", ["-rf", "--help", "-", "--", "/etc/passwd", "/x", "@file", "+x", "-oProxyCommand=x"]
)
def test_cmd_03_what_looks_like_an_option_is_refused(kind: str, text: str) -> None:
    assert not is_let_through(TEXT_TYPES[kind], text)


@pytest.mark.parametrize("text", ["-rf", "--help", "/etc/passwd", "@file", "+x"])
def test_cmd_03_control_the_organisation_may_sign_an_option_as_a_choice(text: str) -> None:
    assert is_let_through(one_of(text, "other"), text)
    assert not is_let_through(one_of("other"), text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            ("integer", text)
            for text in ("100", "-1", "1.0", "1e1", "0x1", "01", "\u0661", "NaN", "True", "")
        ),
        *(("integer", text) for text in ("9" * 30, "1_0", " 1", "1 ", "inf")),
        *(("hostname", text) for text in ("", ".", "a..b", "-a.b", "a-.b", "a" * 64, "a." * 127 + "a")),
        *(("hostname", text) for text in ("fe80::1%eth0", "\u212a.org", "b\u00fccher.de", "a/b", "../etc")),
        *(("service", text) for text in ("..", "a..b", "../ssh", "a/b", "", "a" * 129, "\uff41")),
        *(("choice", text) for text in ("", "B", "b ", "a,b", "\uff42")),
    ],
)
def test_cmd_13_a_value_outside_of_its_type_is_refused(kind: str, value: str) -> None:
    assert not is_let_through(TEXT_TYPES.get(kind) or one_of("a", "b"), value)


@pytest.mark.parametrize("value", [1, True, None, 1.5, ["a"], {"a": "b"}, b"a"], ids=repr)
def test_cmd_13_a_value_that_is_no_text_is_no_message(value: object) -> None:
    fields = {
        "type": "commands.run_command",
        "request_id": new_request_id(),
        "command_id": "echo",
        "entry_sha256": "0" * 64,
        "parameters": {"value": value},
    }
    with pytest.raises(PeerViolation):
        FROM_TECHNICIAN_CODEC.decode(msgspec.msgpack.encode(fields))
    assert FROM_TECHNICIAN_CODEC.decode(msgspec.msgpack.encode(fields | {"parameters": {"value": "a"}}))


@pytest.mark.parametrize(
    "unsafe",
    [
        {"minimum": "1"},
        {"minimum": True},
        {"maximum": 1e400},
        {"maximum": float("nan")},
        {"minimum": 5, "maximum": 4},
        {"minimum": -1},
        {"default": "100"},
        {"default": 5},
        {"more": 1},
    ],
    ids=str,
)
def test_cmd_13_a_catalogue_with_a_bound_that_is_none_is_refused(unsafe: dict[str, Any]) -> None:
    document = json.dumps(entry("x", "/x", "{v}", parameters={"v": TEXT_TYPES["integer"] | unsafe}))
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        msgspec.json.decode(document, type=CommandEntry, strict=True)


def test_cmd_13_no_pattern_comes_with_a_catalogue_and_the_worst_values_for_ours_are_refused() -> None:
    """A pattern that takes long would have to be ours: there is no parameter that carries one."""
    members = {name for kind in get_args(Parameter) for name in kind.__struct_fields__}
    assert members == {"description", "default", "minimum", "maximum", "choices"}
    for kind in TEXT_TYPES:
        for text in WORST_VALUES:
            assert not is_let_through(TEXT_TYPES[kind], text)
