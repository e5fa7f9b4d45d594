"""`killed_worker.py STEP BOOK`, as a file: an exec worker that meets a death (`killed_service`)."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))  # a worker runs in another folder
    from tests.support.killed_service import worker_main

    worker_main(sys.argv[1], Path(sys.argv[2]))
