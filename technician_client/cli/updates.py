"""`alongside release keys|offer|renew`: the list of updates that agents take (decision 0027)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from protocol.audit import AuditKind
from protocol.errors import UsageError
from protocol.release import Bundle
from protocol.succession import root_fingerprint
from protocol.update_offer import PERCENTS, UPDATE_ROOT_NAME, UpdateOffer
from technician_client.admin_audit import AdminAudit
from technician_client.cli.options import DataOption, JsonOption, PassphraseOption
from technician_client.cli.output import Output
from technician_client.cli.passphrase import read_passphrase
from technician_client.cli.release import OutOption
from technician_client.config import TechnicianConfig, load_config
from technician_client.organisation import OrganisationFolder
from technician_client.published_folder import published_folder

TIMESTAMP_DAYS, TIMESTAMP_DAYS_LIMIT = 14, 90
DaysOption = Annotated[
    int,
    typer.Option(
        "--days", min=1, max=TIMESTAMP_DAYS_LIMIT, help="For how long agents believe that it is the newest."
    ),
]
RootKeyOption = Annotated[
    list[Path] | None,
    typer.Option("--root-key", metavar="FILE", help="A root key (root-1.pem …) that is kept elsewhere."),
]


def keys(
    replace: Annotated[
        list[str] | None,
        typer.Option(
            "--replace",
            metavar="NAME",
            help="Make this key anew: root-1, root-2, root-3, targets or timestamp.",
        ),
    ] = None,
    root_key: RootKeyOption = None,
    folder: OutOption = None,
    data: DataOption = None,
    is_json: JsonOption = False,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make the keys that sign updates, or replace some of them."""
    # imported here: the other commands do not wait for these libraries
    from technician_client.update_keys import KEY_NAMES, UpdateKeys
    from technician_client.update_list import UpdateList

    config, output = load_config(data), Output(is_json=is_json)
    organisation = _checked(config)
    unknown = set(replace or ()) - set(KEY_NAMES)
    if unknown:
        raise UsageError(f"{', '.join(sorted(unknown))}: the keys are {', '.join(KEY_NAMES)}")
    passphrase = read_passphrase(passphrase_file)
    organisation.unlock(passphrase)
    listed = UpdateList(organisation.updates_folder, datetime.now(UTC))
    opened = UpdateKeys(organisation.updates_folder, root_key or ())
    if replace:
        root = listed.replace(opened, replace, passphrase)
        if listed.offers():
            listed.sign_anew(opened, passphrase, TIMESTAMP_DAYS)
            _publish(organisation, folder, listed)
    else:
        root = listed.begin(opened, passphrase)
    AdminAudit(config).note(
        AuditKind.UPDATE_KEYS_MADE, version=root.version, names=", ".join(replace or KEY_NAMES)
    )
    document = {"folder": str(organisation.updates_folder), "root_version": root.version}
    output.result(document, Text(f"The keys are in {organisation.updates_folder}."))
    output.remark(
        "Two of the three root keys sign changes of keys, nothing else. Move root-2.pem and root-3.pem to"
    )
    output.remark(
        "other places, and name them with --root-key when they are needed. New releases carry this root."
    )


