"""`python -m agent.desktop --socket PATH [--display :N]`: the desktop process of one OS session."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import agent.lean_log  # noqa: F401  -- before structlog
from agent.desktop.app import Settings, run
from agent.desktop.language import wanted_names
from agent.desktop.tray_address import bus_address
from agent.desktop.wishes import choice_path
from agent.user_names import uid_of
from protocol.errors import SupportError, exit_status
from protocol.runtime import outlive_a_full_disk


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, and say in one sentence what stood in the way; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m agent.desktop", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path, help="the agent service's local socket")
    parser.add_argument("--display", default=os.environ.get("DISPLAY", ""), help="X display, for example :0")
    parser.add_argument("--service-user", default="", help="whom the service runs as, if not as you or root")
    parser.add_argument("--no-tray", action="store_true", help="no icon and no window beside prompt and bar")
    given = parser.parse_args(argv)
    os.umask(0o077)
    outlive_a_full_disk("stderr", "stdout")  # the log goes to standard output here
    if given.display:
        os.environ["DISPLAY"] = given.display  # the screen workers and xcffib go to the same one
    try:
        languages = wanted_names(os.environ)
        settings = Settings(
            given.socket,
            given.display,
            languages=languages,
            has_tray=not given.no_tray,
            choice_path=choice_path(os.environ, Path.home()),
            bus_address=bus_address(os.environ),
            service_uid=uid_of(given.service_user) if given.service_user else None,
        )
        return run(settings)
    except SupportError as exc:
        print(f"{exc.text.sentence} {exc.text.remedy} ({exc.code}: {exc.detail})", file=sys.stderr)
        return int(exit_status(exc.code))


if __name__ == "__main__":
    sys.exit(main())
