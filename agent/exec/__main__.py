"""`python -I -m agent.exec BOOK`: started by the service alone; the order comes on standard input."""

import sys
from pathlib import Path

from agent.exec.book import CommandBook
from agent.exec.worker import serve

serve(sys.stdin.fileno(), sys.stdout.fileno(), CommandBook(Path(sys.argv[1])))
