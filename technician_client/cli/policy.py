"""`alongside policy`: what the organisation allows. Edited as a file, signed, published."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from protocol.audit import AuditKind
from protocol.certificates import Role, organisation_of_root
from protocol.errors import UsageError
from protocol.identity import Identity, load_chain
from protocol.policy import Consent, Policy, parse_policy
from technician_client.admin_audit import AdminAudit
from technician_client.admin_requests import AdminRequests
from technician_client.app import admin_link, checked_identity
from technician_client.cli.confirm import confirm
from technician_client.cli.options import DataOption, JsonOption, PassphraseOption
from technician_client.cli.output import Output
from technician_client.cli.passphrase import read_passphrase
from technician_client.cli.policy_view import (
    changes_document,
    changes_lines,
    policy_document,
    policy_lines,
)
from technician_client.cli.running import run_async
from technician_client.config import TechnicianConfig, load_config
from technician_client.files import write_private
from technician_client.organisation import OrganisationFolder
from technician_client.policies import PolicyStore
from technician_client.policy_changes import changes_between
from technician_client.policy_document import (
    Document,
    check_organisation,
    policy_before,
    read_policy_document,
    read_signed,
    set_consent,
    sign_policy,
    stamp_document,
    write_default,
    write_policy_document,
)

app = typer.Typer(help="The signed policy: consent, permissions, approved commands.", no_args_is_help=True)

FileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="The policy document. Default: org/policy.json.")
]


@app.command()
def init(
    data: DataOption = None,
    is_json: JsonOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the document that is there.")] = False,
) -> None:
    """Write a policy document to start from: the person is always asked. Signs nothing."""
    folder = OrganisationFolder(load_config(data).organisation_folder)
    organisation, _ = organisation_of_root(folder.root_der())
    if folder.policy_document_file.exists() and not force:
        raise UsageError(f"{folder.policy_document_file} is there already; replace it with --force")
    write_default(folder, organisation, now=datetime.now(UTC))
    _tell_document(folder, Output(is_json=is_json), "written; edit it, then sign it")


@app.command()
def show(data: DataOption = None, is_json: JsonOption = False) -> None:
    """Show in plain words what was signed last (on a technician's computer: what is in force)."""
    _tell(_known_policy(load_config(data)), Output(is_json=is_json))


@app.command()
def check(file: FileArgument = None, data: DataOption = None, is_json: JsonOption = False) -> None:
    """Check a policy document; what is wrong is named by its place. Signs nothing."""
    path = file or OrganisationFolder(load_config(data).organisation_folder).policy_document_file
    _tell(read_policy_document(path)[1], Output(is_json=is_json))


@app.command("set-consent")
def set_consent_command(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="A device group, such as default.")],
    consent: Annotated[Consent, typer.Argument(help="ask, or unattended (never unseen).")],
    data: DataOption = None,
    is_json: JsonOption = False,
) -> None:
    """Set one group's consent rule in the document. It holds once it is signed and published."""
    folder = OrganisationFolder(load_config(data).organisation_folder)
    document, _ = read_policy_document(folder.policy_document_file)
    write_policy_document(folder.policy_document_file, set_consent(document, group, consent))
    _tell_document(folder, Output(is_json=is_json), "changed; now sign it and publish it")


@app.command()
def diff(file: FileArgument = None, data: DataOption = None, is_json: JsonOption = False) -> None:
    """Say in plain words what the document would change on the devices. Signs nothing.

    It is compared with what was published last from this computer, or else signed last.
    """
    folder = OrganisationFolder(load_config(data).organisation_folder)
    document, _ = read_policy_document(file or folder.policy_document_file)
    before, after = policy_before(folder), _as_signed(folder, document)
    changes = changes_between(before, after)
    lines = [Text(line) for line in changes_lines(before, after, changes)]
    Output(is_json=is_json).result(changes_document(before, after, changes), *lines)


@app.command()
def sign(
    file: FileArgument = None,
    data: DataOption = None,
    is_json: JsonOption = False,
    passphrase_file: PassphraseOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether the changes are meant.")] = False,
) -> None:
    """Sign the policy document, after showing what it changes and asking whether that is meant.

    Its version is raised, and it is good for 90 days from now.
    """
    config = load_config(data)
    output = Output(is_json=is_json)
    folder = OrganisationFolder(config.organisation_folder)
    document, _ = read_policy_document(file or folder.policy_document_file)
    signer = _signer(folder, read_passphrase(passphrase_file))
    before, after = policy_before(folder), _as_signed(folder, document)
    check_organisation(after, signer)
    changes = changes_between(before, after)
    for line in changes_lines(before, after, changes):
        output.remark(line)
    if changes and not yes:
        confirm("Sign this?")
    policy = sign_policy(folder, document, signer, now=datetime.now(UTC))
    AdminAudit(config).note(AuditKind.POLICY_SIGNED, version=policy.version, sha256=policy.sha256)
    told = policy_document(policy) | changes_document(before, policy, changes)
    output.result(told, *(Text(line) for line in policy_lines(policy)))
    output.remark("Signed. It holds on the devices once it is published: alongside policy publish")


@app.command()
def publish(data: DataOption = None, is_json: JsonOption = False) -> None:
    """Hand the policy that was signed last to the relay, which hands it to every agent and technician."""
    config = load_config(data)
    output = Output(is_json=is_json)
    policy = run_async(publish_signed(config, output))
    output.result(
        {"version": policy.version, "is_published": True}, Text(f"Published version {policy.version}.")
    )


async def publish_signed(config: TechnicianConfig, output: Output) -> Policy:
    """Publish what was signed last; raises SupportError."""
    folder = OrganisationFolder(config.organisation_folder)
    envelope, policy = read_signed(folder, now=datetime.now(UTC))
    async with admin_link(config) as link:
        with output.working("Publishing the policy …"):
            await AdminRequests(link).publish_policy(policy.version, envelope)
    write_private(folder.policy_published_file, envelope)
    AdminAudit(config).note(AuditKind.POLICY_PUBLISHED, version=policy.version, sha256=policy.sha256)
    return policy


def _as_signed(folder: OrganisationFolder, document: Document) -> Policy:
    return parse_policy(json.dumps(stamp_document(folder, document, now=datetime.now(UTC))).encode())


def _signer(folder: OrganisationFolder, passphrase: bytes) -> Identity:
    return checked_identity(folder.policy_signer(passphrase), Role.POLICY)


def _known_policy(config: TechnicianConfig) -> Policy:
    now = datetime.now(UTC)
    folder = OrganisationFolder(config.organisation_folder)
    if folder.is_complete:
        return read_signed(folder, now=now)[1]
    store = PolicyStore(config, load_chain(config.identity_file)[1])
    store.load(now=now)
    return store.require(now=now)


def _tell(policy: Policy, output: Output) -> None:
    output.result(policy_document(policy), *(Text(line) for line in policy_lines(policy)))


def _tell_document(folder: OrganisationFolder, output: Output, what: str) -> None:
    path = folder.policy_document_file
    output.result({"policy_document": str(path)}, Text(f"{path} was {what}."))
