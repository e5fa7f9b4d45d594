"""Text that runs from the right, as Tk gets it: joined, wrapped, ordered; names move nothing around them."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.desktop.language import LANGUAGES, language_of
from agent.desktop.shaping import FSI, PDI, on_screen
from agent.desktop.verify_text import NO_BREAK

ARABIC = language_of(("ar",))
WIDE = 1 << 20
ISOLATES = "\u2066\u2067\u2068\u2069"
LETTERS = st.sampled_from("abc XYZ 019 .,:()-/_ \u0633\u0645\u0627\u062d \u00e9")


def ten_each(text: str) -> int:
    """A font whose letters are all ten wide."""
    return 10 * len(text)


def shown(text: str, width: int = WIDE) -> str:
    return on_screen(text, width, ten_each)


def plain(text: str) -> str:
    """Letters again, whatever form they have."""
    return unicodedata.normalize("NFKC", text)


def test_letters_are_joined_and_stand_from_the_left_as_they_are_read_from_the_right() -> None:
    # "allow": alef alone, lam first, seen and meem between, alef last, hah alone
    assert shown("\u0627\u0644\u0633\u0645\u0627\u062d") == "\ufea1\ufe8e\ufee4\ufeb4\ufedf\ufe8d"


def test_brackets_turn_with_the_text_and_stay_in_a_name() -> None:
    text = f"\u0645\u0646 (\u0645\u0639) {FSI}Dana (IT){PDI}"
    assert plain(shown(text)) == "Dana (IT) (\u0639\u0645) \u0646\u0645"


@pytest.mark.parametrize("text", ["481 926 035 712", "5f5f 0a1b", "https://relay.example/a?b", "a (b)", ""])
def test_codes_keys_and_addresses_keep_their_order(text: str) -> None:
    assert shown(text) == text


def test_digits_to_be_read_back_keep_their_order_in_the_sentence() -> None:
    sentence = "Ask them to read four digits to you. They have to be: {digits}"
    digits = NO_BREAK.join("0417")
    assert digits in shown(ARABIC.say(sentence, digits=digits))


@pytest.mark.parametrize("name", ["Dana", "\u062f\u0627\u0646\u0629", "(1) a-", "\u0645 x \u0645", ") : ("])
def test_con_11_a_name_moves_nothing_around_it(name: str) -> None:
    around = [part for part in shown(ARABIC.say("{name} asks to help you", name="X")).split("X") if part]
    of_name = shown(ARABIC.say("{name} asks to help you", name=name))
    assert of_name.startswith(around[0])


@given(st.lists(LETTERS, max_size=30), st.lists(LETTERS, max_size=12), st.integers(20, 400))
def test_nothing_is_lost_but_marks_and_no_line_is_too_wide(
    around: list[str], name: list[str], width: int
) -> None:
    text = f"\u0645{''.join(around)}{FSI}{''.join(name)}{PDI}"
    lines = shown(text, width).split("\n")
    assert all(ten_each(line) <= width for line in lines)
    drawn = "".join(lines).replace(" ", "")
    assert not set(drawn) & set(ISOLATES)

    def letters(of: str) -> list[str]:
        return sorted(letter for letter in plain(of) if letter.isalnum())

    assert letters(drawn) == letters(text)


def test_lines_are_wrapped_before_they_are_ordered() -> None:
    first, second, third = shown("\u0628\u0628 \u062a\u062a \u062b\u062b", 20).split("\n")
    assert [plain(line)[0] for line in (first, second, third)] == ["\u0628", "\u062a", "\u062b"]


def test_a_name_that_is_cut_by_the_line_keeps_its_direction() -> None:
    text = f"\u0645 ({FSI}Dana Meyer-Long ...{PDI})"
    assert shown(text, 160).split("\n")[1].startswith("(")
    assert shown(text, 160).split("\n")[1].endswith("...")


def test_only_whoever_reads_from_the_right_loads_what_shapes() -> None:
    code = (
        "import sys, agent.desktop.card_window, agent.desktop.prompt, agent.desktop.tray, agent.desktop.app\n"
        "from agent.desktop.language import LANGUAGES, language_of\n"
        "for name in LANGUAGES: language_of((name,)).say('Allow')\n"
        "print(*sorted({'bidi', 'arabic_reshaper', 'agent.desktop.shaping'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == ""


@pytest.mark.parametrize("name", LANGUAGES)
def test_fields_are_isolates_where_the_language_runs_from_the_right(name: str) -> None:
    said = language_of((name,)).say("{name} asks to help you", name="Kim")
    assert (f"{FSI}Kim{PDI}" in said) is (name == "ar")


def test_arabic_counts_one_two_few_and_many_each_in_its_own_way() -> None:
    said = [ARABIC.counted(number, "minute") for number in (1, 2, 3, 11, 100)]
    assert said == [
        "\u062f\u0642\u064a\u0642\u0629",
        "\u062f\u0642\u064a\u0642\u062a\u0627\u0646",
        "3 \u062f\u0642\u0627\u0626\u0642",
        "11 \u062f\u0642\u064a\u0642\u0629",
        "100 \u062f\u0642\u064a\u0642\u0629",
    ]
