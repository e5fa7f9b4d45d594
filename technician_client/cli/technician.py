"""`alongside org technician`: who may help, for how long, and who may not any more."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.text import Text

from protocol.audit import AuditKind
from protocol.certificates import Role, Scope, organisation_of_root
from protocol.errors import UsageError
from protocol.identity import Identity, load_chain, save_identity
from protocol.ids import SubjectId, is_subject_id
from protocol.limits import TECHNICIAN_LIFETIME_DEFAULT_DAYS
from technician_client.admin_audit import AdminAudit
from technician_client.cli.options import (
    DataOption,
    JsonOption,
    NewPassphraseOption,
    NoPassphraseOption,
    PassphraseOption,
)
from technician_client.cli.output import JsonObject, Output
from technician_client.cli.passphrase import read_key_passphrase, read_new_passphrase, read_passphrase
from technician_client.cli.status import revoke_subject
from technician_client.cli.tables import table, utc_text
from technician_client.config import TechnicianConfig, load_config
from technician_client.files import make_private_folder
from technician_client.issued import (
    IssuedTechnician,
    TechnicianTerms,
    checked_grantables,
    issue_technician,
    known_technician,
    subject_id_of,
    technicians,
)
from technician_client.organisation import OrganisationFolder, Root
from technician_client.policy_document import read_policy_document
from technician_client.relay_address import RelayAddress, read_relay, write_relay
from technician_client.status_document import revoked_subjects
from technician_client.unlocking import YOUR_KEY, current_passphrases

app = typer.Typer(help="The organisation's technicians.", no_args_is_help=True)

LOCK_KEY = "alongside org technician passphrase encrypts it"

WhoArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="WHO", help="Their id, or their name if only one has it.")
]
DaysOption: TypeAlias = Annotated[
    int, typer.Option("--days", min=1, help="How long the certificate lives; the policy sets the limit.")
]
OutOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Write a data folder for their computer: use it as --data."),
]
ThisComputerOption: TypeAlias = Annotated[
    bool, typer.Option("--this-computer", help="Install the identity here; this person is you.")
]


@app.command("add")
def technician_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that people at devices will read.")],
    data: DataOption = None,
    is_json: JsonOption = False,
    days: DaysOption = TECHNICIAN_LIFETIME_DEFAULT_DAYS,
    groups: Annotated[
        str, typer.Option("--groups", help="Device groups, separated by commas; * is all.")
    ] = "*",
    grantables: Annotated[
        str, typer.Option("--grantables", help="What may be asked for, separated by commas; * is all.")
    ] = "*",
    subject: Annotated[
        str, typer.Option("--id", help="Their id in audit records. Default: made from NAME.")
    ] = "",
    out: OutOption = None,
    this_computer: ThisComputerOption = False,
    passphrase_file: PassphraseOption = None,
    new_passphrase_file: NewPassphraseOption = None,
    no_passphrase: NoPassphraseOption = False,
) -> None:
    """Make a technician's identity: key and certificate. Short-lived; make a new one to renew it."""
    terms = TechnicianTerms(
        _subject_id(subject, name),
        name,
        Scope(_words(groups), checked_grantables(_words(grantables))),
        timedelta(days=days),
    )
    asked = PassphrasesAsked(passphrase_file, new_passphrase_file, no_passphrase)
    _issue(terms, load_config(data), Place(out, this_computer), asked, Output(is_json=is_json))


@app.command()
def renew(
    who: WhoArgument,
    data: DataOption = None,
    is_json: JsonOption = False,
    days: DaysOption = TECHNICIAN_LIFETIME_DEFAULT_DAYS,
    out: OutOption = None,
    this_computer: ThisComputerOption = False,
    passphrase_file: PassphraseOption = None,
    new_passphrase_file: NewPassphraseOption = None,
    no_passphrase: NoPassphraseOption = False,
) -> None:
    """Make a technician's next identity: the same id, name and scope, a new key, a new life."""
    config = load_config(data)
    folder = OrganisationFolder(config.organisation_folder)
    folder.root_certificate()
    known = known_technician(folder, who)
    scope = Scope(frozenset(known.groups), frozenset(known.grantables))
    terms = TechnicianTerms(SubjectId(known.subject_id), known.name, scope, timedelta(days=days))
    asked = PassphrasesAsked(passphrase_file, new_passphrase_file, no_passphrase)
    _issue(terms, config, Place(out, this_computer), asked, Output(is_json=is_json))


