"""Which links show that two computers have one device's key, and that one computer alone never does."""

from hypothesis import given
from hypothesis import strategies as st

from relay.instances import Instances

KEY = "org/device/d-1"


def verdict(*instance_ids: str) -> bool:
    """Whether these links, one after the other, are those of two computers."""
    instances = Instances(10)
    return [instances.is_cloned(KEY, each) for each in instance_ids][-1]


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_one_computer_that_restarts_and_connects_again_at_will_is_never_two(restarts: list[bool]) -> None:
    run, links = 0, []
    for is_restart in restarts:
        run += is_restart
        links.append(f"run-{run}")
    instances = Instances(10)
    assert not any(instances.is_cloned(KEY, each) for each in links)


@given(
    st.lists(st.sampled_from(["a", "b", "restart a", "restart b"]), max_size=40),
    st.permutations(["a", "b"]),
)
def test_two_computers_are_found_once_each_came_back_after_the_other(
    before: list[str], order: list[str]
) -> None:
    runs, instances = {"a": 0, "b": 0}, Instances(10)
    for what in before:
        where = what[-1]
        runs[where] += what.startswith("restart")
        instances.is_cloned(KEY, f"{where}-{runs[where]}")
    last = [instances.is_cloned(KEY, f"{where}-{runs[where]}") for where in order * 2]
    assert last[-1]


def test_one_return_is_no_proof_and_a_second_of_the_same_run_neither() -> None:
    assert not verdict("a", "b", "a")
    assert not verdict("a", "b", "a", "c", "a")
    assert verdict("a", "b", "a", "b")
    assert verdict("a", "b", "c", "b", "a")


def test_an_agent_that_says_no_instance_is_left_alone() -> None:
    assert not verdict("", "", "", "")
    assert not verdict("a", "", "a", "", "a")


def test_devices_do_not_mix_and_the_oldest_are_forgotten() -> None:
    instances = Instances(2)
    for _ in range(4):
        assert not instances.is_cloned("one", "a")
        assert not instances.is_cloned("two", "b")
    for each in ("a", "b", "a"):
        instances.is_cloned("three", each)
    assert instances.is_cloned("three", "b")
    instances.forget("three")
    assert not instances.is_cloned("three", "a")
