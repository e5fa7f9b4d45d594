"""Text of a peer in our logs (THREATS.md AUD-06)."""

import io

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from protocol.log_text import plain_text, plain_values


@given(st.text(st.sampled_from("ab\n\r\x1b[\x07\x9b\u2028\u2029\u202e\u200b")))
def test_no_text_of_a_peer_can_drive_the_terminal_that_shows_the_log(text: str) -> None:
    assert not set("\r\x1b\x07\x9b\u2028\u2029\u202e\u200b") & set(plain_text(text))


@pytest.mark.parametrize(
    "hostile", ["a\rb", "\x1b[31mred\x1b]0;t\x07", "\x9b31m", "a\nevent=forged", "\u202eb"]
)
def test_aud_06_a_hostile_value_stays_one_line_without_control_characters(hostile: str) -> None:
    lines = io.StringIO()
    log = structlog.wrap_logger(
        structlog.PrintLogger(lines), processors=[plain_values, structlog.processors.LogfmtRenderer()]
    )
    log.warning("login.refused", detail=hostile)
    written = lines.getvalue()
    assert written.count("\n") == 1
    assert written.rstrip("\n").isprintable()
