"""Status lists: one spelling, a version that only rises, revocations that nobody takes back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.certificates import Role
from protocol.envelope import sign_envelope
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode, SupportError
from protocol.identity import Identity
from protocol.limits import REVOCATIONS_LIMIT
from protocol.status_list import STATUS_TYPE, Revocation, StatusList, encode_status, parse_status
from protocol.trust import Trust
from protocol.trust_store import TrustStore
from tests.support.organisation import acme, intruders
from tests.support.statuses import DAY, revocation, revoked, signed_status

NOW = datetime.now(UTC).replace(microsecond=0)
E = ErrorCode

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
ENTRIES = st.builds(
    Revocation,
    st.sampled_from(Role),
    st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}\Z", fullmatch=True),
    MOMENTS,
)
LISTS = st.builds(
    StatusList,
    organisation_id=st.just(acme().organisation_id),
    version=st.integers(1, 2**31 - 1),
    issued_at_utc=st.just(NOW),
    expires_at_utc=st.just(NOW + DAY),
    revoked=st.frozensets(ENTRIES, max_size=6),
    sha256=st.just(""),
)


def store(folder: Path) -> TrustStore:
    """A store of this folder, loaded."""
    made = TrustStore(Trust(acme().root_der), folder)
    made.load()
    return made


def code_of(statuses: TrustStore, envelope: bytes, now: datetime = NOW) -> str:
    """What accepting it comes to: "new", "known" or the refusal's code."""
    try:
        return "new" if statuses.accept(envelope, now) else "known"
    except SupportError as exc:
        return exc.code


def is_refused(trust: Trust, identity: Identity) -> bool:
    """Whether this chain is refused for being revoked, and for nothing else."""
    try:
        trust.verify(identity.chain, roles=set(Role), now=NOW)
    except CertificateRefused as exc:
        assert exc.code is E.E_CERT_REVOKED
        return True
    return False


@given(LISTS)
def test_what_is_written_is_read_back_the_same(status: StatusList) -> None:
    read = parse_status(encode_status(status))
    assert (read.version, read.revoked, read.expires_at_utc) == (
        status.version,
        status.revoked,
        status.expires_at_utc,
    )


@given(st.binary(max_size=400))
def test_noise_is_refused_with_one_code(noise: bytes) -> None:
    with pytest.raises(DocumentRefused) as caught:
        parse_status(noise)
    assert caught.value.code is E.E_STATUS_FORMAT


@settings(max_examples=300)
@given(LISTS, st.integers(0, 600), st.integers(0, 255))
def test_a_list_with_one_byte_changed_is_refused_or_says_something_else(
    status: StatusList, place: int, byte: int
) -> None:
    payload = bytearray(encode_status(status))
    payload[place % len(payload)] = byte
    try:
        read = parse_status(bytes(payload))
    except DocumentRefused as exc:
        assert exc.code is E.E_STATUS_FORMAT
        return
    assert encode_status(read) == bytes(payload)


@pytest.mark.parametrize(
    "spelling",
    [
        lambda text: text.replace(b'"version":1', b'"version":1,"version":2'),
        lambda text: text.replace(b'"version":1', b'"version": 1'),
        lambda text: text.replace(b'"version":1', b'"version":1,"comment":""'),
        lambda text: text.replace(b'"version":1', b'"version":true'),
        lambda text: text + b"\n",
    ],
    ids=["a member twice", "white space", "another member", "a bool as number", "trailing bytes"],
)
def test_another_spelling_is_refused(spelling) -> None:
    good = encode_status(
        parse_status(encode_status(StatusList(acme().organisation_id, 1, NOW, NOW + DAY, frozenset(), "")))
    )
    parse_status(good)
    with pytest.raises(DocumentRefused):
        parse_status(spelling(good))


def test_a_list_that_is_full_is_not_made() -> None:
    entries = frozenset(revocation(Role.TECHNICIAN, f"t{number}") for number in range(REVOCATIONS_LIMIT + 1))
    with pytest.raises(DocumentRefused):
        encode_status(StatusList(acme().organisation_id, 1, NOW, NOW + DAY, entries, ""))


def test_a_full_list_fits_into_its_envelope(tmp_path: Path) -> None:
    entries = [revocation(Role.DEVICE, f"d-{number:061}") for number in range(REVOCATIONS_LIMIT)]
    assert code_of(store(tmp_path), signed_status(acme(), *entries)) == "new"


ADA, DEVICE, SIGNER = acme().technician(), acme().device(), acme().policy_signer()


def test_technicians_devices_and_the_devices_of_an_enroller_are_revoked_each_by_their_id(
    tmp_path: Path,
) -> None:
    statuses, enroller = store(tmp_path), acme().enroller()
    sibling = acme().device(enroller=enroller)
    peer = statuses.trust.verify(sibling.chain, roles={Role.DEVICE}, now=NOW)
    assert peer.enroller is not None
    statuses.accept(
        signed_status(acme(), revoked(ADA), revoked(DEVICE), revocation(Role.ENROLLER, peer.enroller.serial)),
        NOW,
    )
    assert [is_refused(statuses.trust, who) for who in (ADA, DEVICE, sibling)] == [True] * 3
    others = (acme().technician("bob"), acme().device(), acme().admin("ada"))
    assert [is_refused(statuses.trust, who) for who in others] == [False] * 3


