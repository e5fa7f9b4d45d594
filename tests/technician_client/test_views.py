"""What people see and type at the command line (pure)."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from protocol.errors import EnvironmentFault, ErrorCode, SupportError, UsageError
from protocol.messages.control import TokenRow
from protocol.messages.diagnostics import Disk, Memory, Snapshot, SourceFailed
from protocol.messages.presence import DeviceRow
from technician_client.cli.output import error_lines
from technician_client.cli.run import parse_parameters
from technician_client.cli.snapshot_tables import snapshot_tables
from technician_client.cli.tables import bytes_text, device_table, length_text
from technician_client.cli.terminal_text import TerminalText
from technician_client.cli.token import merged_tokens
from technician_client.device_match import match_device
from technician_client.issued import IssuedToken, match_serial, subject_id_of

ONE = DeviceRow("d-aaaa2222222222222222", "Reception", "default", "linux", "approved", True, "", "")
TWO = DeviceRow("d-aabb2222222222222222", "kitchen", "default", "linux", "pending", False, "", "")
NAMESAKE = DeviceRow("d-cccc2222222222222222", "kitchen", "default", "linux", "approved", True, "", "")
FLEET = [ONE, TWO, NAMESAKE]


def shown(*renderables: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=120, markup=False, highlight=False, emoji=False)
    for renderable in renderables:
        console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above


class TestMatchingADevice:
    @pytest.mark.parametrize("words", [ONE.device_id, "reception", "RECEPTION", "d-aaaa", "aaaa"])
    def test_an_id_a_unique_name_and_a_unique_start_all_name_it(self, words):
        assert match_device(words, FLEET) == ONE

    @pytest.mark.parametrize("words", ["kitchen", "d-aa"])
    def test_what_fits_several_devices_is_refused_with_their_ids(self, words):
        with pytest.raises(UsageError) as caught:
            match_device(words, FLEET)
        assert TWO.device_id in caught.value.detail

    @pytest.mark.parametrize("words", ["", "d-", "d", "nobody", "d-zzzz2222222222222222"])
    def test_what_fits_nothing_is_unknown(self, words):
        with pytest.raises(SupportError) as caught:
            match_device(words, FLEET)
        assert caught.value.code == ErrorCode.E_DEVICE_UNKNOWN

    def test_a_name_that_looks_like_another_devices_id_does_not_win(self):
        liar = DeviceRow("d-eeee2222222222222222", ONE.device_id, "", "", "approved", True, "", "")
        assert match_device(ONE.device_id, [liar, ONE]) == ONE
        with pytest.raises(SupportError):
            match_device(ONE.device_id, [liar])


class TestParameters:
    def test_a_value_may_be_empty_and_hold_further_equal_signs(self):
        assert parse_parameters(["a=", "b=c=d"]) == {"a": "", "b": "c=d"}

    @pytest.mark.parametrize("words", [["host"], ["=x"], ["a=1", "a=2"], [""]])
    def test_anything_else_is_refused(self, words):
        with pytest.raises(UsageError):
            parse_parameters(words)


class TestErrors:
    def test_an_error_is_a_sentence_a_remedy_and_a_code(self):
        lines = error_lines(EnvironmentFault("/data: No space left", code=ErrorCode.E_DATA_DISK))
        assert lines[0] == "Error: The data folder cannot be written (/data: No space left)."
        assert lines[1].startswith("  What to do: ")
        assert lines[2] == "  Code: E_DATA_DISK"

    def test_a_usage_error_says_what_is_wrong_instead_of_a_general_sentence(self):
        assert error_lines(UsageError("the file is empty"))[0] == "Error: The file is empty."

    def test_a_detail_cannot_break_out_of_its_line(self):
        assert "\x1b" not in "".join(error_lines(EnvironmentFault("x\x1b[2J\nCode: E_NONE")))
        assert len(error_lines(EnvironmentFault("a\nb"))) == 3


class TestTables:
    def test_a_device_name_cannot_carry_markup_or_escape_sequences(self):
        evil = DeviceRow(ONE.device_id, "[red]x[/red]\x1b[31m", "", "", "approved", True, "", "")
        text = shown(device_table([evil]))
        assert "[red]x[/red]" in text
        assert "\x1b" not in text

    def test_a_device_that_waits_for_approval_says_so(self):
        assert "waits for approval" in shown(device_table([TWO]))

    def test_enr_06_a_device_in_quarantine_says_so_and_why(self):
        held = DeviceRow(ONE.device_id, "pc", "", "", "quarantined", True, "", "")
        assert "QUARANTINED: its key was copied" in shown(device_table([held]))

    def test_a_snapshot_shows_what_was_read_and_names_what_was_not(self):
        snapshot = Snapshot(
            1,
            0.1,
            None,
            None,
            Memory(8 << 30, 2 << 30, 0, 0),
            [Disk("/", "/dev/sda1", "ext4", 100 << 30, 25 << 30)],
            [],
            [],
            [],
            [],
            [SourceFailed("displays", "no desktop")],
        )
        text = shown(*snapshot_tables(snapshot))
        for part in ("2.0 GiB of 8.0 GiB available", "25.0 GiB", "displays", "no desktop"):
            assert part in text

    def test_sizes_and_lengths_read_well(self):
        assert [bytes_text(count) for count in (0, 1536, 5 << 40)] == ["0 B", "1.5 KiB", "5.0 TiB"]
        assert [length_text(s) for s in (5, 60, 93_784)] == ["5 s", "1 min", "1 d 2 h 3 min"]


class TestTokens:
    def test_the_relays_count_is_put_beside_what_was_issued_here(self):
        issued = IssuedToken("ab12", "default", 3, False, "", "2030-01-01T00:00:00Z")
        states = merged_tokens([issued], [TokenRow("ab12", 2, True), TokenRow("ff00", 1, False)])
        assert [(state.serial, state.uses, state.is_revoked) for state in states] == [
            ("ab12", 2, True),
            ("ff00", 1, False),
        ]

    @pytest.mark.parametrize(("words", "found"), [("ab12", "ab12"), ("F", "ff00"), ("AB12", "ab12")])
    def test_a_serial_is_named_by_its_start(self, words, found):
        assert match_serial(words, ["ab12", "ab12ff", "ff00"]) == found

    @pytest.mark.parametrize("words", ["", "ab", "99"])
    def test_a_serial_that_is_not_unique_is_refused(self, words):
        with pytest.raises(UsageError):
            match_serial(words, ["ab12", "ab12ff", "ff00"])


@pytest.mark.parametrize(
    ("name", "subject"), [("Ada Lovelace", "ada-lovelace"), ("bob", "bob"), ("  X.Y  ", "x.y")]
)
def test_a_subject_id_is_made_from_a_name(name, subject):
    assert subject_id_of(name) == subject


@pytest.mark.parametrize("name", ["", "   ", "日本"])
def test_a_name_without_usable_characters_asks_for_an_id(name):
    with pytest.raises(UsageError):
        subject_id_of(name)


class TestTerminalText:
    def test_escape_sequences_are_made_harmless_and_lines_stay(self):
        assert TerminalText().feed(b"a\x1b]0;evil\x07b\r\n\tc\rd") == "a\ufffd]0;evil\ufffdb\n\tc\nd"

    def test_a_character_that_was_cut_in_two_is_put_together(self):
        text = TerminalText()
        whole = "ü".encode()
        assert text.feed(whole[:1]) + text.feed(whole[1:]) + text.end() == "ü"

    @given(pieces=st.lists(st.binary(max_size=40), max_size=6))
    def test_no_control_character_ever_gets_through(self, pieces):
        text = TerminalText()
        seen = "".join([*map(text.feed, pieces), text.end()])
        assert all(ord(one) >= 0xA0 or 0x20 <= ord(one) < 0x7F or one in "\n\t" for one in seen)
