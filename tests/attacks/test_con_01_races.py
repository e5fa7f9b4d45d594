"""A sample of `python -m tests.attacks.races`, and that its oracle sees what it is there to see."""

from typing import Any

import pytest

from agent.session_channels import GrantedChannel
from agent.session_consent import SessionConsent
from protocol.grantables import Grantable
from tests.attacks.races import run_races

SAMPLE = 60


def test_con_01_no_early_action_has_an_effect_in_a_sample_of_races() -> None:
    violations, seen = run_races(1, SAMPLE)
    assert violations == []
    assert all(seen[each] for each in Grantable), "the control: what was allowed did act"


def test_con_01_the_oracle_notices_a_channel_that_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def require(self: Any, grantable: Grantable) -> Any:
        return next(iter(self._consent.book.live), None) if self._consent.book else None

    def any_live(self: SessionConsent, grantable: Grantable) -> Any:
        return next((grant for grant in self.book.live), None) if self.book else None

    monkeypatch.setattr(GrantedChannel, "require", require)
    monkeypatch.setattr(SessionConsent, "require", any_live)
    violations, _ = run_races(1, SAMPLE)
    assert violations
