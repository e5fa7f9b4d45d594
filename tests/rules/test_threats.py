"""THREATS.md cannot go stale: its ids, its paths and its promises are held against the tests there are."""

import re

import pytest

from tests.attacks.coverage import (
    CATALOGUE,
    FAMILIES,
    OPEN,
    ROOT,
    catalogue,
    coverage,
    ids_in,
    shown_by,
)

TEXT = CATALOGUE.read_text("utf-8")
PATHS = sorted(set(re.findall(r"`((?:tests|protocol|agent|relay|technician_client)/[^`*:]+)`", TEXT)))
PROMISES = [line for line in TEXT.splitlines() if re.match(r"\| P\d+ \|", line)]
# what is open in these says why; ids of the other families are told by `python -m tests.attacks.coverage`
CORE = {"HSK", "COD", "RPL", "CMD", "CON", "AUD"}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_hsk_02_03_04_a_relay", {"HSK-02", "HSK-03", "HSK-04"}),
        ("test_hsk_14_rly_08_every", {"HSK-14", "RLY-08"}),
        ("test_msg14_a_picture", {"MSG-14"}),
        ("test_rly_14_p1_a_hostile", {"RLY-14"}),
        ("test_a_second_of_1280x720", set()),
    ],
)
def test_ids_are_read_from_a_tests_name(name: str, ids: set[str]) -> None:
    assert ids_in(name) == ids


def test_every_id_in_a_tests_name_is_in_the_catalogue() -> None:
    known = catalogue()
    assert {one: tests for one, tests in shown_by().items() if one not in known} == {}


def test_every_family_is_in_the_catalogue() -> None:
    assert {one[:3] for one in catalogue()} == set(FAMILIES)


def test_what_is_open_in_the_families_of_the_core_says_why() -> None:
    still_open = coverage().still_open
    assert [one for one, why in still_open.items() if one[:3] in CORE and not why.startswith(OPEN)] == []


def test_cmd_16_that_secrets_in_output_are_not_redacted_is_said() -> None:
    assert "secrets in it are not redacted" in TEXT.partition("## What is not promised")[2]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_in_the_document_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_promise_names_its_tests() -> None:
    assert [line.split("|")[1].strip() for line in PROMISES] == [f"P{number}" for number in range(1, 21)]
    assert [line for line in PROMISES if "`tests/" not in line and "not yet" not in line] == []
