"""The person's language: which one it is, and each sentence, number of things and list in it.

The catalogues are `languages/XX.po`, read when the desktop process starts: nothing has to be compiled, and
what is installed is what translators see. The key of a sentence is its English text. A sentence that a
catalogue lacks, or whose places differ from the English ones, is shown in English: whole, never cut.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter

from babel import Locale
from babel.core import UnknownLocaleError
from babel.lists import format_list
from babel.units import format_unit

FOLDER = Path(__file__).parent / "languages"
ENGLISH_NAME = "en"
PSEUDO_NAME = "xx"  # for tests: longer, accented, in brackets
PSEUDO_RIGHT_NAME = "xr"  # for tests: the same, in a layout that runs from the right
LANGUAGES = (ENGLISH_NAME, "de", "fr", "es", "pt", "ar")
_PSEUDO_NAMES = (PSEUDO_NAME, PSEUDO_RIGHT_NAME)
_FROM_RIGHT = ("ar", PSEUDO_RIGHT_NAME)
_ARABIC_SIGNS = str.maketrans(",;", "\u060c\u061b")
_FSI, _PDI = "\u2068", "\u2069"
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")  # gettext's order; the first three override LANG
_ACCENTED = str.maketrans("aceinosuyACEINOSUY", "åçéîñöšûýÅÇÉÎÑÖŠÛÝ")


class Language:
    """One language; frozen once it is made."""

    def __init__(self, name: str, sentences: Mapping[str, str]) -> None:
        """`name` as in `LANGUAGES`; `sentences` by their English text."""
        self.name = name
        self.is_from_right = name in _FROM_RIGHT
        self._locale = Locale(ENGLISH_NAME if name in _PSEUDO_NAMES else name)
        self._sentences = sentences

    def say(self, sentence: str, /, **fields: str) -> str:
        """This English sentence in the language, with the fields in their places.

        Where the language runs from the right, each field is an isolate (UAX #9): it moves nothing around it.
        """
        if self.is_from_right:
            fields = {name: f"{_FSI}{field}{_PDI}" for name, field in fields.items()}
        if self.name in _PSEUDO_NAMES:
            return _pseudo(sentence).format(**fields)
        translated = self._sentences.get(sentence, "")
        if not translated or places_of(translated) != places_of(sentence):
            translated = sentence
        return translated.format(**fields)

    def counted(self, number: int, unit: str) -> str:
        """ "5 minutes": a number of seconds, minutes or hours, in the language's plural."""
        return format_unit(number, f"duration-{unit}", length="long", locale=self._locale)

    def listed(self, things: Iterable[str]) -> str:
        """ "one, two and three"."""
        return format_list(list(things), locale=self._locale)

    def joined(self, things: Iterable[str], sign: str) -> str:
        """ "one; two": with this sign, which is "," or ";", as the language writes it."""
        return f"{sign.translate(_ARABIC_SIGNS) if self.name == 'ar' else sign} ".join(things)


ENGLISH = Language(ENGLISH_NAME, {})


def places_of(sentence: str) -> frozenset[str]:
    """The names in braces."""
    return frozenset(name for _, name, _, _ in Formatter().parse(sentence) if name is not None)


def wanted_names(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The languages that the person's environment names, best first; empty for none."""
    for variable in _VARIABLES:
        names = tuple(name for name in environment.get(variable, "").split(":") if name)
        if names:
            return names
    return ()


def language_of(wanted: Iterable[str]) -> Language:
    """The first wanted language that we have: "fr_CA.UTF-8" takes "fr"; English if there is none."""
    for given in wanted:
        if given in _PSEUDO_NAMES:
            return Language(given, {})
        try:
            name = Locale.parse(given.partition(".")[0].partition("@")[0]).language
        except (ValueError, UnknownLocaleError):
            continue  # "C", "POSIX" or noise says nothing about a language
        if name == ENGLISH_NAME:
            return ENGLISH
        if name in LANGUAGES:
            return Language(name, read_sentences(name))
    return ENGLISH


def read_sentences(name: str) -> dict[str, str]:
    """What the catalogue of this language holds; uncertain ("fuzzy") sentences are left out."""
    from babel.messages.pofile import read_po

    with (FOLDER / f"{name}.po").open("rb") as file:
        catalogue = read_po(file, locale=name, abort_invalid=True)
    return {str(message.id): str(message.string) for message in catalogue if message.id and not message.fuzzy}


def _pseudo(sentence: str) -> str:
    parts = []
    for literal, place, _, _ in Formatter().parse(sentence):
        parts.append(literal.translate(_ACCENTED))
        if place is not None:
            parts.append(f"{{{place}}}")
    return f"[{''.join(parts)}{' ~' * (len(sentence) // 5 + 1)}]"
