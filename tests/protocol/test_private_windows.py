"""Entries of the lists of private windows: which windows they mean, and what is refused."""

import fnmatch
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, PeerViolation
from protocol.limits import (
    PRIVATE_WINDOW_CLASS_LIMIT_CHARS,
    PRIVATE_WINDOW_TITLE_LIMIT_CHARS,
    PRIVATE_WINDOWS_LIMIT,
    PRIVATE_WINDOWS_LIMIT_BYTES,
    WINDOW_TEXT_LIMIT_CHARS,
)
from protocol.private_windows import (
    PrivateWindow,
    decode_private_windows,
    encode_private_windows,
    is_match,
    united,
)

SMALL = st.text("ab*?", max_size=8)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("keepassxc", "KeePassXC"),
        ("*bank*", "My Bank - Browser"),
        ("*bank*", "bank"),
        ("*bank", "the BANK"),
        ("?at", "cat"),
        ("*", ""),
        ("**a**b*", "xaxbx"),
        ("stra\u00dfe", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("[a]", "[A]"),
    ],
)
def test_a_pattern_fits(pattern, text):
    assert is_match(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("bank", "my bank"),
        ("bank", "bank "),
        ("?at", "at"),
        ("[ab]", "a"),
        ("a.c", "abc"),
        ("*a*b", "ba"),
        ("", "a"),
        ("?", ""),
    ],
)
def test_a_pattern_does_not_fit(pattern, text):
    assert not is_match(pattern, text)


@given(SMALL, st.text("ab", max_size=12))
def test_without_brackets_it_is_the_usual_rule_of_file_names(pattern, text):
    assert is_match(pattern, text) == fnmatch.fnmatchcase(text, pattern)


def test_a_title_that_almost_fits_everywhere_is_judged_all_the_same():
    """A search that tries every way to spread the stars would not end in a lifetime."""
    stars = PRIVATE_WINDOW_TITLE_LIMIT_CHARS // 2 - 1
    assert not is_match("*a" * stars + "*b", "a" * WINDOW_TEXT_LIMIT_CHARS)


def test_where_class_and_title_are_given_one_window_has_to_fit_both():
    entry = PrivateWindow(window_class="firefox", title="*bank*")
    assert entry.fits(["Navigator", "Firefox"], ["My bank"])
    assert not entry.fits(["Firefox"], ["News"])
    assert not entry.fits(["Editor"], ["My bank"])


def test_either_of_two_classes_and_titles_is_enough():
    assert PrivateWindow(window_class="vault").fits(["vault", "Other"], [])
    assert PrivateWindow(title="*b*").fits([], ["a", "abc"])
    assert not PrivateWindow(title="*").fits(["Vault"], [])


def test_a_title_that_was_cut_fits_every_title_but_no_other_class():
    assert PrivateWindow(title="*end").fits([], ["beginning"], are_titles_cut=True)
    assert not PrivateWindow(window_class="vault", title="*").fits(["Other"], [""], are_titles_cut=True)


@pytest.mark.parametrize("fields", [{}, {"title": " "}, {"window_class": "", "title": ""}])
def test_an_entry_that_names_nothing_is_refused(fields):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, PrivateWindow)


def test_what_is_sent_comes_back_and_two_full_lists_fit():
    entries = [
        PrivateWindow(
            window_class=chr(0x1F600 + number) * PRIVATE_WINDOW_CLASS_LIMIT_CHARS,
            title=chr(0x1F600) * PRIVATE_WINDOW_TITLE_LIMIT_CHARS,
        )
        for number in range(2 * PRIVATE_WINDOWS_LIMIT)
    ]
    encoded = encode_private_windows(entries)
    assert len(encoded) < PRIVATE_WINDOWS_LIMIT_BYTES
    assert list(decode_private_windows(encoded)) == entries


@pytest.mark.parametrize(
    ("encoded", "code"),
    [
        (bytes(PRIVATE_WINDOWS_LIMIT_BYTES + 1), ErrorCode.E_MESSAGE_SIZE),
        (b"\xc1", ErrorCode.E_MESSAGE_FORMAT),
        (msgspec.msgpack.encode([{}]), ErrorCode.E_MESSAGE_FORMAT),
        (msgspec.msgpack.encode([{"title": "x" * 129}]), ErrorCode.E_MESSAGE_FORMAT),
        (msgspec.msgpack.encode([{"title": "x", "regex": "y"}]), ErrorCode.E_MESSAGE_FORMAT),
        (msgspec.msgpack.encode([{"title": "x"}] * 65), ErrorCode.E_MESSAGE_FORMAT),
    ],
)
def test_what_is_not_a_list_of_entries_is_refused(encoded, code):
    with pytest.raises(PeerViolation) as refused:
        decode_private_windows(encoded)
    assert refused.value.code is code


@given(st.binary(max_size=200))
def test_noise_is_a_list_or_a_violation_and_nothing_else(noise):
    with suppress(PeerViolation):
        assert isinstance(decode_private_windows(noise), tuple)


def test_lists_are_united_and_an_entry_of_both_stands_once():
    first, second = PrivateWindow(title="a"), PrivateWindow(title="b")
    assert united([first], [second, first]) == (first, second)
