"""The catalogue of approved commands: named templates with typed parameters, argv only, never a shell.

A template's element is either plain text or "{name}", which becomes exactly one element of the argv. What
a value may look like is the parameter's type; none but a choice lets a value begin like an option.
"""

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode, Refused
from protocol.limits import (
    COMMAND_OUTPUT_LIMIT_BYTES,
    COMMAND_PARAMETERS_LIMIT,
    COMMAND_TIMEOUT_LIMIT_S,
    COMMAND_VALUE_LIMIT_CHARS,
)
from protocol.names import shown_text
from protocol.platforms import Platform

CATALOGUE_ENTRIES_LIMIT: Final = 200
_ARGV_LIMIT: Final = 64

Word = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}\Z")]
Line = Annotated[str, Meta(min_length=1, max_length=300)]
Element = Annotated[str, Meta(min_length=1, max_length=COMMAND_VALUE_LIMIT_CHARS)]
Risk: TypeAlias = Literal["low", "medium", "high"]

_PLACEHOLDER: Final = re.compile(r"\{([a-z0-9][a-z0-9_-]{0,47})\}")
_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_SERVICE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@-]{0,127}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_OPTION_LIKE: Final = ("-", "/", "+", "@")
_HOST_LIMIT_CHARS: Final = 253
# a shell turns one argument back into a program, and a batch file is run by one (CVE-2024-24576)
_SHELLS: Final = frozenset(
    {"sh", "bash", "dash", "ash", "zsh", "ksh", "csh", "tcsh", "fish", "busybox", "env"}
)
_WINDOWS_SHELLS: Final = frozenset({"cmd", "powershell", "pwsh", "wscript", "cscript", "mshta"})
_BATCH_ENDINGS: Final = frozenset({".bat", ".cmd"})


class _Typed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", kw_only=True):
    description: Line
    default: Element | None = None

    def fault(self, value: str) -> str:
        """What is wrong with this value, or ""; a type without a rule of its own takes nothing."""
        return "has no rule"


class HostnameParameter(_Typed, frozen=True, tag="hostname"):
    """A host name (RFC 1123, 2.1, with underscores) or an IP address without a zone."""

    def fault(self, value: str) -> str:
        """What is wrong with this value, or ""."""
        return "" if is_host(value) else "is not a host name or an IP address"


class ServiceParameter(_Typed, frozen=True, tag="service"):
    """The name of a system service, as systemd writes it."""

    def fault(self, value: str) -> str:
        """What is wrong with this value, or ""."""
        return "" if _SERVICE.fullmatch(value) and ".." not in value else "is not the name of a service"


class IntegerParameter(_Typed, frozen=True, tag="integer"):
    """A whole number in decimal, both bounds included; there are no negative ones."""

    minimum: Annotated[int, Meta(ge=0, le=10**12)]
    maximum: Annotated[int, Meta(ge=0, le=10**12)]

    def __post_init__(self) -> None:
        if self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")

    def fault(self, value: str) -> str:
        """What is wrong with this value, or ""."""
        if _NUMBER.fullmatch(value) and self.minimum <= int(value) <= self.maximum:
            return ""
        return f"is not a whole number from {self.minimum} to {self.maximum}"


class ChoiceParameter(_Typed, frozen=True, tag="choice"):
    """One of the listed words; the organisation signed them, so they may look like options."""

    choices: Annotated[tuple[Element, ...], Meta(min_length=1, max_length=64)]

    def fault(self, value: str) -> str:
        """What is wrong with this value, or ""."""
        return "" if value in self.choices else f"is not one of: {', '.join(self.choices)}"


Parameter: TypeAlias = HostnameParameter | ServiceParameter | IntegerParameter | ChoiceParameter


class CommandEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One approved command. `person_text` is what the person at the device reads.

    `needs_second_person` may be said of any risk; a high risk always takes two people.
    """

    command_id: Word
    title: Annotated[str, Meta(min_length=1, max_length=80)]
    person_text: Line
    argv: Annotated[tuple[Element, ...], Meta(min_length=1, max_length=_ARGV_LIMIT)]
    parameters: Annotated[dict[Word, Parameter], Meta(max_length=COMMAND_PARAMETERS_LIMIT)] = {}
    platforms: Annotated[tuple[Platform, ...], Meta(min_length=1, max_length=3)]
    timeout_s: Annotated[int, Meta(ge=1, le=COMMAND_TIMEOUT_LIMIT_S)]
    output_limit_bytes: Annotated[int, Meta(ge=1, le=COMMAND_OUTPUT_LIMIT_BYTES)]
    risk: Risk
    needs_second_person: bool = False

    def __post_init__(self) -> None:
        _check_program(self.argv[0])
        _check_placeholders(self.argv, self.parameters)
        for text in (*self.argv, self.title, self.person_text):
            if not text.isprintable():
                raise ValueError(f"{self.command_id}: a text has characters that cannot be shown")
        for name, parameter in self.parameters.items():
            why = "" if parameter.default is None else _fault(parameter, parameter.default)
            if why:
                raise ValueError(f"{self.command_id}: the default of {name} {why}")

    @property
    def takes_two_people(self) -> bool:
        """Whether a second person has to approve each request (`protocol.approval`)."""
        return self.needs_second_person or self.risk == "high"

    @property
    def sha256(self) -> str:
        """Hex of the SHA-256 of the entry's canonical JSON (sorted keys, every field): what was displayed."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def build_argv(self, given: Mapping[str, str]) -> list[str]:
        """What is started for these values; defaults fill in what is not given.

        Raises:
            Refused: E_COMMAND_PARAMETER; the detail names the parameter and may be shown.
        """
        for name in given:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise _wrong(f"{shown_text(name, 48)!r} is not a parameter of {self.command_id} ({known})")
        values = {name: self._value(name, given) for name in self.parameters}
        return [self._element(element, values) for element in self.argv]

    def _value(self, name: str, given: Mapping[str, str]) -> str:
        parameter = self.parameters[name]
        value = given.get(name, parameter.default)
        if value is None:
            raise _wrong(f"{name} is missing: {parameter.description}")
        why = _fault(parameter, value)
        if why:
            raise _wrong(f"{name} {why}")
        return value

    @staticmethod
    def _element(element: str, values: Mapping[str, str]) -> str:
        match = _PLACEHOLDER.fullmatch(element)
        return values[match[1]] if match else element


class _Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    commands: Annotated[tuple[CommandEntry, ...], Meta(max_length=CATALOGUE_ENTRIES_LIMIT)]


class Catalogue(_Listed, frozen=True, forbid_unknown_fields=True):
    """Every command that may run at all."""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for entry in self.commands:
            if entry.command_id in seen:
                raise ValueError(f"two commands are called {entry.command_id}")
            seen.add(entry.command_id)

    @property
    def entries(self) -> tuple[CommandEntry, ...]:
        """The commands in the order of the document."""
        return self.commands

    def find(self, command_id: str) -> CommandEntry:
        """The command of this id.

        Raises:
            Refused: E_COMMAND_UNKNOWN.
        """
        for entry in self.commands:
            if entry.command_id == command_id:
                return entry
        raise Refused(f"{shown_text(command_id, 48)!r}", code=ErrorCode.E_COMMAND_UNKNOWN)


def is_host(text: str) -> bool:
    """Whether the text is a host name or an IP address, and nothing that an option parser could take."""
    if not text.isascii() or not 0 < len(text) <= _HOST_LIMIT_CHARS or "%" in text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return all(_LABEL.fullmatch(label) for label in text.split("."))
    return True


def _fault(parameter: Parameter, value: str) -> str:
    if len(value) > COMMAND_VALUE_LIMIT_CHARS:
        return f"is longer than {COMMAND_VALUE_LIMIT_CHARS} characters"
    if not value.isprintable():
        return "has characters that cannot be shown"
    if value.startswith(_OPTION_LIKE) and not isinstance(parameter, ChoiceParameter):
        return f"must not begin with {value[0]}"
    return parameter.fault(value)


def _check_program(program: str) -> None:
    posix, windows = PurePosixPath(program), PureWindowsPath(program)
    # a path such as \\host\share\tool.exe is absolute, but the program would come from another machine
    is_absolute = posix.is_absolute() or (windows.is_absolute() and not program.startswith(("\\", "/")))
    if not is_absolute or ".." in windows.parts or program.startswith("//"):
        raise ValueError(f"the program {program!r} is not a plain absolute path")
    if windows.suffix.lower() in _BATCH_ENDINGS:
        raise ValueError(f"the program {program!r} is a batch file, which a shell would run")
    if posix.name in _SHELLS or windows.stem.lower() in _WINDOWS_SHELLS:
        raise ValueError(f"the program {program!r} is a shell or starts any other program")


def _check_placeholders(argv: tuple[str, ...], parameters: Mapping[str, Parameter]) -> None:
    used = set()
    for position, element in enumerate(argv):
        match = _PLACEHOLDER.fullmatch(element)
        if match is None and ("{" in element or "}" in element):
            raise ValueError(f"{element!r} is neither plain text nor one placeholder")
        if match is None:
            continue
        if position == 0 or match[1] not in parameters:
            raise ValueError(f"{element!r} is not a parameter")
        used.add(match[1])
    if unused := sorted(set(parameters) - used):
        raise ValueError(f"the parameter {unused[0]} is never used")


def _wrong(detail: str) -> Refused:
    return Refused(detail[:300], code=ErrorCode.E_COMMAND_PARAMETER)
