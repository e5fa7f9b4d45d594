"""Grants: minted in one place, bound to everything, gone when they are over."""

import copy
import pickle
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from protocol.errors import ErrorCode, NotGranted, SupportError, WrongState
from protocol.grantables import Grantable
from protocol.grants import Grant, GrantBook, GrantParties, open_sealed_grant, seal_grant
from protocol.ids import DeviceId, SubjectId, new_session_id
from tests.support.organisation import Organisation

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
VIEW, RUN = Grantable.SCREEN_VIEW, Grantable.COMMANDS_RUN


def parties(device_id: str = "d-aaaaaaaaaaaaaaaaaaaa") -> GrantParties:
    return GrantParties(SubjectId("ada"), DeviceId(device_id), "x11:0", new_session_id())


def test_nobody_but_the_book_can_make_a_grant():
    with pytest.raises(WrongState):
        Grant(object(), VIEW, parties(), until_s=1e9)


def test_p4_a_grant_cannot_be_forged_from_one_that_is_there():
    [grant] = GrantBook(parties()).mint([VIEW], until_s=100.0)
    for forge in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(WrongState):
            forge(grant)
    for name in Grant.__slots__:
        with pytest.raises(WrongState):
            setattr(grant, name, RUN)
        with pytest.raises((WrongState, TypeError)):
            delattr(grant, name)
    with pytest.raises(WrongState):
        type("Forged", (Grant,), {})


def test_p4_what_only_looks_like_a_grant_is_not_sealed():
    [grant] = GrantBook(parties()).mint([RUN], until_s=100.0)
    forged = SimpleNamespace(**{name: getattr(grant, name) for name in Grant.__slots__})
    device = Organisation(now=NOW).device()
    with pytest.raises(WrongState):
        seal_grant(forged, "ab" * 32, device, remaining_s=60, now=NOW)


def test_only_what_was_minted_may_be_used_and_only_until_its_end():
    book = GrantBook(parties())
    [grant] = book.mint([VIEW], until_s=100.0)
    assert book.require(VIEW, 99.9) is grant
    with pytest.raises(NotGranted) as caught:
        book.require(VIEW, 100.0)
    assert caught.value.code is ErrorCode.E_GRANT_ENDED
    with pytest.raises(NotGranted) as caught:
        book.require(RUN, 0.0)
    assert caught.value.code is ErrorCode.E_GRANT_NONE


def test_ending_one_leaves_the_others():
    book = GrantBook(parties())
    view, run = book.mint([VIEW, RUN], until_s=100.0)
    assert book.end(view)
    assert not book.end(view)
    assert book.require(RUN, 0.0) is run
    assert book.end_due(100.0) == [run]


def test_after_end_all_nothing_can_be_minted():
    book = GrantBook(parties())
    book.mint([VIEW], until_s=100.0)
    assert len(book.end_all()) == 1
    with pytest.raises(WrongState):
        book.mint([VIEW], until_s=100.0)


class TestSealedGrants:
    def sealed(self, organisation, *, remaining_s: float = 500.0):
        device = organisation.device()
        book = GrantBook(parties(device.subject_id))
        [grant] = book.mint([RUN], until_s=100.0)
        return grant, seal_grant(grant, "ab" * 32, device, remaining_s=remaining_s, now=NOW)

    def test_a_sealed_grant_says_what_was_granted_for_a_minute(self):
        organisation = Organisation(now=NOW)
        grant, sealed = self.sealed(organisation)
        opened, signer = open_sealed_grant(sealed, organisation.root_der, request_sha256="ab" * 32, now=NOW)
        assert opened.grant_id == grant.grant_id
        assert signer.subject_id == opened.device_id
        assert opened.grantable is RUN
        with pytest.raises(SupportError) as caught:
            open_sealed_grant(
                sealed, organisation.root_der, request_sha256="ab" * 32, now=NOW + timedelta(seconds=60)
            )
        assert caught.value.code is ErrorCode.E_GRANT_ENDED

    def test_it_is_good_for_its_own_request_alone(self):
        organisation = Organisation(now=NOW)
        _, sealed = self.sealed(organisation)
        with pytest.raises(SupportError) as caught:
            open_sealed_grant(sealed, organisation.root_der, request_sha256="cd" * 32, now=NOW)
        assert caught.value.code is ErrorCode.E_GRANT_NONE

    def test_another_organisations_device_cannot_seal_one(self):
        _, sealed = self.sealed(Organisation(now=NOW))
        with pytest.raises(SupportError):
            open_sealed_grant(sealed, Organisation(now=NOW).root_der, request_sha256="ab" * 32, now=NOW)
