"""The languages of prompt and indicator: complete, their places equal, security sentences frozen."""

import ast
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

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
    "en": "dce143e1f1071390b3338982614963058d6fb5b8f4f117d53d3a01f8fa74025a",
    "de": "bd3839e85438c14b4b198e6331db863391f991f79ef71cf779ae370b479a3b3b",
    "fr": "b5e1a0068485e371543c1dbbe741a5f6941627be2663a86c92dd6b424035f361",
    "es": "aca85136d36d37d59f7598f573f427448363af4a93b618e431fb27c0d4bc38be",
    "pt": "4c07a7e92136c1cac157747456e234c7675257bd7f68c9ca02504e92591e2600",
    "ar": "01a80a030c1f651cb606e80123b32fcb7134358c4b87ebdeb6c29b6027c82dd8",
}

# the same of the person's window
WINDOW_SENTENCES = (
    READ_ALOUD,
    NEVER_TO_CALLERS,
    NOTHING_YET,
    "Somebody with your code is there. NOT VERIFIED: we can't tell who this is.",
    "Someone who was NOT VERIFIED",
    STATE_SENTENCES[TrayState.PAUSED],
)
FROZEN_WINDOW = {
    "en": "f84114dee4b818d5cf6b7bef760d67fe4c1c364fa5b81ceba6b45329fb293f28",
    "de": "cf602132fb0d13de77baaa3625e1a44835e6ffe8f40442645c88253bd56558d7",
    "fr": "cbf44dfa69509704bbe79e16f29f1f033817ce312ca28e178e4c8f4df074ee49",
    "es": "885b1485305542c0c30982f2f7222d2d738afc64aadfb1ff11ee01c7727e299c",
    "pt": "a68652e5a316095e3a4e8e4a515082907653cdabbeb87c24c72f3e6eecf62a7d",
    "ar": "9e9b537ef2a3089bcf2900c08844fb2693b638852756e5fac73fbe8eabdcd81d",
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
