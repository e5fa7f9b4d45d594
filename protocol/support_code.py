"""Support codes as people read, say and type them: 15 digits in groups of three (pure).

 4 digits   nameplate: where to meet; the relay knows it. Drawn independently of the rest.
10 digits   secret: 33 bits; known to the two ends alone and never sent anywhere.
 1 digit    check digit over both (Luhn, ISO/IEC 7812-1 annex B): a slip of the tongue burns no guess.
"""

import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from typing import Final

from protocol.errors import ErrorCode, UsageError

NAMEPLATE_DIGITS: Final = 4
SECRET_DIGITS: Final = 10
CODE_DIGITS: Final = NAMEPLATE_DIGITS + SECRET_DIGITS + 1
ENTRY_LIMIT_CHARS: Final = 200
_GROUP_DIGITS: Final = 3
_LEAST_DIGITS_MEANT: Final = 9
_LABEL: Final = re.compile(r"(?:support[ ]?)?code(?=[\s:=\d])\s*[:=]?", re.IGNORECASE)
# white space of every kind, hyphens and dashes, invisible format characters, full stops
_SEPARATORS: Final = frozenset({"Zs", "Zl", "Zp", "Pd", "Cf"})
_SEPARATING: Final = frozenset("\t\r\n._·")


@dataclass(frozen=True, slots=True)
class SupportCode:
    """One code. Its secret stays out of every representation."""

    nameplate: str
    secret: str = field(repr=False)

    def shown(self) -> str:
        """The whole code in groups of three, for the person's eyes alone."""
        digits = self.nameplate + self.secret
        digits += _check_digit(digits)
        return " ".join(digits[at : at + _GROUP_DIGITS] for at in range(0, CODE_DIGITS, _GROUP_DIGITS))


def draw_code() -> SupportCode:
    """A fresh code; nameplate and secret have nothing to do with each other."""
    return SupportCode(_digits(NAMEPLATE_DIGITS), _digits(SECRET_DIGITS))


def means_code(entered: str) -> bool:
    """Whether the person means a code, and not a device's name or id; it may still be malformed."""
    text, has_label = _unlabelled(entered)
    if has_label:
        return True
    rest = _without_separators(text)
    digits = sum(character.isdecimal() for character in rest)
    return digits == len(rest) and digits >= _LEAST_DIGITS_MEANT


def read_code(entered: str) -> SupportCode:
    """The code in what a person typed or pasted: spaces, dashes, full-width digits, a leading "code:".

    Raises:
        UsageError: E_CODE_FORMAT. Nothing was sent, so the code still works.
    """
    if len(entered) > ENTRY_LIMIT_CHARS:
        raise _malformed(f"{len(entered)} characters")
    rest = _without_separators(_unlabelled(entered)[0])
    if not all(character.isdecimal() for character in rest):
        raise _malformed("it has something other than digits in it")
    digits = "".join(str(unicodedata.decimal(character)) for character in rest)
    if len(digits) != CODE_DIGITS:
        raise _malformed(f"{len(digits)} digits instead of {CODE_DIGITS}")
    if digits[-1] != _check_digit(digits[:-1]):
        raise _malformed("a digit is wrong, or two are swapped")
    return SupportCode(digits[:NAMEPLATE_DIGITS], digits[NAMEPLATE_DIGITS:-1])


def _unlabelled(entered: str) -> tuple[str, bool]:
    plain = unicodedata.normalize("NFKC", entered[: ENTRY_LIMIT_CHARS + 1]).strip()
    label = _LABEL.match(plain)
    return (plain[label.end() :], True) if label else (plain, False)


def _without_separators(text: str) -> str:
    return "".join(
        character
        for character in text
        if unicodedata.category(character) not in _SEPARATORS and character not in _SEPARATING
    )


def _digits(count: int) -> str:
    return f"{secrets.randbelow(10**count):0{count}d}"


def _check_digit(digits: str) -> str:
    total = 0
    for place, character in enumerate(reversed(digits)):
        value = int(character) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _malformed(why: str) -> UsageError:
    return UsageError(why, code=ErrorCode.E_CODE_FORMAT)
