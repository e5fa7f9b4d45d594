"""`alongside-agent`: the device's side. Parser, action and rendering of each command are apart.

Exit statuses: 0 done · 1 an error of ours · 2 the command or a setting is wrong · 3 refused · 4 not
reachable · 5 not trusted · 6 this computer stands in the way · 130 interrupted.
"""

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

import agent.lean_log  # noqa: F401  -- before structlog
from agent import render
from agent.become_service import become_service
from agent.cli_options import DataOption, JsonOption
from agent.cli_wishes import blocks, consents
from agent.config import default_data, load_config
from agent.given_token import WAS_SHOWN_OPTION, given_token, restart_without_token
from agent.state import DataDir
from protocol.errors import EnvironmentFault, ErrorCode, ExitStatus, SupportError, Unreachable, UsageError
from protocol.runtime import outlive_a_full_disk
from protocol.version import PRODUCT_VERSION

IS_THE_PROGRAM = "the program"
EPILOG = (
    "Exit statuses: 0 done, 1 an error of ours, 2 wrong command or setting, 3 refused, 4 not reachable, "
    "5 not trusted, 6 this computer stands in the way, 130 interrupted."
)

app = typer.Typer(
    name="alongside-agent",
    help="Remote support beside the person: this computer's agent.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

private_windows = typer.Typer(
    help="Windows of this computer that a technician never sees; you see them as always.",
    no_args_is_help=True,
)
app.add_typer(private_windows, name="private-windows")

app.add_typer(consents, name="consents")
app.add_typer(blocks, name="blocks")

ClassOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--class", metavar="PATTERN", help="The window's class, such as keepassxc; * and ? stand for any."
    ),
]
TitleOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--title", metavar="PATTERN", help='The whole title, such as "*bank*"; * and ? stand for any.'
    ),
]


def _say_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(PRODUCT_VERSION)
        raise typer.Exit


@app.callback()
def program(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Print the version, and end."),
    ] = False,
) -> None:
    """Remote support beside the person: this computer's agent."""


