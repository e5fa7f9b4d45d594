"""`alongside org`: the organisation's keys, its relay and its technicians."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from protocol.aio.log_in import claim as claim_relay
from protocol.aio.log_in import connect_control
from protocol.audit import AuditKind
from protocol.certificates import Role, Scope
from protocol.errors import UsageError
from protocol.identity import Identity, load_identity, save_identity
from protocol.ids import SubjectId, is_subject_id
from protocol.limits import TECHNICIAN_LIFETIME_DEFAULT_DAYS
from technician_client.admin_audit import AdminAudit
from technician_client.app import checked_identity
from technician_client.cli.options import DataOption, JsonOption, PassphraseOption
from technician_client.cli.output import JsonObject, Output
from technician_client.cli.passphrase import read_new_passphrase, read_passphrase
from technician_client.cli.policy import publish_signed
from technician_client.cli.running import run_async
from technician_client.cli.tables import pairs, table, utc_text
from technician_client.config import TechnicianConfig, load_config
from technician_client.files import make_private_folder, read_secret_line
from technician_client.issued import (
    TechnicianTerms,
    checked_grantables,
    issue_technician,
    subject_id_of,
    technicians,
)
from technician_client.organisation import OrganisationFolder, Root, create_organisation, renew_staff
from technician_client.policy_document import read_policy_document, sign_policy, write_default
from technician_client.relay_address import RelayAddress, checked_relay, read_relay, write_relay

app = typer.Typer(help="The organisation: its keys, its relay, its technicians.", no_args_is_help=True)
technician_app = typer.Typer(help="The organisation's technicians.", no_args_is_help=True)
app.add_typer(technician_app, name="technician")

RelayOption = Annotated[
    str, typer.Option("--relay", metavar="URL", help="The relay: https://HOST[:PORT]; http:// on loopback.")
]
TlsCaOption = Annotated[
    Path | None,
    typer.Option("--tls-ca", metavar="FILE", help="Accept only relays certified by this CA (PEM)."),
]
ClaimOption = Annotated[
    Path | None,
    typer.Option(
        "--claim-secret-file", metavar="FILE", help="The file with the secret that the relay wrote."
    ),
]


@app.command()
def init(
    name: Annotated[str, typer.Option("--name", help="The organisation's name; people at devices read it.")],
    relay: RelayOption,
    data: DataOption = None,
    is_json: JsonOption = False,
    claim_secret_file: ClaimOption = None,
    passphrase_file: PassphraseOption = None,
    tls_ca: TlsCaOption = None,
) -> None:
    """Make an organisation here: root, admin and policy keys, and a signed first policy.

    With --claim-secret-file the relay is claimed and the policy published at once. The root's key is
    encrypted with the passphrase and never leaves this computer: keep a copy of the folder org/.
    """
    config, output = load_config(data), Output(is_json=is_json)
    address = checked_relay(RelayAddress(relay, tls_ca=str(tls_ca.absolute()) if tls_ca else ""))
    secret = read_secret_line(claim_secret_file) if claim_secret_file else ""
    folder = OrganisationFolder(config.organisation_folder)
    if folder.is_complete:
        raise UsageError(
            f"{folder.folder} already holds an organisation; use another --data DIR for a new one"
        )
    _create(folder, name, read_new_passphrase(passphrase_file))
    AdminAudit(config).note(AuditKind.ORGANISATION_MADE, name=name)
    write_relay(config, address)
    if secret:
        output.remark(f"The organisation was made in {folder.folder}. Claiming the relay …")
        run_async(_claim_and_publish(config, secret, output))
    document = _facts(config)
    output.result(document, _facts_table(document))
    if not secret:
        output.remark("Next: alongside org claim --claim-secret-file FILE")


@app.command()
def show(data: DataOption = None, is_json: JsonOption = False) -> None:
    """Show the organisation, its relay and until when its own certificates are good."""
    document = _facts(load_config(data))
    Output(is_json=is_json).result(document, _facts_table(document))


@app.command()
def claim(
    claim_secret_file: Annotated[
        Path,
        typer.Option(
            "--claim-secret-file", metavar="FILE", help="The file with the secret that the relay wrote."
        ),
    ],
    data: DataOption = None,
    is_json: JsonOption = False,
    relay: Annotated[
        str, typer.Option("--relay", metavar="URL", help="Another relay than the one given to org init.")
    ] = "",
) -> None:
    """Claim the relay for this organisation, once, and publish the policy there."""
    config, output = load_config(data), Output(is_json=is_json)
    if relay:
        write_relay(config, checked_relay(RelayAddress(relay)))
    run_async(_claim_and_publish(config, read_secret_line(claim_secret_file), output))
    document = _facts(config)
    output.result(document, _facts_table(document))


@app.command()
def renew(
    data: DataOption = None, is_json: JsonOption = False, passphrase_file: PassphraseOption = None
) -> None:
    """Make new admin and policy certificates for another year; the former keys are thrown away."""
    config = load_config(data)
    folder = OrganisationFolder(config.organisation_folder)
    folder.root_certificate()
    passphrase = read_passphrase(passphrase_file)
    now = datetime.now(UTC)
    renew_staff(folder, folder.unlock(passphrase), passphrase, now=now)
    document, _ = read_policy_document(folder.policy_document_file)
    policy = sign_policy(folder, document, folder.policy_signer(passphrase), now=now)
    AdminAudit(config).note(AuditKind.POLICY_SIGNED, version=policy.version, sha256=policy.sha256)
    shown = _facts(config)
    output = Output(is_json=is_json)
    output.result(shown, _facts_table(shown))
    output.remark("The policy was signed again. Publish it: alongside policy publish")


@technician_app.command("add")
def technician_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that people at devices will read.")],
    data: DataOption = None,
    is_json: JsonOption = False,
    days: Annotated[
        int, typer.Option("--days", min=1, help="How long the certificate lives; the policy sets the limit.")
    ] = TECHNICIAN_LIFETIME_DEFAULT_DAYS,
    groups: Annotated[
        str, typer.Option("--groups", help="Device groups, separated by commas; * is all.")
    ] = "*",
    grantables: Annotated[
        str, typer.Option("--grantables", help="What may be asked for, separated by commas; * is all.")
    ] = "*",
    subject: Annotated[
        str, typer.Option("--id", help="Their id in audit records. Default: made from NAME.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Write a data folder for their computer: use it as --data."
        ),
    ] = None,
    this_computer: Annotated[
        bool, typer.Option("--this-computer", help="Install the identity here; this person is you.")
    ] = False,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a technician's identity: key and certificate. Short-lived; make a new one to renew it."""
    config, output = load_config(data), Output(is_json=is_json)
    if (out is None) != this_computer:
        raise UsageError("say where it goes: --out DIR, or --this-computer")
    terms = TechnicianTerms(
        _subject_id(subject, name),
        name,
        Scope(_words(groups), checked_grantables(_words(grantables))),
        timedelta(days=days),
    )
    folder = OrganisationFolder(config.organisation_folder)
    _, policy = read_policy_document(folder.policy_document_file)
    limit_days = policy.technician_lifetime_days_limit
    root = _unlock(folder, passphrase_file)
    identity = issue_technician(folder, root, terms, now=datetime.now(UTC), days_limit=limit_days)
    target = config if out is None else load_config(out)
    AdminAudit(config).note(
        AuditKind.TECHNICIAN_ISSUED,
        technician_id=identity.subject_id,
        groups=" ".join(sorted(terms.scope.groups)),
        grantables=" ".join(sorted(terms.scope.grantables)),
        expires_at_utc=utc_text(identity.not_after),
    )
    _install(identity, target, read_relay(config))
    document = {
        "technician_id": identity.subject_id,
        "identity": str(target.identity_file),
        "expires_at_utc": utc_text(identity.not_after),
    }
    output.result(document, Text(f"{name} can work until {document['expires_at_utc']} with {target.data}"))


