"""`verify.ps1` as a judge of bundles: by Windows PowerShell where there is one, else by a stand-in."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.support.dotnet import DotnetError, Stream
from tests.support.powershell import PowerShell, Thrown

SCRIPT = Path(__file__).parents[2] / "scripts" / "install" / "windows" / "verify.ps1"


@cache
def _stand_in() -> PowerShell:
    return PowerShell(SCRIPT.read_text("ascii"))


def verified_by_powershell(bundle: Path, fingerprint: str) -> int:
    """Its exit status: 0, or 5 for what is not the organisation's."""
    program = shutil.which("powershell.exe")
    if program is not None:
        words = [program, "-NoProfile", "-ExecutionPolicy", "Bypass", "-File", SCRIPT, bundle, fingerprint]
        return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode
    with bundle.open("rb") as file:
        try:
            _stand_in().call("Get-CheckedBundle", Stream(file), fingerprint)
        except (Thrown, DotnetError):
            return 5
    return 0
