"""How long a technician waits who was told no again and again."""

from agent.ask_patience import FIRST_WAIT_S, LONGEST_WAIT_S, NOES_FREE, TECHNICIANS_LIMIT, AskPatience


def _refused(times: int, at_s: float = 0.0) -> AskPatience:
    patience = AskPatience()
    for _ in range(times):
        patience.said_no("ada", at_s)
    return patience


def test_the_first_noes_cost_nothing() -> None:
    assert _refused(NOES_FREE - 1).may_ask("ada", 0.0)


def test_each_further_no_doubles_the_wait_up_to_an_hour() -> None:
    waits = []
    for times in range(NOES_FREE, NOES_FREE + 10):
        patience = _refused(times)
        waits.append(next(s for s in range(0, 4000, 60) if patience.may_ask("ada", float(s))))
    assert waits[:3] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert waits[-1] == LONGEST_WAIT_S


def test_a_yes_or_a_long_pause_forgets_the_noes() -> None:
    patience = _refused(NOES_FREE)
    patience.said_yes("ada")
    assert patience.may_ask("ada", 0.0)
    patience = _refused(NOES_FREE)
    patience.said_no("ada", LONGEST_WAIT_S)
    assert patience.may_ask("ada", LONGEST_WAIT_S)


def test_one_technician_s_noes_are_not_another_s() -> None:
    assert _refused(NOES_FREE + 5).may_ask("bob", 0.0)


def test_what_is_remembered_is_bounded() -> None:
    patience = _refused(NOES_FREE)
    for number in range(TECHNICIANS_LIMIT):
        patience.said_no(f"t{number}", 1.0)
    assert len(patience._noes) == TECHNICIANS_LIMIT
