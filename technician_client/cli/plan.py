"""What `alongside run` is about to run: from the command line's words, or from a second person's approval."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from protocol.approval import open_approval
from protocol.catalogue import Catalogue, CommandEntry
from protocol.errors import DocumentRefused, ErrorCode, Refused
from protocol.identity import Identity
from protocol.ids import DeviceId, RequestId, checked_request_id, new_request_id
from protocol.limits import APPROVAL_LIMIT_BYTES
from technician_client.files import read_bounded


@dataclass(frozen=True, slots=True)
class Order:
    """Which entry to run with which parameters; "" and none where the approval says it."""

    command_id: str
    parameters: dict[str, str]
    approval_file: Path | None = None


NO_DEVICE: Final = DeviceId("")


@dataclass(frozen=True, slots=True)
class Plan:
    """One request, checked by our own catalogue. `device_id` is "" where the approval does not name one."""

    entry: CommandEntry
    parameters: dict[str, str]
    request_id: RequestId
    approval: bytes = b""
    device_id: DeviceId = NO_DEVICE


def plan(order: Order, catalogue: Catalogue, identity: Identity) -> Plan:
    """What to ask the device for.

    Raises:
        Refused: E_COMMAND_UNKNOWN, E_COMMAND_PARAMETER. DocumentRefused: E_APPROVAL_REQUEST and others of
            `open_approval`. CertificateRefused: who signed the approval.
    """
    if order.approval_file is not None:
        return _approved(order, order.approval_file, catalogue, identity)
    entry = catalogue.find(order.command_id)
    entry.build_argv(order.parameters)
    return Plan(entry, order.parameters, new_request_id())


def require_second_person(planned: Plan) -> None:
    """Before anybody is asked: the device would refuse it. Raises Refused: E_APPROVAL_MISSING."""
    if planned.entry.takes_two_people and not planned.approval:
        raise Refused(planned.entry.command_id, code=ErrorCode.E_APPROVAL_MISSING)


def _approved(order: Order, file: Path, catalogue: Catalogue, identity: Identity) -> Plan:
    signed = read_bounded(file, APPROVAL_LIMIT_BYTES)
    approval, _ = open_approval(signed, identity.root_der, now=datetime.now(UTC))
    entry = catalogue.find(approval.command_id)
    given = (order.command_id or approval.command_id, order.parameters or approval.parameters)
    if approval.technician_id != identity.subject_id:
        raise _other(f"it is for {approval.technician_id}")
    if given != (approval.command_id, approval.parameters):
        raise _other("it is for another command or other values than were given")
    if entry.sha256 != approval.entry_sha256:
        raise _other("the catalogue's entry has changed since it was approved")
    entry.build_argv(approval.parameters)
    request_id = checked_request_id(approval.request_id)
    return Plan(entry, approval.parameters, request_id, signed, DeviceId(approval.device_id))


def _other(why: str) -> DocumentRefused:
    return DocumentRefused(why, code=ErrorCode.E_APPROVAL_REQUEST)
