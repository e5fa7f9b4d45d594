"""Token buckets."""

from relay.ratelimit import KEYS_LIMIT, Rate, RateLimit


def test_a_burst_passes_and_the_next_one_waits() -> None:
    limit = RateLimit(Rate(burst=3, per_second=1))
    assert [limit.take("a", 0) for _ in range(4)] == [True, True, True, False]
    assert not limit.take("a", 0.5)
    assert limit.take("a", 1.0)
    assert not limit.take("a", 1.0)


def test_keys_do_not_pay_for_each_other() -> None:
    limit = RateLimit(Rate(burst=1, per_second=0))
    assert limit.take("a", 0)
    assert not limit.take("a", 0)
    assert limit.take("b", 0)


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    limit = RateLimit(Rate(burst=2, per_second=1))
    limit.take("a", 0)
    assert [limit.take("a", 1_000_000) for _ in range(3)] == [True, True, False]


def test_a_charge_empties_the_bucket_and_not_more() -> None:
    limit = RateLimit(Rate(burst=10, per_second=1))
    limit.charge("a", 0, 1000)
    assert not limit.take("a", 0.5)
    assert limit.take("a", 1.0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    limit = RateLimit(Rate(burst=1, per_second=1))
    assert limit.take("a", 100)
    assert not limit.take("a", 50)


def test_the_number_of_remembered_keys_is_bounded() -> None:
    limit = RateLimit(Rate(burst=1, per_second=1))
    for number in range(KEYS_LIMIT + 100):
        limit.take(str(number), 0)
    assert limit.keys == KEYS_LIMIT
