"""Which role may send which message. What is not in the table is refused."""

from types import MappingProxyType

from protocol.certificates import Role
from protocol.errors import ErrorCode, Refused
from protocol.messages.control import (
    DeviceFacts,
    FromClient,
    ListDevices,
    ListTokens,
    OpenSession,
    Ping,
    Pong,
    PublishPolicy,
    PublishStatus,
    RevokeToken,
    SessionDeclined,
    SetDeviceStatus,
)

LOGIN_ROLES = frozenset({Role.DEVICE, Role.TECHNICIAN, Role.ADMIN})
POLICY_READERS = frozenset({Role.DEVICE, Role.TECHNICIAN})
STATUS_READERS = LOGIN_ROLES

ACCESS: MappingProxyType[type[FromClient], frozenset[Role]] = MappingProxyType(
    {
        DeviceFacts: frozenset({Role.DEVICE}),
        SessionDeclined: frozenset({Role.DEVICE}),
        OpenSession: frozenset({Role.TECHNICIAN}),
        ListDevices: frozenset({Role.TECHNICIAN, Role.ADMIN}),
        SetDeviceStatus: frozenset({Role.ADMIN}),
        RevokeToken: frozenset({Role.ADMIN}),
        ListTokens: frozenset({Role.ADMIN}),
        PublishPolicy: frozenset({Role.ADMIN}),
        PublishStatus: frozenset({Role.ADMIN}),
        Ping: LOGIN_ROLES,
        Pong: LOGIN_ROLES,
    }
)


def require_access(role: Role, message_type: type[FromClient]) -> None:
    """Let the message pass if the role may send it.

    Raises:
        Refused: E_CERT_ROLE.
    """
    if role not in ACCESS.get(message_type, frozenset()):
        raise Refused(f"{role} sent {message_type.__name__}", code=ErrorCode.E_CERT_ROLE)