@technician_app.command("list")
def technician_list(data: DataOption = None, is_json: JsonOption = False) -> None:
    """List the technician certificates that were issued from this computer."""
    folder = OrganisationFolder(load_config(data).organisation_folder)
    folder.root_certificate()
    rows = technicians(folder)
    now = datetime.now(UTC)
    documents = [
        {
            "technician_id": row.subject_id,
            "name": row.name,
            "groups": row.groups,
            "grantables": row.grantables,
            "expires_at_utc": row.expires_at_utc,
            "days_left": round((_moment(row.expires_at_utc) - now) / timedelta(days=1), 2),
        }
        for row in rows
    ]
    shown = [
        (
            row.name,
            row.subject_id,
            ",".join(row.groups),
            row.expires_at_utc,
            "" if _moment(row.expires_at_utc) > now else "over",
        )
        for row in rows
    ]
    output = Output(is_json=is_json)
    output.result({"technicians": documents}, table(("NAME", "ID", "GROUPS", "GOOD UNTIL (UTC)", ""), shown))


def _create(folder: OrganisationFolder, name: str, passphrase: bytes) -> None:
    now = datetime.now(UTC)
    create_organisation(folder, name, passphrase, now=now)
    write_default(folder, folder.admin().organisation_id, now=now)
    document, _ = read_policy_document(folder.policy_document_file)
    sign_policy(folder, document | {"version": 0}, folder.policy_signer(passphrase), now=now)


