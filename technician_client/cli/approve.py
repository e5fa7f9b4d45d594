"""`alongside approve`: the second person looks at one request for a command and signs it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from protocol.aio.audit_log import AuditLog
from protocol.approval import ApprovalRequest, sign_approval
from protocol.audit import AuditKind
from protocol.catalogue import CommandEntry
from protocol.certificates import Role
from protocol.errors import DocumentRefused, ErrorCode
from protocol.identity import Identity
from protocol.ids import checked_request_id
from protocol.limits import APPROVAL_LIFETIME_S, APPROVAL_LIMIT_BYTES
from protocol.names import shown_text
from protocol.policy import Policy
from technician_client.app import checked_identity, technician_app
from technician_client.cli.confirm import confirm
from technician_client.cli.options import DataOption, JsonOption
from technician_client.cli.output import Output
from technician_client.cli.running import run_async
from technician_client.config import TechnicianConfig, load_config
from technician_client.files import read_bounded, write_private
from technician_client.organisation import OrganisationFolder
from technician_client.policy_document import read_signed
from technician_client.session_audit import SessionAudit


@dataclass(frozen=True, slots=True)
class Approver:
    """Who signs, and the policy that the request is read with."""

    identity: Identity
    policy: Policy


def approve(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The request, from: alongside run --ask-approval.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Where the approval goes. Default: FILE ending in .approval."
        ),
    ] = None,
    data: DataOption = None,
    is_json: JsonOption = False,
    as_admin: Annotated[
        bool, typer.Option("--as-admin", help="Sign as this computer's administrator, not as its technician.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
) -> None:
    """Approve, as the second person, that a technician runs one command once on one device.

    The approval is good for ten minutes and for exactly this request.
    """
    output = Output(is_json=is_json)
    config = load_config(data)
    asked = ApprovalRequest.read(read_bounded(file, APPROVAL_LIMIT_BYTES))
    approver = _admin(config) if as_admin else run_async(_technician(config, output))
    entry, argv = _read_with(approver, asked)
    for line in _lines(asked, entry, argv):
        output.remark(line)
    if not yes:
        confirm("Approve this?")
    target = out or file.with_suffix(".approval")
    audit = SessionAudit(
        AuditLog(config.audit_file),
        actor=approver.identity.subject_id,
        device_id=asked.device_id,
        session_id="",
    )
    audit.note(
        AuditKind.COMMAND_APPROVED,
        request_id=asked.request_id,
        command_id=asked.command_id,
        technician_id=asked.technician_id,
    )
    write_private(target.absolute(), sign_approval(asked, approver.identity, now=datetime.now(UTC)))
    output.result(
        {"request_id": asked.request_id, "approval": str(target), "good_for_s": APPROVAL_LIFETIME_S},
        Text(f"Approved until {APPROVAL_LIFETIME_S // 60} minutes from now: {target}"),
    )
    output.remark(f"The technician runs it with: alongside run {asked.device_id} --approval {target}")


def _admin(config: TechnicianConfig) -> Approver:
    folder = OrganisationFolder(config.organisation_folder)
    identity = checked_identity(folder.admin(), Role.ADMIN)
    return Approver(identity, read_signed(folder, now=datetime.now(UTC))[1])


async def _technician(config: TechnicianConfig, output: Output) -> Approver:
    async with technician_app(config) as app:
        with output.working("Fetching the signed policy …"):
            return Approver(app.identity, await app.policy())


def _read_with(approver: Approver, asked: ApprovalRequest) -> tuple[CommandEntry, list[str]]:
    """What the request really is, by our own catalogue.

    Raises:
        Refused: E_COMMAND_UNKNOWN, E_COMMAND_PARAMETER.
        DocumentRefused: E_APPROVAL_REQUEST, E_APPROVAL_PERSON.
    """
    checked_request_id(asked.request_id)
    if asked.technician_id == approver.identity.subject_id:
        raise DocumentRefused("you asked for it yourself", code=ErrorCode.E_APPROVAL_PERSON)
    entry = approver.policy.catalogue.find(asked.command_id)
    if entry.sha256 != asked.entry_sha256:
        detail = "it is about another version of the command than the policy has here"
        raise DocumentRefused(detail, code=ErrorCode.E_APPROVAL_REQUEST)
    return entry, entry.build_argv(asked.parameters)


def _lines(asked: ApprovalRequest, entry: CommandEntry, argv: list[str]) -> list[str]:
    """The question. What only the request says, and nobody signed, is marked as said."""
    return [
        f"Technician  {asked.technician_id} (says the name {shown_text(asked.technician_name, 64)!r})",
        f"Device      {asked.device_id} (said to be {shown_text(asked.device_name, 64)!r})",
        f"Command     {entry.title} ({entry.command_id}, {entry.risk} risk): {entry.person_text}",
        f"Starts      {shown_text(' '.join(map(repr, argv)), 8000)}",
        f"Says why    {shown_text(asked.reason, 300) or '(no reason given)'}",
        f"Request     {asked.request_id}",
    ]
