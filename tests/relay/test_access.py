"""The table of roles and messages."""

import typing

import pytest

from protocol.certificates import Role
from protocol.errors import ErrorCode, Refused
from protocol.messages import control
from relay.access import ACCESS, LOGIN_ROLES, require_access

FAMILY = typing.get_args(control.FromClient)
PEOPLE_ONLY: set[type[control.FromClient]] = {
    control.ListDevices,
    control.SetDeviceStatus,
    control.RevokeToken,
    control.ListTokens,
    control.PublishPolicy,
    control.PublishStatus,
    control.OpenSession,
}


def test_every_message_of_a_client_has_its_line() -> None:
    assert set(ACCESS) == set(FAMILY)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("message_type", FAMILY)
def test_a_role_outside_the_table_is_refused(role: Role, message_type: type[control.FromClient]) -> None:
    if role in ACCESS[message_type]:
        require_access(role, message_type)
        return
    with pytest.raises(Refused) as caught:
        require_access(role, message_type)
    assert caught.value.code == ErrorCode.E_CERT_ROLE


def test_a_device_can_ask_for_nothing_that_people_ask_for() -> None:
    assert all(Role.DEVICE not in ACCESS[message_type] for message_type in PEOPLE_ONLY)


def test_changing_the_fleet_is_for_admins_alone() -> None:
    changes = (control.SetDeviceStatus, control.RevokeToken, control.PublishPolicy, control.PublishStatus)
    for message_type in changes:
        assert ACCESS[message_type] == {Role.ADMIN}


def test_enrollers_and_policy_signers_never_log_in() -> None:
    assert {Role.DEVICE, Role.TECHNICIAN, Role.ADMIN} == LOGIN_ROLES


def test_a_message_without_a_line_is_refused() -> None:
    with pytest.raises(Refused):
        require_access(Role.ADMIN, control.Welcome)  # type: ignore[arg-type]  # that is what is tested