@app.command()
def join(
    token: Annotated[
        str,
        typer.Argument(
            metavar="TOKEN",
            help='"-" for standard input. The token itself is taken too when it works once: every user of '
            "this computer can read it in the list of processes for a moment, so better give it otherwise.",
            show_default=False,
        ),
    ] = "",
    token_file: Annotated[
        str,
        typer.Option(
            "--token-file", metavar="FILE", help='Read the token from this file, "-" for standard input.'
        ),
    ] = "",
    was_shown: Annotated[
        bool,
        typer.Option(WAS_SHOWN_OPTION, hidden=True, help="The token stood on the command line before."),
    ] = False,
    name: Annotated[
        str, typer.Option("--name", help="How this device is called. Default: its host name.")
    ] = "",
    relay_ca: Annotated[
        Path | None,
        typer.Option(
            "--relay-ca", metavar="FILE", help="Authority of the relay's own TLS certificate (PEM)."
        ),
    ] = None,
    proxy_file: Annotated[
        Path | None,
        typer.Option(
            "--proxy-file",
            metavar="FILE",
            help="File with the address of the proxy on the way to the relay, such as "
            "http://NAME:PASSWORD@proxy.example:3128; kept with the identity. Default: HTTPS_PROXY.",
        ),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Join an organisation with a token from its administrator; without one you are asked for it."""
    from agent.joining import WayToRelay, join_organisation

    folder = DataDir(data or default_data())
    given = given_token(token, token_file, was_shown=was_shown)
    joined = asyncio.run(join_organisation(folder, given, name, WayToRelay(relay_ca, proxy_file)))
    if given.was_shown:
        render.remark(render.SHOWN_ON_COMMAND_LINE)
    render.result(asdict(joined), render.joined_text(joined), as_json=as_json)


@app.command()
def run(
    context: typer.Context,
    display: Annotated[
        str | None, typer.Option("--display", metavar=":N", help="X display of the person. Default: DISPLAY.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="Screen source: auto, xcffib, pixelflux, dxcam, screencapturekit or mss. Default: auto.",
        ),
    ] = None,
    no_desktop: Annotated[
        bool, typer.Option("--no-desktop", help="Do not start the desktop process (prompt and indicator).")
    ] = False,
    seats_socket: Annotated[
        str | None,
        typer.Option(
            "--seats-socket",
            metavar="PATH",
            help="Where the desktop processes of this computer's other users connect, in a folder of its "
            "own, such as /run/alongside-agent/agent.sock. Default: nowhere.",
        ),
    ] = None,
    exec_socket: Annotated[
        str | None,
        typer.Option(
            "--exec-socket",
            metavar="PATH",
            help="Where systemd starts a unit for each approved command, such as "
            "/run/alongside-agent-exec.sock; then none runs without. Default: the agent starts them itself.",
        ),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the agent until it is stopped; with --json it prints one line when it is ready."""
    folder = DataDir(data or default_data())
    given = {
        "display": display,
        "source": source,
        "has_desktop": False if no_desktop else None,
        "seats_socket": seats_socket,
        "exec_socket": exec_socket,
        "as_json": as_json,
    }
    config = load_config(folder.root, folder.settings, given)
    if context.obj is IS_THE_PROGRAM:
        become_service(config)
    render.start_log(as_json=as_json)
    from agent.app import run_service

    render.ended(was_left=run_service(config))


@app.command()
def status(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show whether the agent runs, whether it is connected, and the sessions that live."""
    from agent.local_client import ask_status

    found = asyncio.run(ask_status(DataDir(data or default_data()).socket))
    render.result(render.status_json(found), render.status_text(found), as_json=as_json)


@app.command()
def doctor(
    display: Annotated[
        str | None, typer.Option("--display", metavar=":N", help="X display to look at. Default: DISPLAY.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check what works on this computer, and say what to do about what does not."""
    from agent.doctor import examine
    from agent.doctor_check import CheckState

    if display:
        os.environ["DISPLAY"] = display
    checks = asyncio.run(examine(DataDir(data or default_data())))
    render.result(
        {"checks": [check.as_json() for check in checks]}, render.doctor_text(checks), as_json=as_json
    )
    if any(check.state is CheckState.FAIL for check in checks):
        raise typer.Exit(ExitStatus.ENVIRONMENT)


@app.command()
def update(
    check: Annotated[
        bool, typer.Option("--check", help="Look what is offered, and install nothing.")
    ] = False,
    apply: Annotated[
        bool,
        typer.Option(
            "--apply",
            help="Install what is offered to this computer, when nobody is here; the timer does this.",
        ),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="With --apply: try a version again that did not work here.")
    ] = False,
    patience_s: Annotated[
        int,
        typer.Option(
            "--patience",
            metavar="SECONDS",
            min=15,
            max=3600,
            help="With --apply: how long the new version may take to answer and to reach the relay.",
        ),
    ] = 180,
    prefix: Annotated[
        Path | None,
        typer.Option("--prefix", metavar="DIR", help="The installation. Default: /opt/alongside."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look whether the organisation offers a newer version of the agent, or install it; for administrators.

    A version that does not work here is taken back, when the list of updates allows it.
    """
    # imported here, and by no running service: TUF's libraries are large
    from agent.update.command import apply_update, check_for_update

    if check == apply or (again and not apply):
        raise UsageError("say --check or --apply; --again goes with --apply")
    folder = DataDir(data or default_data())
    found = (
        apply_update(folder, prefix, again=again, patience_s=patience_s)
        if apply
        else check_for_update(folder, prefix)
    )
    render.result(found.as_json(), found.text(), as_json=as_json)


@app.command()
def history(
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100_000, help="How many of the newest lines.")
    ] = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell in plain words what happened on this computer: who asked, what was allowed, what was done."""
    from agent.history import read_history, read_receipts

    folder = DataDir(data or default_data())
    lines, report = read_history(folder.audit, limit)
    receipts = read_receipts(folder.receipts, limit)
    document = {**render.history_json(lines, report), "receipts": render.receipts_json(receipts)}
    text = "\n".join([render.history_text(lines), *render.receipt_lines(receipts)])
    render.result(document, text, as_json=as_json)
    if not report.is_intact:
        raise SupportError(report.detail, code=ErrorCode.E_AUDIT_CHAIN)


@app.command()
def help_me(
    relay: Annotated[
        str,
        typer.Option(
            "--relay",
            metavar="URL",
            help="For a computer that belongs to no organisation: the relay where both meet.",
        ),
    ] = "",
    relay_ca: Annotated[
        Path | None,
        typer.Option("--relay-ca", metavar="FILE", help="With --relay: authority of its TLS certificate."),
    ] = None,
    display: Annotated[
        str | None, typer.Option("--display", metavar=":N", help="With --relay: X display. Default: DISPLAY.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a support code to read to the technician you called. Ctrl+C makes it void.

    The code works once, for ten minutes. Whoever has it is still asked for on your screen: nothing is
    seen or done before you allow it.
    """
    from agent.help_me import show_code

    folder = DataDir(data or default_data())
    if not relay:
        asyncio.run(show_code(folder.socket, as_json=as_json))
        return
    config = load_config(folder.root, folder.settings, {"display": display, "as_json": as_json})
    render.start_log(as_json=as_json)
    from agent.app import PortableTerms, run_portable

    async def work(socket_path: Path) -> None:
        await show_code(socket_path, as_json=as_json, is_portable=True)

    run_portable(config, PortableTerms(relay, relay_ca, work))


@app.command()
def pause(
    end: Annotated[bool, typer.Option("--end", help="End the pause now.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Want nobody for an hour: sessions end, nobody can ask or connect, allowed beforehand or not.

    This is for everybody at this computer, and each of them can end it for themselves. In the window of
    Alongside each person pauses and ends for their own desktop alone.
    """
    from agent.local_client import order_pause

    left_s = asyncio.run(order_pause(DataDir(data or default_data()).socket, is_on=not end))
    render.result({"paused_s": left_s}, render.pause_text(left_s), as_json=as_json)


@app.command()
def leave(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Leave the organisation: end every session, forget identity and policy. The history stays."""
    from agent.joining import leave_organisation
    from agent.local_client import order_leave

    folder = DataDir(data or default_data())
    try:
        asyncio.run(order_leave(folder.socket))
    except Unreachable:
        leave_organisation(folder)
    text = f"This computer has left its organisation. What happened on it stays in {folder.audit}"
    render.result({"left": True, "kept": str(folder.audit)}, text, as_json=as_json)


@private_windows.command("list")
def list_private_windows(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show both lists: the organisation's, from its policy, and your own. Both hold."""
    from agent.private_windows import stored_lists

    lists = stored_lists(DataDir(data or default_data()))
    render.result(render.private_windows_json(lists), render.private_windows_text(lists), as_json=as_json)


@private_windows.command("add")
def add_private_window(
    window_class: ClassOption = "",
    title: TitleOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an entry to your own list. With --class and --title a window has to fit both."""
    from agent.private_windows import add_entry, new_entry

    folder = DataDir(data or default_data())
    entries = add_entry(folder, new_entry(window_class, title))
    _tell_lists_changed(folder)
    text = f"Your list has {len(entries)} entries now. It holds at once, also in a session."
    render.result({"added": True, "entries": len(entries)}, text, as_json=as_json)


@private_windows.command("remove")
def remove_private_window(
    window_class: ClassOption = "",
    title: TitleOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an entry out of your own list, given as it was added. The organisation's list stays as it is."""
    from agent.private_windows import new_entry, remove_entry

    folder = DataDir(data or default_data())
    entries = remove_entry(folder, new_entry(window_class, title))
    _tell_lists_changed(folder)
    text = f"Your list has {len(entries)} entries now. That holds at once, also in a session."
    render.result({"removed": True, "entries": len(entries)}, text, as_json=as_json)


def _tell_lists_changed(folder: DataDir) -> None:
    from agent.local_client import tell_lists_changed

    with suppress(SupportError):  # the list is kept; a service that did not hear looks by itself
        asyncio.run(tell_lists_changed(folder.socket))


def main(arguments: list[str] | None = None) -> None:
    """The program `alongside-agent`. Ends with SystemExit and the exit status."""
    os.umask(0o077)
    outlive_a_full_disk("stderr")
    if arguments is None:
        restart_without_token()
    given = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given
    try:
        sys.exit(_invoke(given, IS_THE_PROGRAM if arguments is None else ""))
    except SupportError as error:
        sys.exit(render.report_error(error, as_json=as_json))
    except KeyboardInterrupt:
        sys.exit(render.INTERRUPTED_STATUS)
    except OSError as error:  # a disk or a permission that no command foresaw
        sys.exit(render.report_error(EnvironmentFault(str(error)), as_json=as_json))


def _invoke(given: list[str], obj: str) -> int:
    """The exit status; what the parser does not understand becomes a SupportError like all others."""
    try:
        return int(app(args=given, prog_name="alongside-agent", standalone_mode=False, obj=obj) or 0)
    except typer.Abort:  # Ctrl-C or Ctrl-D at a question
        return render.INTERRUPTED_STATUS
    except typer.TyperException as exc:
        if type(exc).__name__ == "NoArgsIsHelpError":
            print(exc.format_message(), file=sys.stderr)
            return ExitStatus.USAGE
        raise UsageError(" ".join(exc.format_message().split())) from None