def offer(
    percent: Annotated[
        int, typer.Option("--percent", help="How many devices take it by themselves: 1, 10 or 100 of 100.")
    ] = 1,
    return_to: Annotated[
        str,
        typer.Option(
            "--return-to",
            metavar="VERSION",
            help="A device where it fails goes back to this version at the lowest.",
        ),
    ] = "0.0.0",
    days: DaysOption = TIMESTAMP_DAYS,
    folder: OutOption = None,
    data: DataOption = None,
    is_json: JsonOption = False,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Offer the newest release to the agents that run, or to more of them."""
    from technician_client.release_bundle import read_published
    from technician_client.update_keys import UpdateKeys
    from technician_client.update_list import UpdateList

    if percent not in PERCENTS:
        raise UsageError(f"--percent {percent} is none of {', '.join(map(str, PERCENTS))}")
    config, output = load_config(data), Output(is_json=is_json)
    organisation = _checked(config)
    listed = UpdateList(organisation.updates_folder, datetime.now(UTC))
    listed.root()
    place = published_folder(organisation, folder)
    passphrase = read_passphrase(passphrase_file)
    opened = UpdateKeys(organisation.updates_folder)
    newest = [each for each in read_published(place).files if each.path.startswith("/release/agent-")]
    if not newest:
        raise UsageError(f"{place} holds no bundle; make one with: alongside release create")
    rows = []
    for each in newest:
        path = place / "files" / each.sha256
        made = _offer_of(path, organisation, percent, return_to)
        listed.offer(opened, passphrase, path.read_bytes(), made, days)
        AdminAudit(config).note(
            AuditKind.RELEASE_OFFERED, version=made.version, sha256=each.sha256, percent=percent
        )
        rows.append({"bundle": made.target, "version": made.version, "percent": percent})
    _publish(organisation, folder, listed)
    output.result(
        {"offered": rows, "folder": str(place)},
        *(
            Text(f"{row['bundle']}: version {row['version']} for {row['percent']} % of the devices.")
            for row in rows
        ),
    )
    output.remark(f"Copy {place} to the relay. Renew the list within {days} days: alongside release renew")


def renew(
    days: DaysOption = TIMESTAMP_DAYS,
    folder: OutOption = None,
    data: DataOption = None,
    is_json: JsonOption = False,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Sign that the list of updates is still the newest; without that agents say that it is frozen."""
    from technician_client.update_keys import UpdateKeys
    from technician_client.update_list import UpdateList

    config, output = load_config(data), Output(is_json=is_json)
    organisation = _checked(config)
    listed = UpdateList(organisation.updates_folder, datetime.now(UTC))
    listed.root()
    if not listed.offers():
        raise UsageError("nothing is offered yet; begin with: alongside release offer")
    opened = UpdateKeys(organisation.updates_folder)
    until = listed.renew(opened, read_passphrase(passphrase_file), days)
    _publish(organisation, folder, listed)
    AdminAudit(config).note(AuditKind.RELEASE_RENEWED, until=until.isoformat())
    output.result({"until_utc": until.isoformat()}, Text(f"Believed until {until:%Y-%m-%d %H:%M} UTC."))
    output.remark(f"Copy {published_folder(organisation, folder)} to the relay.")


def add_to(app: typer.Typer) -> None:
    """Make these commands of `alongside release`."""
    for command in (keys, offer, renew):
        app.command()(command)


def _checked(config: TechnicianConfig) -> OrganisationFolder:
    organisation = OrganisationFolder(config.organisation_folder)
    organisation.root_certificate()
    return organisation


def _offer_of(path: Path, organisation: OrganisationFolder, percent: int, return_to: str) -> UpdateOffer:
    from protocol.update_offer import read_offer

    with Bundle.open(path, root_fingerprint(organisation.root_der())) as bundle:
        release = bundle.release
    if UPDATE_ROOT_NAME not in {each.name for each in release.files}:
        raise UsageError(
            f"version {release.version} was made before the keys; make it again: alongside release create"
        )
    facts = {"product": release.product, "version": release.version, "platform": release.platform}
    facts |= {"machine": release.machine, "returns_to": return_to}
    return read_offer({**facts, "percent": percent})


def _publish(organisation: OrganisationFolder, folder: Path | None, listed: object) -> None:
    from technician_client.release_bundle import offered_bundles, publish_updates
    from technician_client.update_list import UpdateList

    assert isinstance(listed, UpdateList)
    place = published_folder(organisation, folder)
    bundles = offered_bundles(place, [sha256 for _, sha256 in listed.offers()])
    publish_updates(place, listed.published(), bundles)
