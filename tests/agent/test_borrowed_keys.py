"""Which unused keycode stands for which keysym, and when: pure."""

from hypothesis import given
from hypothesis import strategies as st

from agent.platform.x11.borrowed_keys import (
    BOUND_LIMIT,
    CHANGE_REST_S,
    MORE_REST_S,
    REUSE_REST_S,
    BorrowedKeys,
)

UNUSED = [8, 93, 97, 103]
A, B, C, D, E, F = range(0x01000430, 0x01000436)


def bound(keys: BorrowedKeys, wanted: list[int], unused: list[int], now_s: float) -> dict[int, int]:
    chosen = keys.choose(wanted, unused, [])
    assert keys.change_in_s(chosen, now_s) == 0.0
    keys.changed(chosen, now_s)
    return chosen


def test_a_first_key_is_bound_and_pressed_at_once() -> None:
    keys = BorrowedKeys()
    assert bound(keys, [A], UNUSED, 50.0) == {A: 103}
    assert keys.ready_in_s(50.0) == 0.0


def test_a_second_change_waits_until_clients_have_read_the_first() -> None:
    keys = BorrowedKeys()
    bound(keys, [A], UNUSED, 50.0)
    chosen = keys.choose([B], UNUSED[:-1], [])
    assert 0.0 < keys.change_in_s(chosen, 50.0 + CHANGE_REST_S / 2) <= CHANGE_REST_S / 2 + 1e-9
    assert keys.change_in_s(chosen, 50.0 + CHANGE_REST_S + 1e-9) == 0.0


def test_after_several_changes_at_once_no_key_is_pressed_before_clients_have_read_each() -> None:
    keys = BorrowedKeys()
    bound(keys, [A, B, C], UNUSED, 50.0)
    rest_s = CHANGE_REST_S + 2 * MORE_REST_S
    assert keys.ready_in_s(50.0) >= rest_s - 1e-9
    assert keys.ready_in_s(50.0 + rest_s + 1e-9) == 0.0


def test_a_keycode_whose_key_was_just_pressed_is_not_bound_anew() -> None:
    keys = BorrowedKeys()
    bound(keys, [A], [8], -9.0)
    keys.used(A, 0.0)
    chosen = keys.choose([B], [], [])
    assert chosen == {B: 8}
    assert keys.change_in_s(chosen, 0.0) == REUSE_REST_S
    assert keys.free_in_s(0.0) == REUSE_REST_S
    assert keys.change_in_s(chosen, REUSE_REST_S) == 0.0


def test_the_key_that_was_pressed_last_is_the_last_to_be_bound_anew() -> None:
    keys = BorrowedKeys()
    bound(keys, [A, B, C, D], UNUSED, 50.0)
    for keysym in (C, D, A):
        keys.used(keysym, 51.0)
    assert list(keys.choose([E, F], [], [])) == [E, F]
    assert keys.choose([E], [], [])[E] == keys.keycodes[B]
    keys.used(B, 51.5)
    assert keys.choose([E], [], [])[E] == keys.keycodes[C]


def test_what_is_bound_anew_no_longer_stands_for_the_keysym_before() -> None:
    keys = BorrowedKeys()
    bound(keys, [A], [8], 50.0)
    bound(keys, [B], [], 60.0)
    assert keys.keycodes == {B: 8}


def test_a_keyboard_map_that_somebody_else_set_anew_is_written_again() -> None:
    keys = BorrowedKeys()
    bound(keys, [A, B], [8, 93], 50.0)
    keys.forget(A)  # 93 is somebody's key now
    assert bound(keys, [A], [97], 60.0) == {A: 97}
    assert keys.keycodes == {B: 8, A: 97}


def test_what_comes_next_in_the_text_keeps_its_keycode() -> None:
    keys = BorrowedKeys()
    bound(keys, [A, B, C, D], UNUSED, 50.0)
    for keysym in (D, C, B, A):
        keys.used(keysym, 51.0)
    chosen = keys.choose([E, D, C, F, B, A], [], [])
    assert chosen == {E: keys.keycodes[B], F: keys.keycodes[A]}


def test_without_a_keycode_to_borrow_there_is_none() -> None:
    assert BorrowedKeys().choose([A], [], []) == {}
    assert BorrowedKeys().choose([A], [8], [8]) == {}


@given(
    wanted=st.lists(st.integers(0x01000100, 0x01000400), unique=True, max_size=100),
    unused=st.lists(st.integers(8, 255), unique=True, max_size=100),
    data=st.data(),
)
def test_a_keycode_stands_for_one_keysym_and_what_is_down_stays(
    wanted: list[int], unused: list[int], data: st.DataObject
) -> None:
    keys, now_s, rows = BorrowedKeys(), 0.0, dict.fromkeys(unused, 0)
    at = 0
    while at < len(wanted):
        held = set(data.draw(st.lists(st.sampled_from(unused), max_size=3))) if unused else set()
        more = wanted[at : at + data.draw(st.integers(1, 30))]
        chosen = keys.choose(more, [code for code in sorted(rows) if not rows[code]], held)
        assert not held & set(chosen.values())
        assert len(set(chosen.values())) == len(chosen)
        assert list(chosen) == more[: len(chosen)]
        now_s += 10.0
        keys.changed(chosen, now_s)
        rows |= {code: keysym for keysym, code in chosen.items()}
        assert len(keys.keycodes) <= BOUND_LIMIT
        assert all(rows[code] == keysym for keysym, code in keys.keycodes.items())
        at += max(1, len(chosen))
