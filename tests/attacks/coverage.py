"""Which attacks of the catalogue have tests: `python -m tests.attacks.coverage [--json]`.

The catalogue is `protocol/THREATS.md`: one row `| HSK-01 | what is tried | state |` for each id; the state is
empty, or begins with "not applicable:" or "open:" and says why, or with "in part:" and says what its tests do
not show (a figure that a command measures, among others). A test shows an id by carrying it in its name
(`test_hsk_02_03_...`, `test_hsk_14_rly_08_...`), which is read from the syntax tree. The exit status is 1
when something that applies has no test.
"""

import argparse
import ast
import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "protocol" / "THREATS.md"
FAMILIES = (
    *("HSK", "COD", "CRT", "RPL", "MSG", "RES", "FIL", "CMD", "CON", "IPC", "SEC"),
    *("AUD", "UPD", "ENR", "RLY", "WEB", "INS", "REL"),
)
NOT_APPLICABLE = "not applicable:"
OPEN = "open:"
IN_PART = "in part:"
_ROW = re.compile(r"^\| ([A-Z]{3}-\d{2}) \| ([^|]+) \| ?([^|]*?) ?\|$", re.MULTILINE)
_IN_NAME = re.compile(
    rf"(?<![a-z0-9])({'|'.join(each.lower() for each in FAMILIES)})_?(\d{{2}}(?:_\d{{2}})*)(?![0-9])"
)


@dataclass(frozen=True)
class Attack:
    """One row of the catalogue."""

    attack_id: str
    tried: str
    state: str

    @property
    def applies(self) -> bool:
        """Whether it can be tried on what there is."""
        return not self.state.startswith(NOT_APPLICABLE)


@cache
def catalogue() -> dict[str, Attack]:
    """Every id, as the document has them.

    Raises:
        ValueError: an id is there twice, or has a state that is none.
    """
    found: dict[str, Attack] = {}
    for attack_id, tried, state in _ROW.findall(CATALOGUE.read_text("utf-8")):
        if attack_id in found:
            raise ValueError(f"{attack_id} is there twice")
        if state and not state.startswith((NOT_APPLICABLE, OPEN, IN_PART)):
            raise ValueError(f"{attack_id}: {state!r} is no state")
        found[attack_id] = Attack(attack_id, tried, state)
    return found


def ids_in(name: str) -> set[str]:
    """The ids that a test's name carries."""
    return {
        f"{family.upper()}-{number}"
        for family, numbers in _IN_NAME.findall(name.removeprefix("test_"))
        for number in numbers.split("_")
    }


@cache
def shown_by() -> dict[str, list[str]]:
    """`file::test` of every test, by the ids in its name."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for attack_id in ids_in(node.name):
                    found[attack_id].append(f"{path.relative_to(ROOT)}::{node.name}")
    return dict(found)


@dataclass(frozen=True)
class Coverage:
    """The catalogue in three parts; `in_part` are those of the covered ones of which something is missing."""

    covered: dict[str, list[str]]
    in_part: dict[str, str]
    not_applicable: dict[str, str]
    still_open: dict[str, str]


def coverage() -> Coverage:
    """What there is now."""
    tests = shown_by()
    attacks = catalogue()
    covered = {each: tests[each] for each in attacks if each in tests}
    rest = [attack for attack_id, attack in attacks.items() if attack_id not in covered]
    return Coverage(
        covered,
        {each: attacks[each].state for each in covered if attacks[each].state.startswith(IN_PART)},
        {each.attack_id: each.state for each in rest if not each.applies},
        {each.attack_id: each.state or each.tried for each in rest if each.applies},
    )


def _print(found: Coverage) -> None:
    print(f"covered: {len(found.covered)}")
    for attack_id, tests in found.covered.items():
        state = catalogue()[attack_id].state
        print(f"  {attack_id}  {len(tests)} tests, e.g. {tests[0]}{f'; {state}' if state else ''}")
    print(f"not applicable: {len(found.not_applicable)}")
    for attack_id, why in found.not_applicable.items():
        print(f"  {attack_id}  {why}")
    print(f"open: {len(found.still_open)}")
    for attack_id, tried in found.still_open.items():
        print(f"  {attack_id}  {tried}")


def main() -> int:
    """The command; exit status 1 if something is open."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.coverage", description=__doc__)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = coverage()
    if given.json:
        parts = {
            "covered": found.covered,
            "in_part": found.in_part,
            "not_applicable": found.not_applicable,
            "open": found.still_open,
        }
        print(json.dumps(parts))
    else:
        _print(found)
    return 1 if found.still_open else 0


if __name__ == "__main__":
    sys.exit(main())
