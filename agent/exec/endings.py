"""What the service and a command's guardian agree on; imports nothing: the service has to stay small."""

from typing import Final

WORKER_GRACE_S: Final = 1
"""How long a worker may take to end when the guardian was told to."""
KILL_LIMIT_S: Final = 2.0
"""How long processes are killed before some are said to be left."""
NOTHING_LEFT: Final = 0
"""The guardian's exit status when the kernel knows of no process of the command any more."""
SOMETHING_LEFT: Final = 75
"""The same when it does; EX_TEMPFAIL of sysexits.h."""
