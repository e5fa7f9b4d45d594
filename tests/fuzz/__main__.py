"""`python -m tests.fuzz TARGET --seconds N`: coverage-guided fuzzing of one decoder, or of all of them.

Needs atheris; `--install` installs it into this environment with pip.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
ATHERIS = "atheris>=2.3"
RSS_LIMIT_MIB = 1024
INPUT_LIMIT_BYTES = 1 << 16
HANG_S = 5
_DONE = re.compile(r"Done (\d+) runs in (\d+) second")
_LAST = re.compile(r"^#(\d+)\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """What one target did."""

    target: str
    seconds: int
    executions: int
    finding: str


def main(words: Sequence[str] | None = None) -> int:
    """The exit status: 1 when something was found, 6 when atheris is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=[*sorted(TARGETS), "all"], metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--list", action="store_true", help="the names of all targets")
    parser.add_argument("--install", action="store_true", help="install atheris first")
    parser.add_argument("--json", action="store_true", help="one JSON line for each target")
    given = parser.parse_args(words)
    if given.install:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", ATHERIS], check=True)
    if given.list or not given.target:
        sys.stdout.write("\n".join(sorted(TARGETS)) + "\n")
        return 0
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write("atheris is not installed here. Run: python -m tests.fuzz --install\n")
        return 6
    has_found = False
    for name in sorted(TARGETS) if given.target == "all" else [given.target]:
        run = fuzz(name, given.seconds)
        has_found = has_found or bool(run.finding)
        if given.json:
            sys.stdout.write(json.dumps(asdict(run)) + "\n")
            sys.stdout.flush()
        sys.stderr.write(f"{run.target}: {run.executions} executions, {run.finding or 'nothing found'}\n")
    return 1 if has_found else 0


def fuzz(name: str, seconds: int) -> Run:
    """Run libFuzzer on one target, in a process of its own, beginning with valid bytes and the corpus."""
    corpus = CORPUS / name
    with tempfile.TemporaryDirectory() as folder:
        new, artifacts = Path(folder, "new"), Path(folder, "found")
        new.mkdir()
        artifacts.mkdir()
        for number, content in enumerate(seeds(name)):
            new.joinpath(f"valid-{number}").write_bytes(content)
        command = [
            sys.executable, "-m", "tests.fuzz.guided", name,
            f"-max_total_time={seconds}", f"-rss_limit_mb={RSS_LIMIT_MIB}", f"-timeout={HANG_S}",
            f"-max_len={INPUT_LIMIT_BYTES}", f"-artifact_prefix={artifacts}/", str(new),
            *([str(corpus)] if corpus.is_dir() else []),
        ]  # fmt: skip
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        found = sorted(artifacts.iterdir())
        kept = [CORPUS.joinpath(name, path.name) for path in found]
        for path, place in zip(found, kept, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    executions = [int(count) for count, _ in _DONE.findall(ended.stderr)] or [
        int(count) for count in _LAST.findall(ended.stderr)
    ]
    finding = ""
    if ended.returncode != 0:
        lines = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if "Error" in line or "ERROR" in line or "Violation" in line]
        finding = f"{(errors or lines or ['it ended with ' + str(ended.returncode)])[0][:200]}"
        if kept:
            finding += f" (kept as {kept[0].relative_to(ROOT)})"
    return Run(name, seconds, max(executions, default=0), finding)


if __name__ == "__main__":
    sys.exit(main())
