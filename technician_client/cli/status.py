"""`alongside org status` and `alongside org revoke`: who is not believed any more, signed and published."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from protocol.audit import AuditKind
from protocol.certificates import Role
from protocol.errors import DocumentRefused, ErrorCode
from protocol.status_list import StatusList
from technician_client.admin_audit import AdminAudit
from technician_client.admin_requests import AdminRequests
from technician_client.app import admin_link
from technician_client.cli.options import DataOption, JsonOption, PassphraseOption
from technician_client.cli.output import JsonObject, Output
from technician_client.cli.passphrase import read_passphrase
from technician_client.cli.policy import publish_signed
from technician_client.cli.running import run_async
from technician_client.cli.tables import table, utc_text
from technician_client.config import TechnicianConfig, load_config
from technician_client.organisation import OrganisationFolder, renew_staff
from technician_client.policy_document import read_policy_document, sign_policy
from technician_client.relay_address import read_relay
from technician_client.status_document import (
    new_revocation,
    read_status,
    revoked_subjects,
    sign_new_status,
)

app = typer.Typer(help="The signed list of who was revoked.", no_args_is_help=True)

STAFF = (Role.ADMIN, Role.POLICY)


@app.command()
def show(data: DataOption = None, is_json: JsonOption = False) -> None:
    """Show who is revoked, and until when the list is good."""
    folder = OrganisationFolder(load_config(data).organisation_folder)
    folder.root_certificate()
    _, status = _require(folder)
    _tell(status, Output(is_json=is_json))


@app.command()
def renew(
    data: DataOption = None, is_json: JsonOption = False, passphrase_file: PassphraseOption = None
) -> None:
    """Sign the list again for another 90 days and publish it; without a good list nobody gets a session."""
    config, output = load_config(data), Output(is_json=is_json)
    folder = OrganisationFolder(config.organisation_folder)
    folder.root_certificate()
    status = sign_noted(config, read_passphrase(passphrase_file))
    _publish_if_claimed(config, output)
    _tell(status, output)


@app.command()
def publish(data: DataOption = None, is_json: JsonOption = False) -> None:
    """Hand the list that was signed last to the relay, which hands it to every agent and technician."""
    config, output = load_config(data), Output(is_json=is_json)
    OrganisationFolder(config.organisation_folder).root_certificate()
    status = run_async(publish_status(config, output))
    output.result(
        {"version": status.version, "is_published": True}, Text(f"Published version {status.version}.")
    )


def revoke(
    role: Annotated[Role, typer.Argument(help="What they are: technician, device, enroller, admin, policy.")],
    subject: Annotated[
        str, typer.Argument(metavar="ID", help="Their id; of an enroller, its token's whole serial.")
    ],
    data: DataOption = None,
    is_json: JsonOption = False,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Revoke a certificate's holder for good and publish it. A revoked admin or signer is replaced at once.

    An enroller takes all devices with it that joined by its token; fleet token revoke only stops further
    ones. Sessions that run end, within seconds where the relay hands the list on.
    """
    config = load_config(data)
    OrganisationFolder(config.organisation_folder).root_certificate()
    passphrase = read_passphrase(passphrase_file)
    revoke_subject(config, (role, subject), passphrase, Output(is_json=is_json))


def revoke_subject(
    config: TechnicianConfig, whom: tuple[Role, str], passphrase: bytes, output: Output
) -> None:
    """Revoke, sign, publish and tell; staff that is revoked is replaced first.

    Raises:
        UsageError: revoked already, or an id that cannot be one.
        SupportError: E_PASSPHRASE; the relay cannot be reached, and then the list is signed all the same.
    """
    role, subject = whom
    folder = OrganisationFolder(config.organisation_folder)
    now = datetime.now(UTC)
    revocation = new_revocation(folder, role, subject, now=now)
    if role in STAFF:
        _replace_staff(config, (role, subject), passphrase, now=now)
    status = sign_new_status(folder, folder.policy_signer(passphrase), now=now, added=[revocation])
    audit = AdminAudit(config)
    audit.note(AuditKind.CERTIFICATE_REVOKED, role=role.value, subject=subject)
    audit.note(AuditKind.STATUS_SIGNED, version=status.version, sha256=status.sha256)
    output.remark(f"{role} {subject} is revoked by version {status.version} of the status list.")
    if role is Role.POLICY and read_relay(config).relay_id:
        run_async(publish_signed(config, output))  # first: the one in force was signed by who is revoked
    is_published = _publish_if_claimed(config, output)
    document = {"role": role.value, "subject": subject, "version": status.version}
    output.result(document | {"is_published": is_published}, Text(f"{role} {subject} is revoked."))


def sign_noted(config: TechnicianConfig, passphrase: bytes) -> StatusList:
    """Sign the list anew as it is, with its record; raises SupportError."""
    folder = OrganisationFolder(config.organisation_folder)
    status = sign_new_status(folder, folder.policy_signer(passphrase), now=datetime.now(UTC))
    AdminAudit(config).note(AuditKind.STATUS_SIGNED, version=status.version, sha256=status.sha256)
    return status


async def publish_status(config: TechnicianConfig, output: Output) -> StatusList:
    """Publish what was signed last; raises SupportError."""
    folder = OrganisationFolder(config.organisation_folder)
    envelope, status = _require(folder)
    async with admin_link(config) as link:
        with output.working("Publishing the status list …"):
            await AdminRequests(link).publish_status(status.version, envelope)
    AdminAudit(config).note(AuditKind.STATUS_PUBLISHED, version=status.version, sha256=status.sha256)
    return status


def _publish_if_claimed(config: TechnicianConfig, output: Output) -> bool:
    if not read_relay(config).relay_id:
        output.remark("No relay was claimed yet; the list is published with: alongside org claim")
        return False
    run_async(publish_status(config, output))
    return True


def _replace_staff(
    config: TechnicianConfig, whom: tuple[Role, str], passphrase: bytes, *, now: datetime
) -> None:
    """New admin and policy identities; the revoked id, and those before it, are not used again."""
    role, subject = whom
    folder = OrganisationFolder(config.organisation_folder)
    revoked = {subject}.union(*(revoked_subjects(folder, each) for each in STAFF))
    renew_staff(folder, folder.unlock(passphrase), passphrase, now=now, revoked=revoked)
    if role is Role.POLICY:
        document, _ = read_policy_document(folder.policy_document_file)
        policy = sign_policy(folder, document, folder.policy_signer(passphrase), now=now)
        AdminAudit(config).note(AuditKind.POLICY_SIGNED, version=policy.version, sha256=policy.sha256)


def _require(folder: OrganisationFolder) -> tuple[bytes, StatusList]:
    read = read_status(folder)
    if read is None:
        detail = "no status list was signed here; sign one with: alongside org status renew"
        raise DocumentRefused(detail, code=ErrorCode.E_POLICY_MISSING)
    return read


def _tell(status: StatusList, output: Output) -> None:
    rows = sorted(status.revoked)
    document: JsonObject = {
        "version": status.version,
        "expires_at_utc": utc_text(status.expires_at_utc),
        "revoked": [
            {"role": one.role.value, "subject": one.subject, "until_utc": utc_text(one.until_utc)}
            for one in rows
        ],
    }
    shown = table(
        ("ROLE", "ID", "LISTED UNTIL (UTC)"), [(o.role, o.subject, utc_text(o.until_utc)) for o in rows]
    )
    until = f"Version {status.version}, good until {document['expires_at_utc']}."
    output.result(document, Text(until), shown)
