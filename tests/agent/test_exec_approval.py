"""What the exec worker decides for itself, from nothing but the order: hostile orders are refused."""

from datetime import timedelta

import msgspec
import pytest

from agent.exec.approval import approve_order, command_environment
from agent.exec.messages import TO_WORKER_CODEC
from protocol.approval import request_sha256
from protocol.certificates import Role
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from tests.support.approved_commands import OrderTerms, entry, expired, request_for, signed_policy, utc_now
from tests.support.organisation import acme, intruders

PROGRAM = "/usr/bin/printf"
ENTRIES = [
    entry(
        "say",
        PROGRAM,
        "%s",
        "{word}",
        parameters={"word": {"type": "hostname", "description": "What to say"}},
    ),
    entry("absent", "/opt/alongside-no-such-program"),
    entry("mac-only", PROGRAM, platforms=["macos"]),
]


@pytest.fixture
def terms() -> OrderTerms:
    in_force = signed_policy(acme(), ENTRIES)
    request = request_for(in_force.policy.catalogue.find("say"), {"word": "hello"})
    return OrderTerms(acme().device(), in_force, request)


def refusal(terms: OrderTerms) -> str:
    with pytest.raises(SupportError) as caught:
        approve_order(terms.order(), utc_now())
    return caught.value.code


def test_an_honest_order_holds(terms: OrderTerms) -> None:
    assert approve_order(terms.order(), utc_now()).argv == [PROGRAM, "%s", "hello"]


def test_cmd_08_a_catalogue_of_another_organisation_is_refused(terms: OrderTerms) -> None:
    terms.in_force = signed_policy(intruders(), ENTRIES)
    assert refusal(terms) == ErrorCode.E_POLICY_SIGNATURE


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.ADMIN])
def test_cmd_08_a_catalogue_signed_by_another_role_is_refused(terms: OrderTerms, role: Role) -> None:
    terms.in_force = signed_policy(acme(), ENTRIES, signer=acme().person(role, "mallory"))
    assert refusal(terms) == ErrorCode.E_POLICY_SIGNATURE


def test_cmd_08_a_catalogue_signed_by_the_device_itself_is_refused(terms: OrderTerms) -> None:
    terms.in_force = signed_policy(acme(), ENTRIES, signer=terms.device)
    assert refusal(terms) == ErrorCode.E_POLICY_SIGNATURE


def test_cmd_08_a_tampered_or_unsigned_catalogue_is_refused(terms: OrderTerms) -> None:
    order = terms.order()
    document = msgspec.json.decode(order.policy_envelope)
    other = msgspec.json.decode(signed_policy(acme(), [entry("say", "/usr/bin/id")]).envelope)
    swapped = msgspec.json.encode(document | {"payload": other["payload"]})
    unsigned = msgspec.json.encode(document | {"signatures": []})
    for envelope in (swapped, unsigned, b"", b"{}", order.policy_envelope[:-40]):
        with pytest.raises(SupportError) as caught:
            approve_order(msgspec.structs.replace(order, policy_envelope=envelope), utc_now())
        assert caught.value.code == ErrorCode.E_POLICY_SIGNATURE


def test_cmd_10_an_expired_catalogue_is_refused(terms: OrderTerms) -> None:
    past = (utc_now() - timedelta(days=1)).isoformat()
    long_past = (utc_now() - timedelta(days=2)).isoformat()
    terms.in_force = signed_policy(acme(), ENTRIES, issued_at_utc=long_past, expires_at_utc=past)
    assert refusal(terms) == ErrorCode.E_POLICY_EXPIRED


@pytest.mark.parametrize("ordered_version", [1, 3])
def test_another_version_than_was_ordered_is_refused(terms: OrderTerms, ordered_version: int) -> None:
    terms.in_force = signed_policy(acme(), ENTRIES, version=2)
    order = msgspec.structs.replace(terms.order(), policy_version=ordered_version)
    with pytest.raises(SupportError) as caught:
        approve_order(order, utc_now())
    assert caught.value.code == ErrorCode.E_POLICY_VERSION


def test_an_expired_grant_is_refused(terms: OrderTerms) -> None:
    terms.sealed_at = expired()
    assert refusal(terms) == ErrorCode.E_GRANT_ENDED


