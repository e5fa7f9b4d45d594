"""The languages of prompt and indicator: complete, their places equal, security sentences frozen."""

import ast
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.desktop import block_text
from agent.desktop import language as language_module
from agent.desktop.finding_text import SENTENCES, SEVERITIES
from agent.desktop.language import (
    ENGLISH,
    LANGUAGES,
    PSEUDO_NAME,
    Language,
    language_of,
    places_of,
    read_sentences,
    wanted_names,
)
from agent.desktop.prompt import MATCH_ARMED_IN
from agent.desktop.prompt_text import (
    _SHORT_WORDS,
    OTHERS_TOO,
    UNVERIFIED_WARNING,
    WORDS,
    indicator_text,
    keys_taken_text,
    prompt_text,
)
from agent.desktop.prompt_view import ARMED_IN, NO_ANSWER, TITLE
from agent.desktop.tray_state import TrayState
from agent.desktop.tray_text import (
    FAULTS,
    NEVER_TO_CALLERS,
    NOTHING_YET,
    READ_ALOUD,
    SCHEME_WORDS,
    STATE_SENTENCES,
    STATE_WORDS,
)
from agent.desktop.verify_text import ASK_CALLER, IF_OTHERWISE, NO_BREAK
from agent.desktop.visit_text import ACTS, CAUSES, RECEIPTS
from protocol.grantables import PLAIN_WORDS
from tests.support.desktop_service import a_prompt, an_indicator

DESKTOP = Path(language_module.__file__).parent
TRANSLATED = tuple(name for name in LANGUAGES if name != ENGLISH.name)
# said by name or from a table, so no literal stands in the call
NAMED = {
    UNVERIFIED_WARNING,
    OTHERS_TOO,
    TITLE,
    NO_ANSWER,
    ARMED_IN,
    *WORDS,
    *PLAIN_WORDS.values(),
    *_SHORT_WORDS.values(),
}
NAMED |= {READ_ALOUD, NEVER_TO_CALLERS, NOTHING_YET, *STATE_WORDS.values(), *STATE_SENTENCES.values()}
NAMED |= {*FAULTS.values(), *ACTS.values(), *CAUSES.values(), *SENTENCES.values()}
NAMED |= {*RECEIPTS.values(), *SCHEME_WORDS.values()}
NAMED |= {ASK_CALLER, IF_OTHERWISE, MATCH_ARMED_IN}
NAMED |= {block_text.BLOCKED_HERE, block_text.MAY_NOT_ASK, block_text.LIFT_WHEN}
NAMED |= {block_text.NOT_NOW, block_text.HANG_UP, block_text.NOW_BLOCKED}
NAMED |= {word for _, word in SEVERITIES.values()}

# What decides whether somebody gets in. A change is deliberate, in every language: it changes a hash here.
SECURITY_SENTENCES = (
    "Verified: technician of {organisation}, your organisation",
    "NOT VERIFIED. We can't tell who this is.",
    UNVERIFIED_WARNING,
    "{name} (NOT VERIFIED)",
    "They ask for this alone. For anything more they have to ask you again.",
    *PLAIN_WORDS.values(),
    "For at most {length}. To end it sooner, press Stop at the top of the screen or {keys}.",
    "Nothing is recorded. A log on this computer notes what was allowed and done.",
    "Ask them to read four digits to you. They have to be: {digits}",
    ASK_CALLER,
    "They have to be:",
    IF_OTHERWISE,
    "They do not match",
    "They match",
    "To allow this, first compare four digits: press “{button}”.",
    'To allow this, type the word "{word}":',
    "Allow {name} the same without asking, for {length}",
    OTHERS_TOO,
    "No answer means no: {time}",
    "Don't allow",
    "Allow",
    "Block for 1 hour",
    "Stop",
    "The keys {keys} do not stop this: another program has them. Press Stop here.",
)
FROZEN = {
    "en": "84d2ac5bf519131b185acf1f9149ef638cc6f888d1199adf913e85b9ebbd0589",
    "de": "619fbdafdcf217733cdadc34898e1713cad6f280da2122f3cdf068a9a8f3521f",
    "fr": "96b84c886165e71e5e6d8491a4b9e7493616f6682a6ce1b3198c5ffd8353374a",
    "es": "eb6841b7357ac611d70ab37357593ce0dd316592cfe145b83c5a368211255960",
    "pt": "6eb095d36c1adea94fa2e43cf6907a86ad9150feecf12d53567f1d1a31d64d7d",
    "ar": "82056402f3c70687830132aa1a73e69cdaa0e06ab4a59aa3cc1c068d84e33ba9",
}

# the same of the person's window
WINDOW_SENTENCES = (
    READ_ALOUD,
    NEVER_TO_CALLERS,
    NOTHING_YET,
    "Somebody with your code is there. NOT VERIFIED: we can't tell who this is.",
    "Someone who was NOT VERIFIED",
    STATE_SENTENCES[TrayState.PAUSED],
    block_text.BLOCKED_HERE,
    block_text.MAY_NOT_ASK,
    block_text.LIFT_WHEN,
    block_text.NOT_NOW,
    block_text.HANG_UP,
    block_text.NOW_BLOCKED,
    "Whoever is NOT VERIFIED",
    "Lift the block",
)
FROZEN_WINDOW = {
    "en": "c551eb5c97d8e5046db08d1046a5a74ecc37d2cbf9a2c4ea936088ab4a4758e5",
    "de": "0c43c10cd9707f5c6f2f45bc3f8672334e8ac5515ecaa60aeed0f585746a4218",
    "fr": "f03cd5babd320aaf8e28492b68275c27b89e70b03daa4a4495588d0bbd77d532",
    "es": "34c751768c3342d6da6e43423ce71962d7ea47f2a8734b1ef0b7cdc87c8968cc",
    "pt": "02c0abbeaff5eb7962d100edad4452fd32a64db9ebbdf8044cede6ad204cfead",
    "ar": "b893dd71775c5d780f1a40f7c22d33b8b509146d5e7de5b78e9c29d112f5dfd1",
}


