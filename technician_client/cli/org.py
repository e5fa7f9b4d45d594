"""`alongside org`: the organisation's keys, its relay and its technicians."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from protocol.aio.log_in import claim as claim_relay
from protocol.aio.log_in import connect_control
from protocol.audit import AuditKind
from protocol.certificates import Role, organisation_of_root
from protocol.errors import UsageError
from protocol.succession import root_fingerprint
from technician_client.admin_audit import AdminAudit
from technician_client.app import checked_identity
from technician_client.cli import recovery, status, technician
from technician_client.cli.options import (
    DataOption,
    JsonOption,
    NewPassphraseOption,
    NoPassphraseOption,
    PassphraseOption,
)
from technician_client.cli.output import JsonObject, Output
from technician_client.cli.passphrase import is_person_there, read_new_passphrase, read_passphrase
from technician_client.cli.policy import publish_signed
from technician_client.cli.recovery import (
    KitPlace,
    RecoveryKitOption,
    RecoveryPassphraseOption,
    bring_to_relay,
)
from technician_client.cli.running import run_async
from technician_client.cli.tables import pairs, utc_text
from technician_client.config import TechnicianConfig, load_config
from technician_client.files import read_secret_line
from technician_client.organisation import (
    OrganisationFolder,
    change_passphrase,
    create_organisation,
    renew_staff,
)
from technician_client.policy_document import read_policy_document, sign_policy, write_default
from technician_client.recovery import new_recovery_key, write_kit
from technician_client.relay_address import RelayAddress, checked_relay, read_relay, write_relay
from technician_client.status_document import revoked_subjects, sign_new_status

app = typer.Typer(help="The organisation: its keys, its relay, its technicians.", no_args_is_help=True)
app.add_typer(technician.app, name="technician")
app.add_typer(status.app, name="status")
app.command("revoke")(status.revoke)
app.command("recover")(recovery.recover)

LOCK_ADMIN = "alongside org passphrase encrypts it"

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
    no_passphrase: NoPassphraseOption = False,
    recovery_kit: RecoveryKitOption = None,
    recovery_passphrase_file: RecoveryPassphraseOption = None,
) -> None:
    """Make an organisation here: root, admin and policy keys, and a signed first policy.

    With --claim-secret-file the relay is claimed and the policy published at once. The root's key is
    encrypted with the passphrase and never leaves this computer: keep a copy of the folder org/. The
    recovery kit alone can replace a lost or stolen root: keep it somewhere else.
    """
    config, output = load_config(data), Output(is_json=is_json)
    address = checked_relay(RelayAddress(relay, tls_ca=str(tls_ca.absolute()) if tls_ca else ""))
    secret = read_secret_line(claim_secret_file) if claim_secret_file else ""
    folder = OrganisationFolder(config.organisation_folder)
    if folder.is_complete:
        raise UsageError(
            f"{folder.folder} already holds an organisation; use another --data DIR for a new one"
        )
    locks_admin = is_person_there() and not no_passphrase
    passphrase = read_new_passphrase(passphrase_file)
    kit = KitPlace.named(recovery_kit or folder.recovery_kit_file, recovery_passphrase_file, passphrase)
    _create(folder, name, passphrase, kit, locks_admin=locks_admin)
    output.remark(f"Move the recovery kit off this computer: {kit.path}")
    if not locks_admin:
        output.remark(f"The admin's key in {folder.admin_file} is NOT encrypted: {LOCK_ADMIN}")
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
    revoked = revoked_subjects(folder, Role.ADMIN) | revoked_subjects(folder, Role.POLICY)
    renew_staff(folder, folder.unlock(passphrase), passphrase, now=now, revoked=revoked)
    document, _ = read_policy_document(folder.policy_document_file)
    policy = sign_policy(folder, document, folder.policy_signer(passphrase), now=now)
    AdminAudit(config).note(AuditKind.POLICY_SIGNED, version=policy.version, sha256=policy.sha256)
    status.sign_noted(config, passphrase)
    shown = _facts(config)
    output = Output(is_json=is_json)
    output.result(shown, _facts_table(shown))
    output.remark("Policy and status list were signed again. Publish them:")
    output.remark("  alongside policy publish; alongside org status publish")


@app.command()
def passphrase(
    data: DataOption = None,
    is_json: JsonOption = False,
    passphrase_file: PassphraseOption = None,
    new_passphrase_file: NewPassphraseOption = None,
    no_passphrase: NoPassphraseOption = False,
) -> None:
    """Give the organisation's keys another passphrase: root, policy signer, updates and admin.

    With --no-passphrase the admin's key alone stays open; the others always have one. Copies of the folder
    keep the passphrase they were made with.
    """
    config, output = load_config(data), Output(is_json=is_json)
    folder = OrganisationFolder(config.organisation_folder)
    folder.root_certificate()
    former = read_passphrase(passphrase_file)
    new = read_new_passphrase(new_passphrase_file)
    changed = change_passphrase(folder, former, new, locks_admin=not no_passphrase)
    if folder.updates_folder.is_dir():
        from technician_client.update_keys import encrypt_anew  # TUF's libraries are slow to import

        changed += encrypt_anew(folder.updates_folder, former, new)
    document: JsonObject = {"files": [str(path) for path in changed], "is_admin_locked": not no_passphrase}
    output.result(document, Text("The passphrase was changed."))
    if no_passphrase:
        output.remark(f"The admin's key in {folder.admin_file} is NOT encrypted: {LOCK_ADMIN}")


def _create(
    folder: OrganisationFolder, name: str, passphrase: bytes, kit: KitPlace, *, locks_admin: bool
) -> None:
    now = datetime.now(UTC)
    recovery_key = new_recovery_key()
    root = create_organisation(
        folder, name, passphrase, recovery_key.public_key(), now=now, locks_admin=locks_admin
    )
    write_kit(kit.path, folder.roots(), recovery_key, kit.passphrase)
    write_default(folder, organisation_of_root(root.der)[0], now=now)
    document, _ = read_policy_document(folder.policy_document_file)
    signer = folder.policy_signer(passphrase)
    sign_policy(folder, document | {"version": 0}, signer, now=now)
    sign_new_status(folder, signer, now=now)


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
    await bring_to_relay(config, output)
    await publish_signed(config, output)
    await status.publish_status(config, output)


def _facts(config: TechnicianConfig) -> JsonObject:
    folder = OrganisationFolder(config.organisation_folder)
    admin = folder.admin_certificate()
    organisation_id, name = organisation_of_root(folder.root_der())
    relay = read_relay(config)
    return {
        "organisation_id": organisation_id,
        "name": name,
        "root_fingerprint": root_fingerprint(folder.root_der()),
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
            ("Newest root's fingerprint", facts["root_fingerprint"]),
            ("Keys in", facts["folder"]),
            ("Relay", f"{facts['relay_url']} ({'claimed' if facts['is_claimed'] else 'NOT claimed yet'})"),
            ("Admin's certificate", f"good until {facts['admin_expires_at_utc']}"),
            ("Root", f"good until {facts['root_expires_at_utc']}"),
        ]
    )
