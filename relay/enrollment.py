"""Whether a device may log in under its enroller's terms (pure)."""

from protocol.errors import ErrorCode, Refused
from relay.store.interface import DeviceArrival, DeviceRecord, EnrollerRecord

APPROVED = "approved"
PENDING = "pending"
REMOVED = "removed"
QUARANTINED = "quarantined"


def check_known_device(device: DeviceRecord) -> None:
    """A device that joined before: only its removal, or a copy of its key, stands against it.

    Raises:
        Refused: E_DEVICE_REMOVED, E_DEVICE_CLONED.
    """
    if device.status == REMOVED:
        raise Refused(device.device_id, code=ErrorCode.E_DEVICE_REMOVED)
    if device.status == QUARANTINED:
        raise Refused(device.device_id, code=ErrorCode.E_DEVICE_CLONED)


def status_of_new_device(arrival: DeviceArrival, enroller: EnrollerRecord) -> str:
    """The status that a new device starts with.

    Raises:
        Refused: E_TOKEN_REVOKED, E_TOKEN_EXPIRED, E_TOKEN_USED.
    """
    if enroller.is_revoked:
        raise Refused(enroller.serial, code=ErrorCode.E_TOKEN_REVOKED)
    if arrival.at_utc > arrival.join_until:
        raise Refused(f"until {arrival.join_until.isoformat()}", code=ErrorCode.E_TOKEN_EXPIRED)
    if arrival.uses_limit and enroller.uses >= arrival.uses_limit:
        raise Refused(f"{enroller.uses} uses", code=ErrorCode.E_TOKEN_USED)
    return PENDING if arrival.is_bulk else APPROVED