def said_in_the_code() -> set[str]:
    """Every literal that some window gives to `say`."""
    found = set()
    for path in DESKTOP.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            first = node.args[0]
            if name in ("say", "_say") and isinstance(first, ast.Constant):
                found.add(first.value)
    return found


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_language_has_every_sentence_and_no_unknown_one(name: str) -> None:
    sentences = read_sentences(name)
    assert set(sentences) == said_in_the_code() | NAMED
    assert all(sentences.values())


@pytest.mark.parametrize("name", TRANSLATED)
def test_the_places_are_those_of_the_english_sentence(name: str) -> None:
    for sentence, translated in read_sentences(name).items():
        assert places_of(translated) == places_of(sentence), sentence


@pytest.mark.parametrize("name", LANGUAGES)
def test_security_sentences_change_only_on_purpose(name: str) -> None:
    sentences = read_sentences(name) if name != ENGLISH.name else {}
    said = "".join(f"{sentences.get(sentence, sentence)}\n" for sentence in SECURITY_SENTENCES)
    assert hashlib.sha256(said.encode()).hexdigest() == FROZEN[name]


@pytest.mark.parametrize("name", LANGUAGES)
def test_security_sentences_of_the_window_change_only_on_purpose(name: str) -> None:
    sentences = read_sentences(name) if name != ENGLISH.name else {}
    said = "".join(f"{sentences.get(sentence, sentence)}\n" for sentence in WINDOW_SENTENCES)
    assert hashlib.sha256(said.encode()).hexdigest() == FROZEN_WINDOW[name]


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_words_to_type_are_ten_different_plain_ones(name: str) -> None:
    words = {language_of((name,)).say(word) for word in WORDS}
    assert len(words) == len(WORDS)
    assert all(word.isascii() and word.isalpha() and word == word.casefold() for word in words)


def test_con_22_a_missing_language_falls_back_to_the_next_wanted_one_and_then_to_english() -> None:
    assert language_of(("fr_CA.UTF-8",)).name == "fr"
    assert language_of(("ja_JP.UTF-8", "de_AT@euro", "fr")).name == "de"
    assert language_of(("ja",)).name == language_of(("C",)).name == language_of(()).name == "en"


@given(st.lists(st.text(max_size=20), max_size=4))
def test_con_22_no_noise_in_the_environment_keeps_the_prompt_away(names: list[str]) -> None:
    assert language_of(names).say("Allow")


def test_con_22_a_lost_or_cut_translation_is_shown_in_english() -> None:
    english = "{name} asks to help you"
    for sentences in ({}, {english: ""}, {english: "bittet Ihnen"}, {english: "{nam} bittet"}):
        assert Language("de", sentences).say(english, name="Kim") == "Kim asks to help you"
    assert Language("de", {english: "{name} hilft"}).say(english, name="Kim") == "Kim hilft"


def test_the_environment_names_languages_in_gettext_s_order() -> None:
    assert wanted_names({"LANGUAGE": "de:fr", "LANG": "es_ES.UTF-8"}) == ("de", "fr")
    assert wanted_names({"LC_ALL": "pt_BR.UTF-8", "LANG": "es_ES.UTF-8"}) == ("pt_BR.UTF-8",)
    assert wanted_names({"LANG": "es_ES.UTF-8"}) == ("es_ES.UTF-8",)
    assert wanted_names({}) == ()


def test_every_fixed_text_of_the_prompt_goes_through_the_catalogue() -> None:
    """The pseudo-locale puts brackets around what it was given: what has none was left out."""
    outside = (a_prompt().reason, NO_BREAK.join("0417"))
    for order in (a_prompt(), replace(a_prompt(), organisation_name="", may_stand=False, readback="0417")):
        text = prompt_text(order, has_hot_key=True, language=language_of((PSEUDO_NAME,)))
        for line in text.lines():
            assert line in outside or (line.startswith("[") and line.endswith("]")), line
    pseudo = language_of((PSEUDO_NAME,))
    for line in (*indicator_text(an_indicator(), pseudo), keys_taken_text(pseudo)):
        assert line.startswith("["), line


@pytest.mark.parametrize("name", LANGUAGES)
def test_con_20_the_prompt_says_in_which_language_it_was_read(name: str) -> None:
    text = prompt_text(a_prompt(), has_hot_key=True, language=language_of((name,)))
    assert text.locale == name


@pytest.mark.parametrize("name", LANGUAGES)
def test_con_11_braces_in_a_name_are_only_text(name: str) -> None:
    order = replace(a_prompt(), technician_name="{organisation.__class__} {0} {")
    text = prompt_text(order, has_hot_key=True, language=language_of((name,)))
    assert "{organisation.__class__} {0} {" in text.headline
