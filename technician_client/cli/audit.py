"""`alongside audit`: read and check audit records, receipts and anchors; only `anchors` needs the network."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from protocol.aio.receipt_book import ReceiptBook
from protocol.audit import AuditKind, AuditRecord, read_record
from protocol.errors import ErrorCode, Refused, SupportError
from protocol.ids import DeviceId
from technician_client.admin_audit import AdminAudit
from technician_client.app import fleet_link
from technician_client.audit_files import Checked, check_files, files_at, own_files, roots_for
from technician_client.cli.options import DataOption, DeviceArgument, JsonOption
from technician_client.cli.output import Output
from technician_client.cli.running import run_async
from technician_client.cli.tables import table, utc_text
from technician_client.config import TechnicianConfig, load_config
from technician_client.device_match import match_device
from technician_client.files import write_private

app = typer.Typer(help="Audit records: who did what, when. Checked offline.", no_args_is_help=True)


class AuditBroken(SupportError):
    """A record, receipt or anchor does not hold, or a log lacks what they name."""

    default_code = ErrorCode.E_AUDIT_CHAIN


@app.command()
def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Logs, receipts, anchors, folders with them, root certificates (PEM) and, for successors, "
            "their successors.json. "
            "Default: the own log and receipts of the data folder.",
        ),
    ] = None,
    keeper: Annotated[
        str,
        typer.Option("--keeper", metavar="ID", help="Whose logs these are: a device's or technician's id."),
    ] = "",
    data: DataOption = None,
    is_json: JsonOption = False,
) -> None:
    """Check logs, and hold them against receipts and anchors. Exit 5 when something does not hold."""
    output, config = Output(is_json=is_json), load_config(data)
    if paths:
        files = files_at(paths)
    else:
        files = own_files(config)
        keeper = keeper or files.keeper
    found = check_files(files, roots_for(config, paths or ()), keeper)
    output.result({"files": [_document(each) for each in found]}, _found_table(found))
    for each in found:
        for session_id, roles in each.one_sided.items():
            output.remark(f"Session {session_id} was signed by the {' and the '.join(roles)} alone.")
    for each in found:
        if each.faults:
            raise AuditBroken(f"{each.path}: {each.faults[0]}")


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


@app.command()
def receipts(data: DataOption = None, is_json: JsonOption = False) -> None:
    """Show the receipts of this technician's sessions, the newest last."""
    kept = [(each, each.facts()) for each in ReceiptBook(load_config(data).receipts_folder).everything()]
    documents = [
        {**msgspec.to_builtins(facts), "signed_by": each.roles, "sha256": each.sha256} for each, facts in kept
    ]
    rows = [
        (
            utc_text(facts.ended_at_utc),
            facts.device_name,
            " ".join(facts.grants) or "nothing",
            " ".join(f"{line.command_id}: {line.outcome};" for line in facts.commands).rstrip(";"),
            facts.cause,
            " ".join(each.roles),
        )
        for each, facts in kept
    ]
    columns = ("ENDED (UTC)", "DEVICE", "GRANTED", "COMMANDS", "END", "SIGNED BY")
    Output(is_json=is_json).result({"receipts": documents}, table(columns, rows))


@app.command()
def anchors(
    device: DeviceArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write them there, for: audit verify.")
    ] = None,
    data: DataOption = None,
    is_json: JsonOption = False,
) -> None:
    """Fetch what the relay keeps of a device's audit log; a log that was cut does not fit it."""
    output = Output(is_json=is_json)
    device_id, rows = run_async(_anchors(load_config(data), device, output))
    if out is not None:
        write_private(out, b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    shown = table(("KEPT AT (UTC)", "ANCHOR"), [(row["at_utc"], row["anchor"]) for row in rows])
    output.result({"device_id": device_id, "anchors": rows}, shown)
    if not rows:
        output.remark(
            "The relay keeps nothing of this device yet; the agent leaves an anchor after a session."
        )


@app.command()
def accept(device: DeviceArgument, data: DataOption = None, is_json: JsonOption = False) -> None:
    """Stop the alarm about a device's audit log, by its id, once it is known why the log changed."""
    config = load_config(data)
    book = ReceiptBook(config.receipts_folder)
    known = book.known_head(device)
    if known is None:
        raise Refused(f"nothing is known of the log of {device}", code=ErrorCode.E_DEVICE_UNKNOWN)
    facts = {"known_seq": known.seq, "known_sha256": known.sha256}
    AdminAudit(config).note(
        AuditKind.AUDIT_ACCEPTED, device_id=device, known_seq=known.seq, known_sha256=known.sha256
    )
    book.forget_head(device)
    Output(is_json=is_json).result(
        {"device_id": device, **facts}, table(("DEVICE", "FORGOTTEN RECORD"), [(device, known.seq)])
    )


async def _anchors(config: TechnicianConfig, device: str, output: Output) -> tuple[str, list[dict[str, str]]]:
    async with fleet_link(config) as link:
        with output.working("Asking the relay …"):
            row = match_device(device, await link.devices())
            kept = await link.anchors(DeviceId(row.device_id))
    rows = [
        {
            "device_id": row.device_id,
            "at_utc": one.kept_at_utc,
            "anchor": b64encode(one.anchor).decode(),
        }
        for one in kept
    ]
    return row.device_id, rows


def _document(each: Checked) -> dict[str, Any]:
    return {
        "path": each.path,
        "kind": each.kind,
        "is_intact": not each.faults,
        "records": each.records,
        "head": each.head,
        "keepers": each.keepers,
        "claims": each.claims,
        "one_sided": list(each.one_sided),
        "detail": "; ".join(each.faults),
    }


def _found_table(found: list[Checked]) -> Any:
    rows = [
        (
            each.path,
            each.kind,
            "intact" if not each.faults else "DAMAGED",
            each.records or each.claims,
            " ".join(each.keepers),
        )
        for each in found
    ]
    return table(("FILE", "IS", "STATE", "ENTRIES", "OF"), rows)


def _records(path: Path) -> list[AuditRecord]:
    with path.open("rb") as file:
        return [read_record(line.removesuffix(b"\n")) for line in file]
