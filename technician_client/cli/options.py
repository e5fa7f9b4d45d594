"""The options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DataOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder with all state. Default: the platform's data folder."),
]
JsonOption: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="Machine output (JSON) on standard output; people's text on standard error."),
]
PassphraseOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Read the organisation's passphrase from this file's first line. Without it, it is asked for.",
    ),
]
NewPassphraseOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--new-passphrase-file",
        metavar="FILE",
        help="Read the new passphrase from this file's first line. Without it, it is asked for.",
    ),
]
NoPassphraseOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-passphrase", help="Leave the person's key open on the disk: whoever can copy it can use it."
    ),
]
DeviceArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="DEVICE", help="A device's id, a unique start of it, or a unique name.")
]
DeviceOrCodeArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="DEVICE_OR_CODE",
        help="A device's id, a unique start of it, or a unique name; or the support code that a person "
        "read to you. While a code is used, others on this computer can see it in the list of processes; "
        '"-" asks for it instead.',
    ),
]
VisitRelayOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--relay",
        metavar="URL",
        help="With a code, and without an organisation: the relay where the person waits. "
        "The person is told that nobody can tell who you are.",
    ),
]
VisitRelayCaOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--relay-ca", metavar="FILE", help="With --relay: authority of its TLS certificate."),
]
ReasonOption: TypeAlias = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; the person at the device reads it.")
]
TicketOption: TypeAlias = Annotated[
    str, typer.Option("--ticket", metavar="NUMBER", help="Your ticket number; the person reads it.")
]
