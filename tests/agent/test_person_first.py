"""While a person uses their own devices, nobody moves the pointer from afar."""

from agent.desktop.person_first import AIMED_PX, GUARD_S, MOVED_PX, PersonFirst


def test_a_mouse_that_trembles_takes_no_pointer() -> None:
    person = PersonFirst()
    for step in range(2000):
        person.moved((-1) ** step * 3, (-1) ** (step // 2) * 2, step / 1000)
        assert not person.has_pointer(step / 1000)


def test_a_slow_drift_below_the_threshold_takes_no_pointer() -> None:
    person = PersonFirst()
    for second in range(100):
        person.moved(MOVED_PX - 1, 0, second * GUARD_S)
        assert not person.has_pointer(second * GUARD_S)


def test_many_small_steps_one_way_take_the_pointer_until_a_second_after_the_last() -> None:
    person = PersonFirst()
    for step in range(MOVED_PX):
        assert not person.has_pointer(step * 0.01)
        person.moved(0, -1, step * 0.01)
    last_s = (MOVED_PX - 1) * 0.01
    assert person.has_pointer(last_s + GUARD_S - 0.001)
    assert not person.has_pointer(last_s + GUARD_S)
    assert not person.has_keys(last_s)


def test_who_is_moving_keeps_the_pointer_while_they_aim() -> None:
    person = PersonFirst()
    person.moved(MOVED_PX, 0, 0.0)
    for tenth in range(1, 50):
        person.moved(AIMED_PX / 2, 0, tenth / 10)
        assert person.has_pointer(tenth / 10)


def test_a_press_takes_the_pointer_and_a_key_the_keys() -> None:
    person = PersonFirst()
    person.pressed(5.0)
    assert (person.has_pointer(5.9), person.has_keys(5.9)) == (True, False)
    person.typed(8.0)
    assert (person.has_pointer(8.9), person.has_keys(8.9)) == (False, True)
