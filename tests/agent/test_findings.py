"""*Check this computer*: which facts make which finding, and that nothing unread is said to be well."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.capabilities.diagnostics import findings as rules
from agent.capabilities.diagnostics.findings import Severity, judge
from agent.desktop.finding_text import SENTENCES, SEVERITIES, as_plain_text, finding_sentence
from agent.desktop.ipc_messages import FindingRow
from agent.desktop.language import ENGLISH, LANGUAGES, language_of
from agent.person_desk import judge_status
from protocol.messages.diagnostics import (
    Cpu,
    Disk,
    Memory,
    NetworkInterface,
    Process,
    Snapshot,
    SourceFailed,
    System,
)
from tests.support.window_answers import FINDINGS, STATUS

GIB = 1 << 30
WELL = Snapshot(
    request_no=0,
    took_s=0.1,
    system=System("h", "Debian", "12", "6", "x86_64", "", 3600.0, ""),
    cpu=Cpu("c", 2, 4, 12.0, 0.1, 0.1, 0.1),
    memory=Memory(8 * GIB, 4 * GIB, 0, 0),
    disks=[Disk("/", "/dev/a", "ext4", 100 * GIB, 50 * GIB)],
    interfaces=[NetworkInterface("eth0", True, 1000, ["192.0.2.7"], 0, 0)],
    processes=[Process(1, "big", "ada", 3.0, 3 * GIB), Process(2, "busy", "ada", 97.0, GIB)],
    logins=[],
    displays=[],
    failures=[],
)


def severities(**changed: Any) -> dict[str, Severity]:
    return {finding.name: finding.severity for finding in judge(replace(WELL, **changed))}


def test_a_healthy_computer_has_only_good_findings() -> None:
    assert set(severities().values()) == {Severity.OK}


@pytest.mark.parametrize(
    ("free", "total", "severity"),
    [
        (3, 100, Severity.BAD),
        (9, 100, Severity.WARN),
        (11, 100, None),
        (50, 4000, None),  # a small share of a large disk is a lot
    ],
)
def test_a_disk_is_low_by_share_and_by_size(free: int, total: int, severity: Severity | None) -> None:
    found = severities(disks=[Disk("/", "/dev/a", "ext4", total * GIB, free * GIB)])
    assert found.get("disk_low") is severity


def test_a_disc_that_is_full_by_nature_is_no_problem() -> None:
    assert "disk_low" not in severities(disks=[Disk("/media", "/dev/sr0", "iso9660", GIB, 0)])


def test_memory_and_processor_name_the_program() -> None:
    poor = replace(WELL, memory=Memory(8 * GIB, GIB // 4, 0, 0), cpu=replace(WELL.cpu, busy_percent=99.0))
    facts = {finding.name: finding.facts for finding in judge(poor)}
    assert facts["memory_low"] == {"program": "big"}
    assert facts["processor_busy"] == {"program": "busy"}


def test_no_network_and_a_long_time_without_a_restart_are_found() -> None:
    own = [NetworkInterface("lo", True, 0, ["127.0.0.1", "::1"], 0, 0)]
    assert severities(interfaces=own)["network_none"] is Severity.BAD
    assert WELL.system is not None
    assert severities(system=replace(WELL.system, uptime_s=rules.LONG_UP_S + 1))["long_up"] is Severity.WARN


def test_what_could_not_be_read_is_never_said_to_be_well() -> None:
    nothing = severities(
        system=None,
        cpu=None,
        memory=None,
        disks=[],
        interfaces=[],
        failures=[SourceFailed("network", "stuck")],
    )
    assert nothing == {"not_checked": Severity.WARN}


def test_the_worst_stands_first() -> None:
    found = judge(replace(WELL, interfaces=[], failures=[SourceFailed("displays", "none")]))
    order = [list(Severity).index(finding.severity) for finding in found]
    assert order == sorted(order)
    assert order[0] == 0


def test_the_link_and_an_alarm_are_findings_too() -> None:
    assert judge_status(STATUS)[0].name == "help_reachable"
    assert judge_status(replace(STATUS, link="refused"))[0].severity is Severity.WARN
    assert judge_status(replace(STATUS, policy_alarm="E_POLICY_EQUIVOCATION"))[0].severity is Severity.BAD


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_finding_has_its_words_and_severity_is_never_colour_alone(name: str) -> None:
    language = language_of((name,))
    signs = {sign for sign, _ in SEVERITIES.values()}
    words = {language.say(word) for _, word in SEVERITIES.values()}
    assert len(signs) == len(words) == len(SEVERITIES) == len(Severity)
    text = as_plain_text(FINDINGS, language)
    assert "119.2" in text
    assert len(text.splitlines()) == len(FINDINGS)


@given(st.text(max_size=30), st.dictionaries(st.text(max_size=8), st.text(max_size=30), max_size=3))
def test_what_a_newer_service_finds_is_shown_by_its_name(name: str, facts: dict[str, str]) -> None:
    assert isinstance(finding_sentence(FindingRow(name, "odd", facts), ENGLISH), str)


def test_braces_in_a_program_s_name_are_only_text() -> None:
    row = FindingRow("memory_low", "bad", {"program": "{0.__class__}"})
    assert "{0.__class__}" in finding_sentence(row, ENGLISH)
    assert set(SENTENCES) >= {finding.name for finding in judge(WELL)}
