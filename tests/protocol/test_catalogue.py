"""The catalogue: what may be started at all, and what a value can never become."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.catalogue import Catalogue, CommandEntry, is_host
from protocol.errors import ErrorCode, Refused
from protocol.policy import default_policy
from tests.support.organisation import acme

ENTRY = {
    "command_id": "ping",
    "title": "Ping",
    "person_text": "Checks whether another computer answers.",
    "argv": ["/usr/bin/ping", "-c", "{count}", "{host}"],
    "parameters": {
        "host": {"type": "hostname", "description": "Where to"},
        "count": {
            "type": "integer",
            "description": "How many",
            "minimum": 1,
            "maximum": 10,
            "default": "4",
        },
    },
    "platforms": ["linux"],
    "timeout_s": 30,
    "output_limit_bytes": 65536,
    "risk": "low",
}


def read(**changes):
    return msgspec.convert({**ENTRY, **changes}, CommandEntry)


def with_parameter(**terms):
    return read(argv=["/usr/bin/true", "{x}"], parameters={"x": {"description": "A value", **terms}})


def shipped():
    document = default_policy(acme().organisation_id, now=acme().now)["catalogue"]
    return msgspec.convert(document, Catalogue)


def refusal_of(entry, given):
    with pytest.raises(Refused) as refusal:
        entry.build_argv(given)
    assert refusal.value.code is ErrorCode.E_COMMAND_PARAMETER
    return refusal.value.detail


def test_a_value_becomes_exactly_one_element():
    assert read().build_argv({"host": "db.example"}) == ["/usr/bin/ping", "-c", "4", "db.example"]
    assert read().build_argv({"host": "::1", "count": "7"})[2:] == ["7", "::1"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "host is missing"),
        ({"host": "a", "count": "0"}, "count"),
        ({"host": "a", "count": "11"}, "count"),
        ({"host": "a", "count": "07"}, "count"),
        ({"host": "a", "count": "1e1"}, "count"),
        ({"host": "a", "count": "٣"}, "count"),
        ({"host": "a", "count": "-1"}, "count"),
        ({"host": "a", "size": "9"}, "'size'"),
        ({"host": "-f"}, "host"),
        ({"host": "--help"}, "host"),
        ({"host": ""}, "host"),
        ({"host": "a b"}, "host"),
        ({"host": "a;reboot"}, "host"),
        ({"host": "$(reboot)"}, "host"),
        ({"host": "a\nb"}, "host"),
        ({"host": "a\0b"}, "host"),
        ({"host": "a\r"}, "host"),
        ({"host": "fe80::1%eth0"}, "host"),
        ({"host": "ex\u0430mple.com"}, "host"),
        ({"host": "a" * 257}, "host"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_name(given, named):
    assert named in refusal_of(read(), given)


@pytest.mark.parametrize("value", ["cups", "getty@tty1.service", "dbus-org.freedesktop.login1", "a_b:c"])
def test_names_of_services_are_allowed(value):
    assert with_parameter(type="service").build_argv({"x": value})[1] == value


@pytest.mark.parametrize(
    "value", ["-cups", "@x", "/etc/passwd", "a/b", "../a", "a..b", "a b", "a*", "--now", "+x"]
)
def test_what_is_not_the_name_of_a_service_is_refused(value):
    refusal_of(with_parameter(type="service"), {"x": value})


def test_a_choice_is_exactly_one_of_its_words_and_may_look_like_an_option():
    entry = with_parameter(type="choice", choices=["--all", "some"])
    assert entry.build_argv({"x": "--all"})[1] == "--all"
    for value in ("--al", "all", "some ", "SOME", ""):
        refusal_of(entry, {"x": value})


@settings(max_examples=400)
@given(
    st.sampled_from(["hostname", "service", "integer"]),
    st.text(max_size=40) | st.from_regex(r"[-+/@][ -~]{0,10}"),
)
def test_no_typed_value_can_become_an_option_or_a_second_line(kind, value):
    bounds = {"minimum": 0, "maximum": 10**12} if kind == "integer" else {}
    try:
        argv = with_parameter(type=kind, **bounds).build_argv({"x": value})
    except Refused:
        return
    assert argv[1:] == [value]
    assert not value.startswith(("-", "/", "+", "@"))
    assert value.isprintable()
    assert value.isascii()


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["ping"],
        ["./ping"],
        ["usr/bin/ping"],
        ["/usr/bin/../bin/ping"],
        ["//host/share/tool"],
        ["\\\\host\\share\\tool.exe"],
        ["C:tool.exe"],
        ["C:\\Tools\\fix.bat"],
        ["C:\\Tools\\FIX.CMD"],
        ["/bin/sh", "-c", "reboot"],
        ["/usr/bin/bash"],
        ["/usr/bin/env", "reboot"],
        ["C:\\Windows\\System32\\cmd.exe"],
        ["C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"],
        ["{host}"],
        ["/usr/bin/ping", ""],
        ["/usr/bin/ping", "a\nb"],
        ["/usr/bin/ping", "a\0b"],
    ],
)
def test_a_program_that_is_not_plain_and_absolute_is_refused(argv):
    with pytest.raises(msgspec.ValidationError):
        read(argv=argv, parameters={})


def test_a_windows_program_with_a_drive_is_allowed():
    assert read(argv=["C:\\Windows\\System32\\ipconfig.exe"], parameters={}, platforms=["windows"])


@pytest.mark.parametrize(
    "changes",
    [
        {"argv": ["/usr/bin/ping", "--host={host}", "{count}"]},
        {"argv": ["/usr/bin/ping", "{host}", "{other}", "{count}"]},
        {"argv": ["/usr/bin/ping", "{host}"]},
        {"argv": ["/usr/bin/ping", "{host}", "{count}", "{"]},
        {"risk": "none"},
        {"timeout_s": 0},
        {"timeout_s": 601},
        {"output_limit_bytes": 1 << 30},
        {"platforms": []},
        {"platforms": ["beos"]},
        {"command_id": "Ping Host"},
        {"command_id": "ping\n"},
        {"title": "a\u202eb"},
        {"person_text": ""},
        {"shell": True},
        {"parameters": {"host": {"type": "text", "description": "x"}}},
        {"parameters": {"host": {"type": "hostname", "description": "x", "default": "-f"}}},
        {"parameters": {"host": {"type": "choice", "description": "x", "choices": []}}},
        {"parameters": {"host": {"type": "integer", "description": "x", "minimum": -5, "maximum": 5}}},
        {"parameters": {"host": {"type": "integer", "description": "x", "minimum": 6, "maximum": 5}}},
    ],
)
def test_an_entry_that_is_not_well_formed_is_refused(changes):
    with pytest.raises(msgspec.ValidationError):
        read(**changes)


def test_two_commands_of_one_name_are_refused():
    with pytest.raises(msgspec.ValidationError, match="ping"):
        msgspec.convert({"commands": [ENTRY, ENTRY]}, Catalogue)


def test_an_unknown_command_is_refused_without_echoing_control_characters():
    with pytest.raises(Refused) as refusal:
        shipped().find("rm\x1b[2J-everything")
    assert refusal.value.code is ErrorCode.E_COMMAND_UNKNOWN
    assert "\x1b" not in refusal.value.detail


def test_the_hash_of_an_entry_changes_with_everything_that_is_shown_or_started():
    base = read().sha256
    assert len(base) == 64
    assert msgspec.convert(json.loads(json.dumps(ENTRY)), CommandEntry).sha256 == base
    others = [
        read(title="Ping!"),
        read(person_text="Something else."),
        read(argv=["/usr/bin/ping", "-c", "{count}", "--", "{host}"]),
        read(timeout_s=31),
        read(risk="medium"),
    ]
    assert len({base, *(entry.sha256 for entry in others)}) == 6


@pytest.mark.parametrize(
    "text", ["a", "a.b.example", "192.0.2.1", "2001:db8::1", "_dmarc.example.com", "x-y"]
)
def test_hosts_are_recognised(text):
    assert is_host(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "a.", "-a", "a-", "a" * 64, "a." * 127 + "aa", "a:b", "a/b"]
)
def test_what_is_not_a_host_is_recognised(text):
    assert not is_host(text)


# the catalogue that comes with Alongside


def test_the_shipped_catalogue_has_the_commands_of_the_documents():
    ids = {entry.command_id for entry in shipped().entries}
    assert ids >= {
        "disk-usage",
        "dns-lookup",
        "ping",
        "service-status",
        "service-log",
        "user-service-restart",
        "memory",
        "uptime",
        "network-addresses",
    }


@pytest.mark.parametrize("entry", shipped().entries, ids=lambda entry: entry.command_id)
def test_a_shipped_command_is_plain_and_says_what_the_person_reads(entry):
    assert entry.argv[0].startswith("/usr/bin/")
    assert entry.person_text.endswith(".")
    samples = {"hostname": "localhost", "service": "cups", "integer": "3"}
    tags = {name: type(parameter).__struct_config__.tag for name, parameter in entry.parameters.items()}
    argv = entry.build_argv({name: samples[tag] for name, tag in tags.items()})
    assert len(argv) == len(entry.argv)
    assert "{" not in "".join(argv)


@pytest.mark.parametrize("program", ["df", "cat", "getent"])
def test_shipped_paths_are_the_ones_of_this_system(program):
    path = Path("/usr/bin") / program
    if not path.parent.is_dir():
        pytest.skip("needs a Linux with programs in /usr/bin")
    assert path.exists()