@app.command()
def revoke(
    who: WhoArgument,
    data: DataOption = None,
    is_json: JsonOption = False,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Cut a technician off: no new session, and those that run end. Their id is not used again."""
    config = load_config(data)
    folder = OrganisationFolder(config.organisation_folder)
    folder.root_certificate()
    known = known_technician(folder, who)
    passphrase = read_passphrase(passphrase_file)
    revoke_subject(config, (Role.TECHNICIAN, known.subject_id), passphrase, Output(is_json=is_json))


@app.command("list")
def technician_list(data: DataOption = None, is_json: JsonOption = False) -> None:
    """List the technician certificates that were issued from this computer."""
    folder = OrganisationFolder(load_config(data).organisation_folder)
    folder.root_certificate()
    rows = technicians(folder)
    now = datetime.now(UTC)
    revoked = revoked_subjects(folder, Role.TECHNICIAN)
    documents = [
        {
            "technician_id": row.subject_id,
            "name": row.name,
            "groups": row.groups,
            "grantables": row.grantables,
            "expires_at_utc": row.expires_at_utc,
            "is_revoked": row.subject_id in revoked,
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
            _standing(row, now, revoked),
        )
        for row in rows
    ]
    output = Output(is_json=is_json)
    output.result({"technicians": documents}, table(("NAME", "ID", "GROUPS", "GOOD UNTIL (UTC)", ""), shown))


@app.command()
def passphrase(
    data: DataOption = None,
    is_json: JsonOption = False,
    new_passphrase_file: NewPassphraseOption = None,
    no_passphrase: NoPassphraseOption = False,
) -> None:
    """Give your own key on this computer another passphrase, or its first one.

    The former passphrase is asked for, or read from the file in: alongside --key-passphrase-file FILE org …
    """
    config, output = load_config(data), Output(is_json=is_json)
    identity = current_passphrases().open(config.identity_file, YOUR_KEY)
    if no_passphrase and new_passphrase_file is not None:
        raise UsageError("--no-passphrase and --new-passphrase-file exclude each other")
    new = None if no_passphrase else read_new_passphrase(new_passphrase_file, "your technician's key")
    save_identity(identity, config.identity_file, passphrase=new)
    document: JsonObject = {"identity": str(config.identity_file), "is_locked": new is not None}
    output.result(document, Text("The passphrase was changed." if new else "The passphrase was taken off."))
    if new is None:
        output.remark(f"The key in {config.identity_file} is NOT encrypted: {LOCK_KEY}")


@dataclass(frozen=True, slots=True)
class PassphrasesAsked:
    """What the command line says about them: the organisation's file, and what becomes of the new key."""

    file: Path | None
    new_file: Path | None
    stays_open: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new identity goes: a data folder for another computer, or this one."""

    out: Path | None
    is_here: bool

    def config(self, ours: TechnicianConfig) -> TechnicianConfig:
        """The data folder; raises UsageError unless exactly one place is named."""
        if (self.out is None) != self.is_here:
            raise UsageError("say where it goes: --out DIR, or --this-computer")
        return ours if self.out is None else load_config(self.out)


def _issue(
    terms: TechnicianTerms,
    config: TechnicianConfig,
    place: Place,
    asked: PassphrasesAsked,
    output: Output,
) -> None:
    target = place.config(config)
    folder = OrganisationFolder(config.organisation_folder)
    _, policy = read_policy_document(folder.policy_document_file)
    limit_days = policy.technician_lifetime_days_limit
    key_passphrase = read_key_passphrase(
        asked.new_file, stays_open=asked.stays_open, target=target.identity_file
    )
    root = _unlock(folder, asked.file)
    identity = issue_technician(folder, root, terms, now=datetime.now(UTC), days_limit=limit_days)
    AdminAudit(config).note(
        AuditKind.TECHNICIAN_ISSUED,
        technician_id=identity.subject_id,
        groups=" ".join(sorted(terms.scope.groups)),
        grantables=" ".join(sorted(terms.scope.grantables)),
        expires_at_utc=utc_text(identity.not_after),
    )
    _install(identity, target, read_relay(config), key_passphrase)
    document = {
        "technician_id": identity.subject_id,
        "identity": str(target.identity_file),
        "expires_at_utc": utc_text(identity.not_after),
        "is_locked": key_passphrase is not None,
    }
    until = document["expires_at_utc"]
    output.result(document, Text(f"{terms.name} can work until {until} with {target.data}"))
    if key_passphrase is None:
        output.remark(f"The key in {target.identity_file} is NOT encrypted: {LOCK_KEY}")


def _standing(row: IssuedTechnician, now: datetime, revoked: Collection[str]) -> str:
    if row.subject_id in revoked:
        return "revoked"
    return "" if _moment(row.expires_at_utc) > now else "over"


def _install(
    identity: Identity, target: TechnicianConfig, relay: RelayAddress, key_passphrase: bytes | None
) -> None:
    if target.identity_file.exists():
        organisation_id, _ = organisation_of_root(load_chain(target.identity_file)[1])
        if organisation_id != identity.organisation_id:
            raise UsageError(f"{target.data} belongs to another organisation; choose another folder")
    make_private_folder(target.data)
    save_identity(identity, target.identity_file, passphrase=key_passphrase)
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
