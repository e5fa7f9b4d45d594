"""`alongside release`: the agent's releases, signed by the organisation and served by its relay."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from protocol.audit import AuditKind
from protocol.platforms import Platform
from technician_client.admin_audit import AdminAudit
from technician_client.cli.options import DataOption, JsonOption, PassphraseOption
from technician_client.cli.output import Output
from technician_client.cli.passphrase import read_passphrase
from technician_client.config import load_config
from technician_client.organisation import OrganisationFolder
from technician_client.published_folder import published_folder

app = typer.Typer(help="Releases of the agent: signed here, served by the relay.", no_args_is_help=True)

SOURCES_SCRIPTS = Path(__file__).parents[2] / "scripts" / "install"
USUAL_MACHINE: dict[Platform, str] = {"linux": "x86_64", "macos": "arm64", "windows": "amd64"}
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--folder", metavar="DIR", help="Folder that the relay serves (--release DIR). Default: org/release."
    ),
]


@app.command()
def create(
    wheels: Annotated[
        Path,
        typer.Option("--wheels", metavar="DIR", help="Folder of wheels: pip wheel -w DIR '.[agent]' pip."),
    ],
    folder: OutOption = None,
    scripts: Annotated[
        Path, typer.Option("--scripts", metavar="DIR", help="Folder scripts/install of the same sources.")
    ] = SOURCES_SCRIPTS,
    platform: Annotated[
        Platform, typer.Option("--platform", help="The system that the wheels are for.")
    ] = "linux",
    machine: Annotated[
        str | None,
        typer.Option(
            "--machine",
            metavar="NAME",
            help="What they run on, as their names say. Default: x86_64, for macOS arm64, for Windows amd64.",
        ),
    ] = None,
    released_at: Annotated[
        datetime | None,
        typer.Option(
            "--released-at",
            formats=["%Y-%m-%dT%H:%M:%S"],
            help="Its date (UTC) instead of now: who repeats a release with it gets the same bytes.",
        ),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long it may be installed.")] = 365,
    data: DataOption = None,
    is_json: JsonOption = False,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a signed release of the agent from the wheels of one system; once for each system of a version.

    Releases of the same version for other systems stay in the folder. Hand it to the relay afterwards.
    """
    # imported here: the other commands do not wait for these libraries
    from technician_client.release_bundle import ReleaseTerms, create_release
    from technician_client.release_wheels import read_wheels

    config, output = load_config(data), Output(is_json=is_json)
    organisation = OrganisationFolder(config.organisation_folder)
    organisation.root_certificate()
    found = read_wheels(wheels)
    root = organisation.unlock(read_passphrase(passphrase_file))
    target = published_folder(organisation, folder)
    moment = released_at.replace(tzinfo=UTC) if released_at else datetime.now(UTC)
    terms = ReleaseTerms(
        roots=organisation.roots(),
        wheels=found,
        scripts=scripts,
        platform=platform,
        machine=machine or USUAL_MACHINE[platform],
        days=days,
        now=moment,
        update_root=_update_root(organisation),
    )
    made = create_release(root, terms, target)
    version = made.release.version
    AdminAudit(config).note(AuditKind.RELEASE_SIGNED, version=version, sha256=made.bundle_sha256)
    document = {
        "version": version,
        "folder": str(target),
        "platform": platform,
        "machine": made.release.machine,
        "bundle": made.release.bundle_name,
        "bundle_sha256": made.bundle_sha256,
        "pythons": made.release.pythons,
        "script_sha256": made.script_sha256,
        "expires_at_utc": made.release.expires_at_utc.isoformat(),
    }
    output.result(
        document,
        Text(
            f"Version {version} for {platform} on {made.release.machine}, "
            f"Python {', '.join(made.release.pythons)}, is in {target}."
        ),
        Text(f"SHA-256 of the bundle: {made.bundle_sha256}"),
    )
    if not made.script_sha256:
        output.remark(f"{scripts / platform} has no install script: the relay hands out the bundle alone.")
    output.remark(f"Copy the folder to the relay and start it with: alongside-relay serve --release {target}")


@app.command()
def export(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Where the copies go, such as a USB stick.")],
    folder: OutOption = None,
    data: DataOption = None,
    is_json: JsonOption = False,
) -> None:
    """Copy the newest bundles and the install scripts, for computers that cannot reach the relay's files."""
    from technician_client.release_bundle import export_bundle

    organisation = OrganisationFolder(load_config(data).organisation_folder)
    copied = [str(path) for path in export_bundle(published_folder(organisation, folder), target)]
    Output(is_json=is_json).result({"files": copied}, *(Text(path) for path in copied))


def _update_root(organisation: OrganisationFolder) -> bytes:
    if not organisation.updates_folder.is_dir():
        return b""
    from technician_client.update_list import UpdateList

    return UpdateList(organisation.updates_folder, datetime.now(UTC)).root_bytes()
