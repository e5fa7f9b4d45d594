"""Bent chains before three verifiers: `python -m tests.attacks.chains --count 20000` prints JSON.

THREATS.md, CRT-18: never "ours accepts, another rejects" without a written reason; the reasons are below,
each with the check that it is really the one.
"""

import argparse
import hashlib
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from cryptography.utils import CryptographyDeprecationWarning

from protocol.limits import CLOCK_SKEW_S
from tests.support.bent_certificates import Case
from tests.support.chain_bends import corpus
from tests.support.chain_judges import (
    ACCEPTED,
    Judged,
    cryptographys,
    nearest_valid_moment,
    openssl,
    ours,
)

KEPT_EXAMPLES = 20
Judge = Callable[[Judged], str]


@dataclass(frozen=True)
class Reason:
    """Why ours may accept what another refuses. `holds` shows that it is this reason and no other."""

    text: str
    holds: Callable[[Judged], bool]


def _is_clock_skew(judged: Judged) -> bool:
    moved = replace(judged, now=nearest_valid_moment(judged, timedelta(seconds=CLOCK_SKEW_S)))
    return moved.now != judged.now and openssl(moved) == ACCEPTED and cryptographys(moved) == ACCEPTED


REASONS = {
    "clock skew": Reason(
        "Clocks of two machines differ, so ours allows CLOCK_SKEW_S at both ends of a validity. The others "
        "judge to the second, and accept the same chain at the nearest moment within it.",
        _is_clock_skew,
    ),
}


@dataclass
class Report:
    """What the three said of a corpus."""

    cases: int = 0
    accepted_by_ours: int = 0
    accepted_by_all: int = 0
    stricter_than_both: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    bends: Counter[str] = field(default_factory=Counter)
    with_reason: Counter[str] = field(default_factory=Counter)
    without_reason: list[dict[str, Any]] = field(default_factory=list)
    unbent_refused: list[str] = field(default_factory=list)
    digest: str = ""


def judge_corpus(count: int, seed: int, our_judge: Judge = ours) -> Report:
    """Judge so many chains. Any exception of ours but CertificateRefused goes through: that is a bug."""
    report, digest = Report(), hashlib.sha256()
    with warnings.catch_warnings():
        # ours refuses odd serials and names; the library warns of them first, which is an error in tests only
        for category in (CryptographyDeprecationWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        for case in corpus(count, seed):
            judged = Judged(case.chain_der(), case.root.render(), case.role, case.now)
            for certificate in (*judged.chain, judged.root):
                digest.update(certificate)
            _note(report, case, judged, our_judge(judged))
    report.digest = digest.hexdigest()
    return report


def _note(report: Report, case: Case, judged: Judged, verdict: str) -> None:
    report.cases += 1
    report.bends.update(label.partition(": ")[2] or label for label in case.labels)
    others = {"openssl": openssl(judged), "cryptography": cryptographys(judged)}
    refusing = {name: said for name, said in others.items() if said != ACCEPTED}
    if not case.labels and (verdict != ACCEPTED or refusing):
        report.unbent_refused.append(f"{case.role}: {verdict}, {refusing}")
    if verdict != ACCEPTED:
        report.refusals[verdict] += 1
        report.stricter_than_both += not refusing
        return
    report.accepted_by_ours += 1
    if not refusing:
        report.accepted_by_all += 1
        return
    reason = next((name for name, reason in REASONS.items() if reason.holds(judged)), None)
    if reason is not None:
        report.with_reason[reason] += 1
    elif len(report.without_reason) < KEPT_EXAMPLES:
        chain = [certificate.hex() for certificate in judged.chain]
        example = {"bends": case.labels, "role": judged.role, "now": judged.now.isoformat(), **refusing}
        report.without_reason.append(example | {"chain": chain, "root": judged.root.hex()})


def main(words: list[str] | None = None) -> int:
    """Judge, print one JSON document, and end with 1 where something has no reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.chains", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(words)
    began_s = time.monotonic()
    report = judge_corpus(given.count, given.seed)
    took_s = time.monotonic() - began_s
    found = len(report.without_reason)
    document = vars(report) | {
        "seed": given.seed,
        "took_s": round(took_s, 1),
        "cases_per_s": round(report.cases / took_s),
        "adversary": "sends any chain, and holds no key, a leaf's, an enroller's or the root's",
        "upper_bound": None if found else 3 / report.cases,
        "reasons": {name: reason.text for name, reason in REASONS.items()},
    }
    json.dump(document, sys.stdout, indent=1)
    print()
    return int(bool(found or report.unbent_refused))


if __name__ == "__main__":
    sys.exit(main())
