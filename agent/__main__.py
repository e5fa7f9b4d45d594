"""`python -I -m agent --data DIR`: the service and nothing else, which `alongside-agent run` becomes.

The command line's parser takes 14 MiB, and would keep them for as long as the service runs.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import agent.lean_log  # noqa: F401  -- before structlog
from agent import render
from agent.app import run_service
from agent.config import SOURCES, AgentConfig
from agent.platform.windows.service_host import host_service, load_service_bindings
from agent.stop_order import StopOrder
from protocol.errors import EnvironmentFault, SupportError
from protocol.runtime import outlive_a_full_disk


def main(argv: Sequence[str] | None = None) -> int:
    """Run it until it is stopped; returns the exit status. What it is given was checked before."""
    parser = argparse.ArgumentParser(prog="python -I -m agent", description=__doc__)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--display", default="")
    parser.add_argument("--source", default="auto", choices=SOURCES)
    parser.add_argument("--seats-socket", default="")
    parser.add_argument("--seat-users", default="")
    parser.add_argument("--exec-socket", default="")
    parser.add_argument("--no-desktop", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--windows-service", default="", metavar="NAME", help="Windows started it as this one"
    )
    given = parser.parse_args(argv)
    os.umask(0o077)
    outlive_a_full_disk("stderr")
    render.start_log(as_json=given.json)
    config = AgentConfig(
        data=given.data,
        display=given.display,
        source=given.source,
        has_desktop=not given.no_desktop,
        seats_socket=given.seats_socket,
        seat_users=given.seat_users,
        exec_socket=given.exec_socket,
        as_json=given.json,
    )
    try:
        if given.windows_service:
            host_service(given.windows_service, partial(_run_until, config), load_service_bindings())
            return 0
        render.ended(was_left=run_service(config))
    except SupportError as error:
        return render.report_error(error, as_json=given.json)
    except KeyboardInterrupt:
        return render.INTERRUPTED_STATUS
    except OSError as error:  # a disk or a permission that nothing foresaw
        return render.report_error(EnvironmentFault(str(error)), as_json=given.json)
    return 0


def _run_until(config: AgentConfig, stop: StopOrder) -> None:
    run_service(config, stop)


if __name__ == "__main__":
    sys.exit(main())
