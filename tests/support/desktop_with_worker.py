"""The desktop process with another program as its screen worker: what follows `--display :N` is its argv."""

import sys
from pathlib import Path

from agent.desktop.app import Settings, run

if __name__ == "__main__":
    _, _, socket_path, _, display, *worker = sys.argv
    sys.exit(run(Settings(Path(socket_path), display, tuple(worker))))
