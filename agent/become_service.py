"""`alongside-agent run` becomes the service: the same process, without the command line's parser in it."""

import os
import sys

from agent.config import AgentConfig


def service_words(config: AgentConfig) -> list[str]:
    """The words of `python -I -m agent` for these settings."""
    words = ["-I", "-m", "agent", f"--data={config.data.absolute()}", f"--source={config.source}"]
    if config.display:
        words.append(f"--display={config.display}")
    if config.seats_socket:
        words.append(f"--seats-socket={config.seats_socket}")
    if config.seat_users:
        words.append(f"--seat-users={config.seat_users}")
    if config.exec_socket:
        words.append(f"--exec-socket={config.exec_socket}")
    if not config.has_desktop:
        words.append("--no-desktop")
    if config.as_json:
        words.append("--json")
    return words


def become_service(config: AgentConfig) -> None:
    """Does not return, but on Windows, where a new program would not have this one's process id."""
    if os.name == "nt":
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *service_words(config)])  # noqa: S606 - ours, no shell
