"""Support codes as text: what is shown can be typed back in, and a slip is noticed before it is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, UsageError
from protocol.support_code import CODE_DIGITS, SupportCode, draw_code, means_code, read_code

codes = st.builds(
    SupportCode,
    st.text("0123456789", min_size=4, max_size=4),
    st.text("0123456789", min_size=10, max_size=10),
)


@given(codes)
def test_what_is_shown_is_read_back(code):
    assert read_code(code.shown()) == code
    assert means_code(code.shown())


def test_a_code_is_shown_in_five_groups_of_three():
    groups = draw_code().shown().split(" ")
    assert [len(group) for group in groups] == [3] * 5


def test_the_secret_is_in_no_representation():
    code = SupportCode("1234", "9876543210")
    assert "9876543210" not in repr(code)
    assert "9876543210" not in str(code)


@given(codes, st.integers(0, CODE_DIGITS - 1), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(code, place, added):
    digits = code.shown().replace(" ", "")
    changed = str((int(digits[place]) + added) % 10)
    with pytest.raises(UsageError) as refused:
        read_code(digits[:place] + changed + digits[place + 1 :])
    assert refused.value.code is ErrorCode.E_CODE_FORMAT


@given(codes, st.integers(0, CODE_DIGITS - 2))
def test_two_swapped_neighbours_are_noticed_but_for_nine_and_nought(code, place):
    digits = code.shown().replace(" ", "")
    pair = digits[place : place + 2]
    swapped = digits[:place] + pair[::-1] + digits[place + 2 :]
    if pair[0] == pair[1] or set(pair) == {"0", "9"}:
        return
    with pytest.raises(UsageError):
        read_code(swapped)


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused(text):
    try:
        code = read_code(text)
    except UsageError as exc:
        assert exc.code is ErrorCode.E_CODE_FORMAT
    else:
        assert read_code(code.shown()) == code


@pytest.mark.parametrize("text", ["reception-pc", "d-abcdefghij2345", "code-red", "codebox", "12345", ""])
def test_names_and_ids_of_devices_are_no_codes(text):
    assert not means_code(text)


@pytest.mark.parametrize(
    "text", ["code: 123", "Code 1", "123 456 789", "".join(chr(0xFF10 + digit) for digit in range(1, 10))]
)
def test_what_can_only_be_meant_as_a_code_is_taken_for_one(text):
    assert means_code(text)
