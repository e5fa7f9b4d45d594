"""`exec_worker_variant.py KIND BOOK`, as a file: the real exec worker, with one thing about it changed.

unguarded       without its guardian, as a control: it adopts orphans itself, and nobody is above it
{"files": ...}  with these `CommandLimits`, so that a test need not fill a disk to reach one
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))  # a worker runs in another folder
    from agent.exec import worker
    from agent.exec.book import CommandBook
    from agent.exec.guardian import guarded
    from agent.exec.limits import adopt_descendants

    def work() -> None:
        worker.serve(sys.stdin.fileno(), sys.stdout.fileno(), CommandBook(Path(sys.argv[2])))

    if sys.argv[1] == "unguarded":
        adopt_descendants()
        work()
    else:
        worker.LIMITS = replace(worker.LIMITS, **json.loads(sys.argv[1]))
        guarded(work)
