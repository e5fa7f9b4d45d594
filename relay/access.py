"""Which role may send which message. What is not in the table is refused."""

from types import MappingProxyType

from protocol.certificates import Role
from protocol.errors import ErrorCode, Refused
from protocol.messages.control import (
    DeviceFacts,
    FromClient,
    HoldNameplate,
    KeepAnchor,
    ListAnchors,
    ListDevices,
    ListTokens,
    OpenCodeSession,
    OpenSession,
    Ping,
    Pong,
    PublishPolicy,
    PublishStatus,
    ReleaseNameplate,
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
        OpenCodeSession: frozenset({Role.TECHNICIAN}),
        HoldNameplate: frozenset({Role.DEVICE}),
        ReleaseNameplate: frozenset({Role.DEVICE}),
        ListDevices: frozenset({Role.TECHNICIAN, Role.ADMIN}),
        SetDeviceStatus: frozenset({Role.ADMIN}),
        RevokeToken: frozenset({Role.ADMIN}),
        ListTokens: frozenset({Role.ADMIN}),
        PublishPolicy: frozenset({Role.ADMIN}),
        PublishStatus: frozenset({Role.ADMIN}),
        KeepAnchor: frozenset({Role.DEVICE}),
        ListAnchors: frozenset({Role.TECHNICIAN, Role.ADMIN}),
        Ping: LOGIN_ROLES,
        Pong: LOGIN_ROLES,
    }
)

# all that an end without an organisation may send, in its role
FOR_VISITORS: frozenset[type[FromClient]] = frozenset(
    {HoldNameplate, ReleaseNameplate, OpenCodeSession, SessionDeclined, Ping, Pong}
)


def require_access(role: Role, message_type: type[FromClient], *, is_visitor: bool = False) -> None:
    """Let the message pass if the role may send it.

    Raises:
        Refused: E_CERT_ROLE.
    """
    is_barred = is_visitor and message_type not in FOR_VISITORS
    if is_barred or role not in ACCESS.get(message_type, frozenset()):
        who = f"a visiting {role}" if is_visitor else str(role)
        raise Refused(f"{who} sent {message_type.__name__}", code=ErrorCode.E_CERT_ROLE)
