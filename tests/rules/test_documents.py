"""The documents are complete: what is on a wire, in a log or on a command line is written down."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import msgspec
import pytest

import protocol.messages
from protocol import code_life, consent, limits, session
from protocol.audit import AuditKind
from protocol.channels import CHANNEL_TERMS
from protocol.error_codes import ERROR_TEXTS, ErrorCode
from protocol.errors import ExitStatus
from protocol.grantables import PLAIN_WORDS, Grantable

ROOT = Path(__file__).parents[2]
SPECIFICATION = (ROOT / "protocol" / "PROTOCOL.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
MESSAGE_MODULES = [
    *(f"protocol.messages.{found.name}" for found in pkgutil.iter_modules(protocol.messages.__path__)),
    "agent.desktop.ipc_messages",
]


def messages():
    for name in MESSAGE_MODULES:
        for kind in vars(importlib.import_module(name)).values():
            is_ours = inspect.isclass(kind) and issubclass(kind, msgspec.Struct) and kind.__module__ == name
            if is_ours and kind.__struct_config__.tag:
                yield kind


MESSAGES = sorted(set(messages()), key=lambda kind: kind.__struct_config__.tag)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__struct_config__.tag)
def test_a_message_and_its_fields_are_in_the_specification(kind):
    row = next(
        (
            line
            for line in SPECIFICATION.splitlines()
            if line.startswith(f"| `{kind.__struct_config__.tag}` |")
        ),
        None,
    )
    assert row is not None
    assert all(f"`{field}`" in row for field in kind.__struct_fields__)


def test_no_two_messages_share_a_type():
    tags = [kind.__struct_config__.tag for kind in MESSAGES]
    assert len(tags) == len(set(tags))


@pytest.mark.parametrize("code", list(ErrorCode))
def test_an_error_code_has_a_text_and_is_in_the_specification_with_it(code):
    sentence, remedy, status = ERROR_TEXTS[code]
    assert f"| `{code}` | {sentence} | {remedy} | {status} |" in SPECIFICATION
    assert ExitStatus(status) is not ExitStatus.OK


@pytest.mark.parametrize("name", [name for name in vars(limits) if name.isupper()])
def test_a_limit_is_in_the_specification_with_its_value(name):
    value = getattr(limits, name)
    shown = f"{value:,}" if isinstance(value, int) else f"{value:g}"
    assert f"| `{name}` | {shown} |" in SPECIFICATION


@pytest.mark.parametrize("machine", [session, consent, code_life], ids=["session", "consent", "code_life"])
def test_every_transition_is_in_the_specification(machine):
    for (state, given), then in machine.TRANSITIONS.items():
        assert f"| {state.name} | {given.name} | {then.name} |" in SPECIFICATION


@pytest.mark.parametrize("kind", list(AuditKind))
def test_an_audit_kind_is_in_the_specification(kind):
    assert f"`{kind}`" in SPECIFICATION


@pytest.mark.parametrize("grantable", list(Grantable))
def test_a_grant_is_in_the_specification_as_the_person_reads_it(grantable):
    assert f"| `{grantable}` | `{grantable.capability}` | {PLAIN_WORDS[grantable]} |" in SPECIFICATION


def test_every_grant_has_a_channel_and_every_channel_a_grant():
    assert {grantable.capability for grantable in Grantable} == set(CHANNEL_TERMS)


@pytest.mark.parametrize("word", ["scripts/quickstart.sh", "scripts/test.sh", "Not yet run on", "Apache-2.0"])
def test_the_readme_names(word):
    assert word in README


def test_the_documents_name_no_place_of_the_workshop():
    """Paths of one machine and download addresses do not belong into the project."""
    marks = (
        "/root/",
        "/tmp/brief",
        "py" + "pi.org",
        "python" + "hosted",
        "registry.npm" + "js",
        "deb." + "debian",
    )
    suffixes = {".md", ".py", ".sh", ".js", ".toml", ".json", ".css", ".html"}
    found = [
        f"{path.relative_to(ROOT)}: {mark}"
        for path in ROOT.rglob("*")
        if path.suffix in suffixes
        and not {".venv", ".git", ".mypy_cache", ".ruff_cache", ".hypothesis"} & set(path.parts)
        and path != Path(__file__)
        for mark in marks
        if mark in path.read_text("utf-8", errors="replace")
    ]
    assert not found