async def _claim_and_publish(config: TechnicianConfig, secret: str, output: Output) -> None:
    admin = checked_identity(OrganisationFolder(config.organisation_folder).admin(), Role.ADMIN)
    address = read_relay(config)
    with output.working("Claiming the relay …"):
        wire = await connect_control(address.url, tls_ca=address.tls_ca_file)
        try:
            _, relay_id = await claim_relay(wire, admin, secret)
        finally:
            await wire.close()
    AdminAudit(config).note(AuditKind.RELAY_CLAIMED, relay_url=address.url, relay_id=relay_id)
    write_relay(config, RelayAddress(address.url, relay_id, address.tls_ca))
    await publish_signed(config, output)


def _facts(config: TechnicianConfig) -> JsonObject:
    folder = OrganisationFolder(config.organisation_folder)
    admin = folder.admin()
    relay = read_relay(config)
    return {
        "organisation_id": admin.organisation_id,
        "name": admin.organisation_name,
        "folder": str(folder.folder),
        "relay_url": relay.url,
        "relay_id": relay.relay_id,
        "is_claimed": bool(relay.relay_id),
        "admin_expires_at_utc": utc_text(admin.not_after),
        "root_expires_at_utc": utc_text(folder.root_certificate().not_valid_after_utc),
    }


def _facts_table(facts: JsonObject) -> Table:
    return pairs(
        [
            ("Organisation", facts["name"]),
            ("Id", facts["organisation_id"]),
            ("Keys in", facts["folder"]),
            ("Relay", f"{facts['relay_url']} ({'claimed' if facts['is_claimed'] else 'NOT claimed yet'})"),
            ("Admin's certificate", f"good until {facts['admin_expires_at_utc']}"),
            ("Root", f"good until {facts['root_expires_at_utc']}"),
        ]
    )


def _install(identity: Identity, target: TechnicianConfig, relay: RelayAddress) -> None:
    if target.identity_file.exists():
        present = load_identity(target.identity_file)
        if present.organisation_id != identity.organisation_id:
            raise UsageError(f"{target.data} belongs to another organisation; choose another folder")
    make_private_folder(target.data)
    save_identity(identity, target.identity_file)
    write_relay(target, relay)


def _unlock(folder: OrganisationFolder, passphrase_file: Path | None) -> Root:
    folder.root_certificate()
    return folder.unlock(read_passphrase(passphrase_file))


def _subject_id(given: str, name: str) -> SubjectId:
    if not given:
        return subject_id_of(name)
    if not is_subject_id(given):
        raise UsageError(f"{given!r} is no id; use lower case, digits and . _ -")
    return SubjectId(given)


def _moment(utc: str) -> datetime:
    return datetime.fromisoformat(utc)


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(",") if word.strip())
