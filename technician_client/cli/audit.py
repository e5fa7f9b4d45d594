"""`alongside audit`: read and check audit records; needs no network."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from protocol.audit import AuditRecord, AuditReport, read_record, verify_records
from protocol.errors import ErrorCode, SupportError, UsageError
from technician_client.cli.options import DataOption, JsonOption
from technician_client.cli.output import Output
from technician_client.cli.tables import table, utc_text
from technician_client.config import load_config

app = typer.Typer(help="Audit records: who did what, when. Checked offline.", no_args_is_help=True)


class AuditBroken(SupportError):
    """A record does not follow from the one before it."""

    default_code = ErrorCode.E_AUDIT_CHAIN


@app.command()
def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Audit files. Default: audit.jsonl in the data folder."),
    ] = None,
    data: DataOption = None,
    is_json: JsonOption = False,
) -> None:
    """Check that no record of these files was changed, removed or put in. Exit 5 when one was."""
    output = Output(is_json=is_json)
    reports = [(path, _verified(path)) for path in paths or [load_config(data).audit_file]]
    rows = [
        {
            "path": str(path),
            "is_intact": report.is_intact,
            "records": report.records,
            "head": report.head,
            "detail": report.detail,
        }
        for path, report in reports
    ]
    shown = [(row["path"], "intact" if row["is_intact"] else "DAMAGED", row["records"]) for row in rows]
    output.result({"files": rows}, table(("FILE", "STATE", "RECORDS"), shown))
    for path, report in reports:
        if not report.is_intact:
            raise AuditBroken(f"{path}: {report.detail}")


@app.command()
def show(
    data: DataOption = None,
    is_json: JsonOption = False,
    last: Annotated[int, typer.Option("--last", min=1, help="How many of the newest records.")] = 50,
) -> None:
    """Show this technician's own records, the newest last."""
    file = load_config(data).audit_file
    records = _records(file)[-last:] if file.exists() else []
    documents = [msgspec.to_builtins(record) for record in records]
    rows = [
        (
            utc_text(record.at_utc),
            record.kind,
            "yes" if record.succeeded else "NO",
            record.device_id,
            " ".join(f"{name}={value}" for name, value in record.facts.items()),
        )
        for record in records
    ]
    Output(is_json=is_json).result(
        {"records": documents}, table(("AT (UTC)", "WHAT", "DONE", "DEVICE", "FACTS"), rows)
    )


def _verified(path: Path) -> AuditReport:
    try:
        with path.open("rb") as file:
            return verify_records(file)
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror or exc}") from None


def _records(path: Path) -> list[AuditRecord]:
    with path.open("rb") as file:
        return [read_record(line.removesuffix(b"\n")) for line in file]
