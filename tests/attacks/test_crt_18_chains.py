"""Ours beside OpenSSL and `cryptography` over bent chains (THREATS.md, CRT-18).

The whole sweep: `python -m tests.attacks.chains --count 20000`.
"""

import pytest

from protocol.errors import ErrorCode
from tests.attacks.chains import REASONS, judge_corpus
from tests.support.chain_bends import OF_CHAIN, OF_ONE
from tests.support.chain_judges import ACCEPTED, Judged, openssl, ours

CASES = 2000
SEED = 18


def test_crt_18_ours_accepts_nothing_that_another_refuses_without_a_written_reason() -> None:
    report = judge_corpus(CASES, SEED)
    assert report.cases == CASES
    assert report.without_reason == []
    assert set(report.with_reason) <= set(REASONS)
    # the control: what nobody bent is accepted by all three, and the corpus is not all refused at the door
    assert report.unbent_refused == []
    assert report.accepted_by_all > CASES / 20
    assert len(report.bends) >= len(set(OF_ONE)) + len(set(OF_CHAIN))
    wanted = {"FORMAT", "CHAIN", "ORG", "ROLE", "SUBJECT", "EXPIRED", "NOT_YET", "LIFETIME", "SCOPE"}
    assert set(report.refusals) >= {f"E_CERT_{word}" for word in wanted}


def test_crt_18_the_corpus_is_the_same_for_the_same_seed() -> None:
    assert judge_corpus(60, 3).digest == judge_corpus(60, 3).digest
    assert judge_corpus(60, 3).digest != judge_corpus(60, 4).digest


def _forgetful(judged: Judged) -> str:
    """As ours, but whatever OpenSSL alone would catch is let through."""
    verdict = ours(judged)
    return ACCEPTED if verdict == ErrorCode.E_CERT_CHAIN else verdict


@pytest.mark.parametrize("lax", [_forgetful, openssl], ids=["links-unchecked", "openssl-alone"])
def test_crt_18_a_verifier_that_forgets_a_check_would_be_noticed(lax) -> None:
    assert judge_corpus(150, SEED, lax).without_reason
