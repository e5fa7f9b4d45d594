"""`python -I -m agent.exec`: started by the service alone; the order comes on standard input."""

import sys

from agent.exec.worker import serve

serve(sys.stdin.fileno(), sys.stdout.fileno())
