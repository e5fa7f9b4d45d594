"""The command `alongside-relay`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from protocol.errors import SupportError, exit_status
from protocol.version import PRODUCT_VERSION
from relay.config import DEFAULT_LISTEN, RelayConfig, claim_secret_file, default_data, read_config

app = typer.Typer(
    name="alongside-relay",
    help="The relay: it brings agents and technicians together and forwards what it cannot read.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder of all state (made when missing).")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Machine output on standard output, people's text on standard error.")
]


def _people() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _show_error(exc: SupportError) -> None:
    text = exc.text
    detail = f" ({exc.detail})" if exc.detail else ""
    _people().print(f"[bold]{exc.code.value}[/bold]: {escape(text.sentence + detail)} {escape(text.remedy)}")


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
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help=f"Address of the control link (default {DEFAULT_LISTEN})."),
    ] = None,
    session_listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Address of the first session worker; further workers take the next ports"
            " (default: same host, next port; port 0 takes free ones).",
        ),
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="SQLAlchemy URL (default: SQLite in the data folder).")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Session workers (default 1; 0: sessions share the control port)."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM certificate chain of this relay's name.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its PEM key.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="TLS ends in a proxy in front: allow plain TCP anywhere.")
    ] = False,
    session_public_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="Port that clients use for sessions behind a proxy, which routes /v1/session/N to worker N;"
            " 0: the control link's own.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with these settings, - written as _.")
    ] = None,
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
    }
    try:
        settings = read_config((data or default_data()).absolute(), config, given)
        status = _serve(settings, is_json=json)
    except SupportError as exc:
        _show_error(exc)
        raise typer.Exit(int(exit_status(exc.code))) from None
    raise typer.Exit(status)


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
            sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
            sys.stdout.flush()
        people = _people()
        people.print(f"Relay [bold]{escape(ready.relay_id)}[/bold] serves at {escape(ready.relay_url)}")
        if ready.claim_secret_file:
            people.print(f"Not claimed yet: the secret is in {escape(ready.claim_secret_file)}")

    return run_relay(settings, Voice(ready=tell_ready, failed=_show_error))


@app.command("claim-secret")
def claim_secret(data: DataOption = None, json: JsonOption = False) -> None:
    """Print where the secret lies that claims this relay for an organisation."""
    file = claim_secret_file((data or default_data()).absolute())
    is_there = file.exists()
    if json:
        typer.echo(msgspec.json.encode({"claim_secret_file": str(file) if is_there else ""}).decode())
    elif is_there:
        typer.echo(str(file))
    if not is_there:
        _people().print(
            f"There is no secret in {escape(str(file.parent))}: the relay was claimed, or never ran here."
        )
        raise typer.Exit(3)


def main() -> None:
    """Entry point."""
    app()
