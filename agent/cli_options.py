"""Options that many commands of `alongside-agent` have."""

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
