"""What macOS has in the place of GNU's and OpenSSL's programs, as far as the scripts depend on it.

bsdtar is the real one. LibreSSL is not packaged here: its stand-in is OpenSSL with what LibreSSL 3.3 to 4.0
cannot do taken away (`apps/openssl/verify.c`, `crypto/asn1/a_object.c`).
"""

import os
import shutil
import subprocess
from pathlib import Path

# LibreSSL prints no arc of more than 64 bits, and its `verify` knows neither option
LIBRESSL = """#!/bin/sh
case " $* " in
  *" verify "* | *" -no_check_time "* | *" -check_ss_sig "*) exit 1 ;;
  *" asn1parse "*) ;;
  *) exec {openssl} "$@" ;;
esac
out="$({openssl} "$@")" || exit $?
printf '%s\\n' "$out" | sed -E 's/:2\\.25\\.[0-9]{{20,}}[0-9.]*$/:<INVALID>/'
"""
# before bash 5.2 an ampersand in a replacement was itself
OLDER_BASH = "shopt -u patsub_replacement 2>/dev/null || true\n"


def verified(script: Path, bundle: Path, fingerprint: str) -> int:
    """What `verify.sh` ends with; with a Mac's programs it has to be the same."""
    programs = bundle.parent / "mac-programs"
    if not programs.exists():
        mac_programs(programs)
    usual = os.environ["PATH"]
    ends = [
        subprocess.run(
            ["bash", script, bundle, fingerprint],
            env={"PATH": path, "BASH_ENV": older},
            capture_output=True,
            timeout=60,
            check=False,
        ).returncode
        for path, older in ((usual, ""), (f"{programs}:{usual}", str(programs / "older-bash")))
    ]
    assert ends[0] == ends[1], ends
    return ends[0]


def mac_programs(folder: Path) -> Path:
    """A folder of programs to stand first in PATH."""
    folder.mkdir()
    bsdtar, openssl = shutil.which("bsdtar"), shutil.which("openssl")
    assert bsdtar is not None, "install libarchive-tools"
    (folder / "tar").symlink_to(bsdtar)
    (folder / "openssl").write_text(LIBRESSL.format(openssl=openssl))
    (folder / "openssl").chmod(0o755)
    (folder / "sha256sum").symlink_to("/bin/false")
    (folder / "older-bash").write_text(OLDER_BASH)
    return folder
