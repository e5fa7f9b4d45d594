"""Words and constructs that must not be in the product."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = sorted(
    path
    for folder in ("agent", "protocol", "relay", "technician_client", "scripts")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".js", ".html", ".sh"}
)
FORBIDDEN = {
    "a shell around a command": re.compile(r"shell\s*=\s*True|os\.system\(|os\.popen\("),
    "verification switched off": re.compile(
        r"CERT_NONE|check_hostname\s*=\s*False|verify\s*=\s*False|VERIFY_NONE"
    ),
    "a temporary name that can be guessed": re.compile(r"tempfile\.mktemp\("),
    "data that becomes code": re.compile(r"yaml\.load\(|from_string\(|[^.\w]eval\(|[^.\w_]exec\("),
    "markup from text": re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write"),
    "a way to hide from the person": re.compile(
        r"hide_session|silent_accept|blank_screen|block_input|stealth|hide_indicator_option", re.IGNORECASE
    ),
}
BANNED_NAMES = {"manager", "helper", "util", "utils", "common", "data", "info"}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_cmd_07_the_product_does_not_contain(what):
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in PRODUCT
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert not found


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a shell around a command", "subprocess.run(x, shell=True)"),
        ("verification switched off", "context.verify_mode = ssl.CERT_NONE"),
        ("data that becomes code", "x = eval(text)"),
        ("markup from text", "node.innerHTML = name"),
        ("a way to hide from the person", "if policy.stealth:"),
    ],
)
def test_cmd_07_the_search_would_notice_a_violation(what, line):
    assert FORBIDDEN[what].search(line)


def test_no_file_is_named_after_a_drawer():
    drawers = [str(p.relative_to(ROOT)) for p in PRODUCT if set(p.stem.split("_")) & BANNED_NAMES]
    assert not drawers


def test_random_numbers_for_secrets_come_from_secrets():
    """`random` is for jitter only; everything that must not be guessed uses `secrets`."""
    users = [
        str(path.relative_to(ROOT))
        for path in PRODUCT
        if re.search(r"^\s*(import random|from random)", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert users == ["agent/link.py", "protocol/aio/backoff.py"]
