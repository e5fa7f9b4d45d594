"""The command `alongside-relay`."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from protocol.errors import (
    EnvironmentFault,
    ErrorCode,
    ExitStatus,
    Refused,
    SupportError,
    UsageError,
    exit_status,
)
from protocol.names import shown_text
from protocol.runtime import outlive_a_full_disk
from protocol.version import PRODUCT_VERSION
from relay.config import DEFAULT_LISTEN, RelayConfig, claim_secret_file, default_data, read_config

EPILOG = (
    "Exit statuses: 0 done, 1 an error of ours, 2 wrong command or setting, 3 refused, 5 not trusted, "
    "6 this computer stands in the way, 130 interrupted."
)
DETAIL_LIMIT_CHARS = 400
INTERRUPTED_STATUS = 130

app = typer.Typer(
    name="alongside-relay",
    help="The relay: it brings agents and technicians together and forwards what it cannot read.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder of all state (made when missing).")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Machine output on standard output, people's text on standard error.")
]

ListenOption = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help=f"Address of the control link (default {DEFAULT_LISTEN})."),
]
SessionListenOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address of the first session worker; further workers take the next ports"
        " (default: same host, next port; port 0 takes free ones).",
    ),
]
DatabaseOption = Annotated[
    str | None, typer.Option(metavar="URL", help="SQLAlchemy URL (default: SQLite in the data folder).")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Session workers (default 1; 0: sessions share the control port)."),
]
TlsCertOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="PEM certificate chain of this relay's name.")
]
TlsKeyOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Its PEM key.")]
BehindProxyOption = Annotated[
    bool, typer.Option("--behind-proxy", help="TLS ends in a proxy in front: allow plain TCP anywhere.")
]
SessionPublicPortOption = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        help="Port that clients use for sessions behind a proxy, which routes /v1/session/N to worker N;"
        " 0: the control link's own.",
    ),
]
VisitorsOption = Annotated[
    bool,
    typer.Option(
        "--visitors", help="Let people without an organisation meet here by support code (default: no)."
    ),
]
ReleaseOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder made by alongside release create: install scripts and the agent to serve."
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="TOML file with these settings, - written as _.")
]


def _people() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _show_error(exc: SupportError, *, is_json: bool) -> None:
    sentence, remedy = exc.text
    detail = shown_text(exc.detail, DETAIL_LIMIT_CHARS)
    if is_json:
        fields = {"code": exc.code.value, "sentence": sentence, "detail": detail, "remedy": remedy}
        _print_json({"error": fields})
    if detail:
        sentence = f"{sentence.rstrip('.')} ({detail})."
    lines = (f"Error: {sentence}", f"  What to do: {remedy}", f"  Code: {exc.code.value}")
    print("\n".join(lines), file=sys.stderr, flush=True)


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"alongside-relay {PRODUCT_VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave."),
    ] = False,
) -> None:
    """What every command shares."""


@app.command()
def serve(
    listen: ListenOption = None,
    session_listen: SessionListenOption = None,
    database: DatabaseOption = None,
    workers: WorkersOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    behind_proxy: BehindProxyOption = False,
    session_public_port: SessionPublicPortOption = None,
    visitors: VisitorsOption = False,
    release: ReleaseOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Serve until SIGTERM or Ctrl+C."""
    given = {
        "listen": listen,
        "session_listen": session_listen,
        "database": database,
        "workers": workers,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "behind_proxy": behind_proxy or None,
        "session_public_port": session_public_port,
        "visitors": visitors or None,
        "release": None if release is None else str(release),
    }
    settings = read_config((data or default_data()).absolute(), config, given)
    raise typer.Exit(_serve(settings, is_json=json))


def _serve(settings: RelayConfig, *, is_json: bool) -> int:
    # imported here: the help text does not wait for the server's libraries
    from relay.app import Ready, Voice, run_relay
    from relay.logs import set_up_logs

    os.umask(0o077)
    set_up_logs()
    relay_pid = os.getpid()

    def tell_ready(ready: Ready) -> None:
        if is_json:
            facts = {
                "relay_url": ready.relay_url,
                "relay_id": ready.relay_id,
                "claim_secret_file": ready.claim_secret_file,
                "pid": relay_pid,
            }
            _print_json(facts)
        people = _people()
        people.print(f"Relay [bold]{escape(ready.relay_id)}[/bold] serves at {escape(ready.relay_url)}")
        if ready.claim_secret_file:
            people.print(f"Not claimed yet: the secret is in {escape(ready.claim_secret_file)}")

    return run_relay(settings, Voice(ready=tell_ready, failed=partial(_show_error, is_json=is_json)))


@app.command("claim-secret")
def claim_secret(data: DataOption = None, json: JsonOption = False) -> None:
    """Print where the secret lies that claims this relay for an organisation."""
    file = claim_secret_file((data or default_data()).absolute())
    if not file.exists():
        detail = f"or it never ran with {file.parent}: no secret is there"
        raise Refused(detail, code=ErrorCode.E_ORG_CLAIMED)
    if json:
        _print_json({"claim_secret_file": str(file)})
    else:
        typer.echo(str(file))


def main(arguments: list[str] | None = None) -> None:
    """The program `alongside-relay`. Ends with SystemExit and the exit status."""
    outlive_a_full_disk("stderr")
    given = sys.argv[1:] if arguments is None else arguments
    try:
        sys.exit(_invoke(given))
    except SupportError as exc:
        fault = exc
    except OSError as exc:  # a disk or a permission that no command foresaw
        fault = EnvironmentFault(str(exc))
    _show_error(fault, is_json="--json" in given)
    sys.exit(exit_status(fault.code))


def _invoke(given: list[str]) -> int:
    """The exit status; what the parser does not understand becomes a SupportError like all others."""
    try:
        return int(app(args=given, prog_name="alongside-relay", standalone_mode=False) or 0)
    except typer.Abort:
        return INTERRUPTED_STATUS
    except typer.TyperException as exc:
        if type(exc).__name__ == "NoArgsIsHelpError":
            print(exc.format_message(), file=sys.stderr)
            return ExitStatus.USAGE
        raise UsageError(" ".join(exc.format_message().split())) from None
