"""`alongside org recover`: a successor root, signed by the recovery kit."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Self, TypeAlias

import typer
from rich.text import Text

from protocol.aio.log_in import connect_control, succeed
from protocol.audit import AuditKind
from protocol.errors import UsageError
from protocol.succession import root_fingerprint
from technician_client.admin_audit import AdminAudit
from technician_client.cli.options import DataOption, JsonOption, PassphraseOption
from technician_client.cli.output import Output
from technician_client.cli.passphrase import is_person_there, read_new_passphrase
from technician_client.cli.policy import publish_signed
from technician_client.cli.running import run_async
from technician_client.cli.status import publish_status
from technician_client.config import TechnicianConfig, load_config
from technician_client.files import read_secret_line
from technician_client.organisation import OrganisationFolder
from technician_client.recovery import make_successor_folder, read_kit
from technician_client.relay_address import RelayAddress, checked_relay, read_relay, write_relay

RecoveryKitOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--recovery-kit", metavar="FILE", help="Where the recovery kit goes. Default: in org/."),
]
RecoveryPassphraseOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--recovery-passphrase-file",
        metavar="FILE",
        help="What encrypts the recovery kit. Without it, the organisation's passphrase does.",
    ),
]


@dataclass(frozen=True, slots=True)
class KitPlace:
    """Where a recovery kit is, and what encrypts it."""

    path: Path
    passphrase: bytes

    @classmethod
    def named(cls, path: Path, passphrase_file: Path | None, passphrase: bytes) -> Self:
        """A new kit; without a passphrase of its own it gets the organisation's.

        Raises:
            UsageError: there is a file already.
        """
        if path.exists():
            raise UsageError(f"{path} is there already; name another file with --recovery-kit")
        own = read_secret_line(passphrase_file).encode() if passphrase_file else passphrase
        return cls(path, own)


def recover(
    kit: Annotated[Path, typer.Option("--kit", metavar="FILE", help="The recovery kit of the newest root.")],
    data: DataOption = None,
    is_json: JsonOption = False,
    relay: Annotated[
        str, typer.Option("--relay", metavar="URL", help="The relay; needed where no organisation was.")
    ] = "",
    passphrase_file: PassphraseOption = None,
    recovery_passphrase_file: RecoveryPassphraseOption = None,
) -> None:
    """Put a successor in the place of a root whose key is lost or stolen, by its recovery kit.

    Devices follow it by themselves and stay as they are. All people need new certificates: the former root
    counts for devices that joined before, and for nobody else. The passphrase becomes the new root's and
    its new kit's. Afterwards: alongside org technician renew, alongside fleet token create.
    """
    config, output = load_config(data), Output(is_json=is_json)
    folder = OrganisationFolder(config.organisation_folder)
    passphrase = read_new_passphrase(passphrase_file)
    own = read_secret_line(recovery_passphrase_file).encode() if recovery_passphrase_file else passphrase
    unlocked = read_kit(kit, own)
    if relay:
        write_relay(config, checked_relay(RelayAddress(relay)))
    address = read_relay(config)
    root = make_successor_folder(
        folder, unlocked, passphrase, now=datetime.now(UTC), locks_admin=is_person_there()
    )
    generation = unlocked.roots.generation
    AdminAudit(config).note(
        AuditKind.ROOT_SUCCEEDED, generation=generation, root_sha256=sha256(root.der).hexdigest()
    )
    output.remark(f"Root {generation} was made. Move its recovery kit off this computer:")
    output.remark(f"  {folder.recovery_kit_file}")
    output.remark("Who checks releases or installs by hand needs the new root's fingerprint from now on:")
    output.remark(f"  {root_fingerprint(root.der)}")
    is_published = bool(relay or address.relay_id)
    if is_published:
        run_async(_bring_and_publish(config, output))
    else:
        output.remark("No relay was claimed yet. Next: alongside org claim --claim-secret-file FILE")
    document = {
        "organisation_id": unlocked.roots.organisation_id,
        "generation": generation,
        "root_fingerprint": root_fingerprint(root.der),
        "recovery_kit": str(folder.recovery_kit_file),
        "is_published": is_published,
    }
    output.result(document, Text(f"Root {generation} is in {folder.folder}."))


async def bring_to_relay(config: TechnicianConfig, output: Output) -> None:
    """Show the relay the steps to the newest root; without any there is nothing to do.

    Raises:
        SupportError: E_ROOT_FORK, E_ROOT_SUCCESSOR and others of the relay.
    """
    folder = OrganisationFolder(config.organisation_folder)
    steps = folder.roots().steps
    if not steps:
        return
    address = read_relay(config)
    with output.working("Bringing the relay the successor root …"):
        wire = await connect_control(address.url, tls_ca=address.tls_ca_file)
        try:
            _, relay_id = await succeed(wire, folder.admin(), steps, address.relay_id or None)
        finally:
            await wire.close()
    write_relay(config, RelayAddress(address.url, relay_id, address.tls_ca))


async def _bring_and_publish(config: TechnicianConfig, output: Output) -> None:
    await bring_to_relay(config, output)
    await publish_signed(config, output)
    await publish_status(config, output)
