"""`alongside`: the technician's and the admin's command line.

Exit statuses: 0 done · 1 an error of ours · 2 the command or a setting is wrong · 3 refused · 4 not
reachable · 5 not trusted · 6 this computer stands in the way · 7 the remote command failed · 130
interrupted.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import EnvironmentFault, ExitStatus, SupportError, UsageError
from protocol.runtime import outlive_a_full_disk
from technician_client.cli import approve, audit, diagnose, fleet, org, policy, release, run, session, updates
from technician_client.cli.output import report_error
from technician_client.unlocking import current_passphrases, passphrases_for_command

EPILOG = (
    "Exit statuses: 0 done, 1 an error of ours, 2 wrong command or setting, 3 refused, 4 not reachable, "
    "5 not trusted, 6 this computer stands in the way, 7 the remote command failed, 130 interrupted."
)

app = typer.Typer(
    name="alongside",
    help="Remote support beside the person: organisation, devices, sessions and approved commands.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(org.app, name="org")
app.add_typer(fleet.app, name="fleet")
app.add_typer(policy.app, name="policy")
app.add_typer(audit.app, name="audit")
updates.add_to(release.app)
app.add_typer(release.app, name="release")
app.command("connect")(session.connect)
app.command("console")(session.console)
app.command("diagnose")(diagnose.diagnose)
app.command("run")(run.run)
app.command("approve")(approve.approve)

INTERRUPTED_STATUS = 130


@app.callback()
def _every_command(
    key_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--key-passphrase-file",
            metavar="FILE",
            help="Before the command: read the passphrase of your own key from this file's first line. "
            "Without it, it is asked for where the key has one.",
        ),
    ] = None,
) -> None:
    """Remote support beside the person: organisation, devices, sessions and approved commands."""
    current_passphrases().file = key_passphrase_file


def main(arguments: list[str] | None = None) -> None:
    """The program `alongside`. Ends with SystemExit and the exit status."""
    outlive_a_full_disk("stderr")
    given = sys.argv[1:] if arguments is None else arguments
    is_json = "--json" in given
    try:
        with passphrases_for_command():
            status = _invoke(given)
        sys.exit(status)
    except SupportError as error:
        sys.exit(report_error(error, is_json=is_json))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_STATUS)
    except OSError as error:  # a disk or a permission that no command foresaw
        sys.exit(report_error(EnvironmentFault(str(error)), is_json=is_json))


def _invoke(given: list[str]) -> int:
    """The exit status; what the parser does not understand becomes a SupportError like all others."""
    try:
        return int(app(args=given, prog_name="alongside", standalone_mode=False) or 0)
    except typer.Abort:  # Ctrl-C or Ctrl-D at a question
        return INTERRUPTED_STATUS
    except typer.TyperException as exc:
        if type(exc).__name__ == "NoArgsIsHelpError":
            print(exc.format_message(), file=sys.stderr)
            return ExitStatus.USAGE
        raise UsageError(" ".join(exc.format_message().split())) from None
