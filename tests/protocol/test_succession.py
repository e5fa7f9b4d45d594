"""Successor roots: one line, each step signed by the kit that the root before names."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.certificates import Role
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.identity import Identity
from protocol.succession import RootLine, make_successor, read_step, sign_step
from protocol.trust import Trust
from tests.support.organisation import Organisation, acme, der, intruders, new_key

NOW = datetime.now(UTC)
E = ErrorCode

FIRST = Organisation("Acme", now=NOW)
SECOND, TO_SECOND = FIRST.successor()
THIRD, TO_THIRD = SECOND.successor()
RIVAL, TO_RIVAL = FIRST.successor()


def code_of(line: RootLine, *steps: bytes) -> str:
    """What taking these steps comes to: "news", "known" or the refusal's code."""
    before = line.all
    try:
        return "news" if line.take(steps) else "known"
    except DocumentRefused as exc:
        assert line.all == before, "a refusal changes nothing"
        return exc.code


def verdict(trust: Trust, identity: Identity) -> str:
    """Whether this identity is believed: "" or the refusal's code."""
    try:
        trust.verify(identity.chain, roles=set(Role), now=NOW)
    except CertificateRefused as exc:
        return exc.code
    return ""


def test_the_line_is_followed_step_by_step_or_at_once_and_keeps_the_organisations_id() -> None:
    slow, fast = RootLine(FIRST.root_der), RootLine(FIRST.root_der)
    assert [code_of(slow, TO_SECOND), code_of(slow, TO_SECOND, TO_THIRD)] == ["news", "news"]
    assert code_of(fast, TO_SECOND, TO_THIRD) == "news"
    assert code_of(fast, TO_SECOND, TO_THIRD) == "known"
    for line in (slow, fast):
        assert (line.newest, line.generation) == (THIRD.root_der, 2)
        assert line.steps == [TO_SECOND, TO_THIRD]
        assert line.organisation_id == FIRST.organisation_id


def test_who_joined_under_a_later_root_learns_the_former_ones() -> None:
    line = RootLine(THIRD.root_der)
    assert code_of(line, TO_SECOND, TO_THIRD) == "news"
    assert line.all == [THIRD.root_der, SECOND.root_der, FIRST.root_der]


def test_crt_15_a_skipped_generation_is_refused() -> None:
    assert code_of(RootLine(FIRST.root_der), TO_THIRD) == E.E_ROOT_SUCCESSOR


@pytest.mark.parametrize("first", [True, False], ids=["the rival second", "the rival first"])
def test_crt_15_two_successors_of_one_root_are_a_fork_and_the_first_one_stays(first: bool) -> None:
    line = RootLine(FIRST.root_der)
    one, other = (TO_SECOND, TO_RIVAL) if first else (TO_RIVAL, TO_SECOND)
    assert code_of(line, one) == "news"
    newest = line.newest
    assert code_of(line, other) == E.E_ROOT_FORK
    assert line.newest == newest


def test_crt_15_a_fork_is_seen_as_well_by_who_is_further_on() -> None:
    line = RootLine(FIRST.root_der)
    line.take([TO_SECOND, TO_THIRD])
    assert code_of(line, TO_RIVAL) == E.E_ROOT_FORK


def test_crt_15_steps_of_another_organisation_are_refused() -> None:
    _, elsewhere = intruders().successor()
    assert code_of(RootLine(FIRST.root_der), elsewhere) == E.E_ROOT_SUCCESSOR
    assert code_of(RootLine(FIRST.root_der), TO_SECOND, elsewhere) == E.E_ROOT_SUCCESSOR


def test_crt_15_after_the_cut_the_former_root_counts_for_devices_alone() -> None:
    trust = Trust(FIRST.root_der)
    old = [FIRST.technician(), FIRST.admin(), FIRST.policy_signer()]
    assert [verdict(trust, one) for one in old] == [""] * 3
    trust.roots.take([TO_SECOND])
    assert [verdict(trust, one) for one in old] == [E.E_CERT_CHAIN] * 3
    assert verdict(trust, FIRST.device()) == ""
    new = [SECOND.technician(), SECOND.admin(), SECOND.policy_signer(), SECOND.device()]
    assert [verdict(trust, one) for one in new] == [""] * 4


def test_crt_15_neither_the_former_roots_key_nor_another_key_signs_a_successor() -> None:
    for key in (FIRST.root_key, new_key(), SECOND.recovery_key):
        with pytest.raises(DocumentRefused):
            make_successor(FIRST.root_der, key, new_key().public_key(), now=NOW)
        with pytest.raises(DocumentRefused) as caught:
            sign_step(FIRST.root_der, SECOND.root_der, key)
        assert caught.value.code is E.E_ROOT_SUCCESSOR


def test_crt_15_the_kit_signs_nothing_but_a_successor() -> None:
    with pytest.raises(DocumentRefused):
        sign_step(FIRST.root_der, THIRD.root_der, FIRST.recovery_key)
    with pytest.raises(DocumentRefused):
        sign_step(FIRST.root_der, intruders().root_der, FIRST.recovery_key)
    with pytest.raises(DocumentRefused):
        sign_step(FIRST.root_der, der(FIRST.enroller().certificate), FIRST.recovery_key)


@settings(max_examples=300)
@given(st.integers(0, 5000), st.integers(0, 255))
def test_a_step_with_one_byte_changed_is_refused_or_the_same_step(place: int, byte: int) -> None:
    changed = bytearray(TO_SECOND)
    changed[place % len(changed)] = byte
    try:
        step = read_step(bytes(changed))
    except DocumentRefused as exc:
        assert exc.code is E.E_ROOT_SUCCESSOR
        return
    assert (step.previous, step.root) == (FIRST.root_der, SECOND.root_der)


@given(st.binary(max_size=300))
def test_noise_is_refused_with_one_code(noise: bytes) -> None:
    with pytest.raises(DocumentRefused) as caught:
        read_step(noise)
    assert caught.value.code is E.E_ROOT_SUCCESSOR


STEPS = st.sampled_from([TO_SECOND, TO_THIRD, TO_RIVAL])


@settings(max_examples=60)
@given(st.lists(st.lists(STEPS, max_size=3), max_size=5))
def test_crt_15_whatever_comes_the_line_is_linear_and_only_grows(offers: list[list[bytes]]) -> None:
    line = RootLine(FIRST.root_der)
    for offered in offers:
        before = line.all
        code_of(line, *offered)
        assert line.all[len(line.all) - len(before) :] == before
        assert not {SECOND.root_der, RIVAL.root_der} <= set(line.all)


def test_a_root_without_a_kit_has_no_successor() -> None:
    from protocol.certificates import make_root

    root, _ = make_root("Old", now=NOW)
    with pytest.raises(DocumentRefused):
        make_successor(der(root), new_key(), new_key().public_key(), now=NOW)
    assert verdict(Trust(acme().root_der), acme().technician()) == ""