def test_a_grant_for_something_else_is_refused(terms: OrderTerms) -> None:
    terms.grantable = Grantable.SCREEN_VIEW
    assert refusal(terms) == ErrorCode.E_GRANT_NONE


def test_a_grant_for_another_request_is_refused(terms: OrderTerms) -> None:
    original = terms.request
    for changed in (
        request_for(terms.in_force.policy.catalogue.find("say"), {"word": "hello"}),  # another request id
        msgspec.structs.replace(original, parameters={"word": "other"}),
        msgspec.structs.replace(original, command_id="absent"),
    ):
        terms.request, terms.sealed_for = changed, original
        assert refusal(terms) == ErrorCode.E_GRANT_NONE


def test_a_grant_sealed_by_another_device_is_refused(terms: OrderTerms) -> None:
    order = terms.order()
    terms.device = acme().device("other-pc")
    stolen = msgspec.structs.replace(order, sealed_grant=terms.order().sealed_grant)
    with pytest.raises(SupportError) as caught:
        approve_order(stolen, utc_now())
    assert caught.value.code == ErrorCode.E_GRANT_NONE


def test_a_grant_sealed_by_a_device_of_another_organisation_is_refused(terms: OrderTerms) -> None:
    order = terms.order()
    terms.device = intruders().device()
    forged = msgspec.structs.replace(order, sealed_grant=terms.order().sealed_grant)
    with pytest.raises(SupportError) as caught:
        approve_order(forged, utc_now())
    assert caught.value.code.startswith("E_CERT_")


def test_a_tampered_grant_is_refused(terms: OrderTerms) -> None:
    order = terms.order()
    document = msgspec.json.decode(order.sealed_grant)
    for sealed in (msgspec.json.encode(document | {"payload": "e30="}), b"", order.policy_envelope):
        with pytest.raises(SupportError) as caught:
            approve_order(msgspec.structs.replace(order, sealed_grant=sealed), utc_now())
        assert caught.value.code == ErrorCode.E_POLICY_SIGNATURE


def test_a_changed_entry_a_wrong_platform_and_a_bad_value_are_refused(terms: OrderTerms) -> None:
    catalogue = terms.in_force.policy.catalogue
    honest = terms.request
    terms.request = msgspec.structs.replace(honest, entry_sha256="0" * 64)
    assert refusal(terms) == ErrorCode.E_COMMAND_UNKNOWN
    terms.request = request_for(catalogue.find("mac-only"))
    assert refusal(terms) == ErrorCode.E_COMMAND_PLATFORM
    terms.request = request_for(catalogue.find("say"), {"word": "-n"})
    assert refusal(terms) == ErrorCode.E_COMMAND_PARAMETER


def test_a_program_that_is_not_installed_is_named(terms: OrderTerms) -> None:
    terms.request = request_for(terms.in_force.policy.catalogue.find("absent"))
    assert refusal(terms) == ErrorCode.E_COMMAND_MISSING


def test_the_hash_of_a_request_ignores_the_order_of_its_parameters_and_nothing_else(
    terms: OrderTerms,
) -> None:
    first = msgspec.structs.replace(terms.request, parameters={"a": "1", "b": "2"})
    second = msgspec.structs.replace(terms.request, parameters={"b": "2", "a": "1"})
    third = msgspec.structs.replace(terms.request, parameters={"a": "1 b=2"})
    assert request_sha256(first) == request_sha256(second) != request_sha256(third)


def test_the_largest_policy_fits_an_order(terms: OrderTerms) -> None:
    from protocol.envelope import ENVELOPE_LIMIT_BYTES

    order = msgspec.structs.replace(terms.order(), policy_envelope=bytes(ENVELOPE_LIMIT_BYTES))
    TO_WORKER_CODEC.encode(order)


def test_the_environment_is_fixed_and_only_user_services_get_their_bus() -> None:
    plain = command_environment(["/usr/bin/systemctl", "status"], 4_000_000)
    for_user = command_environment(["/usr/bin/systemctl", "--user", "restart"], 4_000_000)
    assert plain.keys() == {"PATH", "LANG", "HOME"}
    assert for_user["XDG_RUNTIME_DIR"] == "/run/user/4000000"
    assert for_user["DBUS_SESSION_BUS_ADDRESS"] == "unix:path=/run/user/4000000/bus"