def test_a_revoked_signer_signs_nothing_more(tmp_path: Path) -> None:
    statuses, successor = store(tmp_path), acme().person(Role.POLICY, "policy-2")
    revoking = signed_status(acme(), revoked(SIGNER), version=2, signer=successor)
    assert code_of(statuses, revoking) == "new"
    assert code_of(statuses, signed_status(acme(), revoked(SIGNER), version=3)) == E.E_POLICY_SIGNATURE


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (signed_status(acme(), revoked(ADA), version=2), E.E_STATUS_VERSION),
        (signed_status(acme(), version=3), E.E_STATUS_FORK),
        (signed_status(acme(), version=4), E.E_STATUS_VERSION),
        (signed_status(intruders(), revoked(ADA), version=4), E.E_POLICY_SIGNATURE),
        (signed_status(acme(), revoked(ADA), version=4, signer=acme().admin()), E.E_POLICY_SIGNATURE),
        (signed_status(acme(), revoked(ADA), version=4, signer=ADA), E.E_POLICY_SIGNATURE),
        (signed_status(acme(), revoked(ADA), revoked(SIGNER), version=4), E.E_POLICY_SIGNATURE),
        (
            signed_status(acme(), revoked(ADA), version=4, issued=NOW - 9 * DAY, lifetime=DAY),
            E.E_STATUS_EXPIRED,
        ),
        (sign_envelope(STATUS_TYPE, b"{}", SIGNER), E.E_STATUS_FORMAT),
        (sign_envelope("text/plain", b"{}", SIGNER), E.E_POLICY_SIGNATURE),
        (b"garbage", E.E_POLICY_SIGNATURE),
    ],
    ids=[
        "older", "same version, other content", "takes a revocation back", "another organisation",
        "signed by an admin", "signed by a technician", "revokes its signer", "over", "no list",
        "another type", "garbage",
    ],
)  # fmt: skip
def test_a_list_that_may_not_be_put_in_force_leaves_the_one_before(
    tmp_path: Path, envelope: bytes, code: ErrorCode
) -> None:
    statuses = store(tmp_path)
    held = signed_status(acme(), revoked(ADA), version=3)
    assert [code_of(statuses, held), code_of(statuses, held)] == ["new", "known"]
    assert code_of(statuses, envelope) == code
    for after in (statuses, store(tmp_path)):
        assert after.version == 3
        assert is_refused(after.trust, ADA)


def test_an_entry_whose_time_has_passed_may_be_left_out(tmp_path: Path) -> None:
    statuses = store(tmp_path)
    statuses.accept(signed_status(acme(), revocation(Role.TECHNICIAN, "old", NOW + DAY)), NOW)
    assert code_of(statuses, signed_status(acme(), version=2), NOW + 2 * DAY) == "new"


def test_a_list_that_is_over_goes_on_to_revoke_and_lets_nobody_in(tmp_path: Path) -> None:
    store(tmp_path).accept(signed_status(acme(), revoked(ADA), issued=NOW, lifetime=DAY), NOW)
    trust = store(tmp_path).trust
    trust.require_fresh(NOW)
    with pytest.raises(DocumentRefused) as caught:
        trust.require_fresh(NOW + DAY)
    assert caught.value.code is E.E_STATUS_EXPIRED
    assert is_refused(trust, ADA)


@pytest.mark.parametrize(
    "content", [b"", b"{}", signed_status(intruders())], ids=["empty", "no list", "other"]
)
def test_a_stored_list_that_cannot_be_read_lets_nobody_in_until_a_good_one_comes(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "status.dsse").write_bytes(content)
    statuses = store(tmp_path)
    with pytest.raises(DocumentRefused) as caught:
        statuses.trust.require_fresh(NOW)
    assert caught.value.code is E.E_STATUS_FORMAT
    assert code_of(statuses, signed_status(acme())) == "new"
    statuses.trust.require_fresh(NOW)
    store(tmp_path).trust.require_fresh(NOW)


def test_what_was_accepted_holds_after_its_signers_end_and_with_a_wrong_clock(tmp_path: Path) -> None:
    signer = acme().person(Role.POLICY, "policy", lifetime=timedelta(hours=1))
    store(tmp_path).accept(signed_status(acme(), revoked(ADA), signer=signer), NOW)
    later = store(tmp_path)  # it is judged at the time it was issued, whatever the clock says now
    assert later.trust.status_failure is None
    assert is_refused(later.trust, ADA)


NAMES = st.sampled_from(["ada", "bob", "eve"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 4), st.frozensets(NAMES), st.booleans()), max_size=8))
def test_whatever_comes_in_whatever_order_the_version_rises_and_revocations_stay(
    tmp_path_factory: pytest.TempPathFactory, offers: list[tuple[int, frozenset[str], bool]]
) -> None:
    folder = tmp_path_factory.mktemp("status")
    statuses = store(folder)
    version, names = 0, frozenset[str]()
    for offered, revoked_names, restarts in offers:
        entries = [revocation(Role.TECHNICIAN, name, NOW + 30 * DAY) for name in revoked_names]
        outcome = code_of(statuses, signed_status(acme(), *entries, version=offered, issued=NOW))
        if outcome == "new":
            assert offered > version
            assert revoked_names >= names
            version, names = offered, revoked_names
        if restarts:
            statuses = store(folder)
        assert statuses.version == version
        held = statuses.trust.status.revoked if statuses.trust.status else frozenset()
        assert {one.subject for one in held} == names
