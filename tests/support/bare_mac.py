"""A bare Debian that looks like a Mac to the install script: real bsdtar, stand-ins for what is macOS's own.

`dscl` keeps its records in a folder and the account in /etc/passwd, `launchctl` writes down what it is told
and which jobs are loaded, `sudo` takes the user's place, `openssl` can only do what LibreSSL can.
"""

import platform
import shutil
import subprocess

from tests.support.bare_root import BareRoot
from tests.support.mac_programs import LIBRESSL

PYTHON = "/Library/Frameworks/Python.framework/Versions/3.11/bin/python3.11"
CALLS, LOADED, CONSOLE = "/media/launchctl-calls", "/media/loaded", "/media/console"
DSCL = """#!/usr/bin/python3
import shutil
import sys
from pathlib import Path

STORE = Path("/media/accounts")
place, verb, *words = sys.argv[1:]
assert place == "."
NATIVE = {"IsHidden"}


def rows(name):
    return [line.split(":") for line in Path(name).read_text().splitlines()]


def without(name, account):
    kept = [":".join(row) for row in rows(name) if row[0] != account]
    Path(name).write_text("\\n".join(kept) + "\\n")


def take_up(path):
    # what makes an account of a record
    account, facts = path.name, {each.name: each.read_text() for each in path.iterdir()}
    if path.parent.name == "Groups" and "PrimaryGroupID" in facts:
        without("/etc/group", account)
        with open("/etc/group", "a") as file:
            file.write(f"{account}:x:{facts['PrimaryGroupID']}:\\n")
    if path.parent.name == "Users" and {"UniqueID", "PrimaryGroupID"} <= set(facts):
        without("/etc/passwd", account)
        with open("/etc/passwd", "a") as file:
            file.write(f"{account}:*:{facts['UniqueID']}:{facts['PrimaryGroupID']}::/var/empty:/usr/bin/false\\n")


if verb == "-list":
    name = "/etc/passwd" if words[0] == "/Users" else "/etc/group"
    for row in rows(name):
        print(f"{row[0]}   {row[2]}")
    sys.exit()
path = STORE / words[0].lstrip("/")
if verb == "-read":
    if not path.is_dir() or (words[1:] and not (path / words[1]).exists()):
        sys.exit(56)
    for key in words[1:]:
        shown = "********" if key == "Password" else (path / key).read_text()
        print(f"{'dsAttrTypeNative:' if key in NATIVE else ''}{key}: {shown}")
elif verb == "-create":
    path.mkdir(parents=True, exist_ok=True)
    if words[1:]:
        (path / words[1]).write_text(words[2])
    take_up(path)
elif verb == "-delete":
    shutil.rmtree(path)
    without("/etc/passwd" if path.parent.name == "Users" else "/etc/group", path.name)
else:
    sys.exit(64)
"""
LAUNCHCTL = f"""#!/bin/sh
[ "$1" = print ] || echo "$*" >>{CALLS}
job="{LOADED}/$(echo "$2" | tr / _)"
case "$1" in
  print | kickstart) [ -e "$job" ] ;;
  enable) ;;
  bootout) rm "$job" ;;
  bootstrap)
    [ -f "$3" ] || exit 5
    job="{LOADED}/$(echo "$2/$(basename "$3" .plist)" | tr / _)"
    [ ! -e "$job" ] || exit 37
    touch "$job"
    ;;
  *) exit 64 ;;
esac
"""
SUDO = """#!/bin/sh
[ "$1 $2" = "-n -u" ] && [ "$4" = -- ] || exit 99
user="$3"
shift 4
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs "$@"
"""
STAT = f"""#!/bin/sh
[ "$1 $2 $3" = "-f %u /dev/console" ] || exit 64
cat {CONSOLE}
"""
SW_VERS = "#!/bin/sh\necho 14.5\n"


def make_mac(root: BareRoot) -> None:
    """Turn this root into one."""
    for name, content in (("dscl", DSCL), ("launchctl", LAUNCHCTL), ("sudo", SUDO), ("sw_vers", SW_VERS)):
        root.put(f"/usr/sbin/{name}", content.encode())
    root.put("/usr/sbin/stat", STAT.encode())  # before the one of GNU
    root.put("/usr/sbin/openssl", LIBRESSL.format(openssl="/usr/bin/openssl").encode())
    for gone in ("sha256sum", "flock", "useradd", "systemctl"):
        root.put(f"/usr/sbin/{gone}", b"#!/bin/sh\nexit 127\n")
    _put_bsdtar(root)
    root.put(CONSOLE, b"501\n", 0o644)
    (root.path / LOADED.lstrip("/")).mkdir()
    for folder, mode in (("var/root", 0o700), ("var/db", 0o755), ("var/empty", 0o755)):
        (root.path / folder).mkdir(mode=mode)
    python = root.path / PYTHON.lstrip("/")
    python.parent.mkdir(parents=True)
    python.symlink_to("/usr/bin/python3.11")


def _put_bsdtar(root: BareRoot) -> None:
    bsdtar = shutil.which("bsdtar")
    assert bsdtar is not None, "install libarchive-tools"
    needed = subprocess.run(["ldd", bsdtar], capture_output=True, text=True, check=True).stdout
    for line in needed.splitlines():
        words = line.split()
        if "=>" in words and words[2].startswith("/"):
            inside = root.path / "usr/lib" / f"{platform.machine()}-linux-gnu" / words[0]
            if not inside.exists():
                shutil.copyfile(words[2], inside)
    (root.path / "usr/sbin/tar").unlink(missing_ok=True)
    shutil.copy(bsdtar, root.path / "usr/sbin/tar")


def jobs(root: BareRoot) -> set[str]:
    """What launchd has loaded."""
    return {path.name for path in (root.path / LOADED.lstrip("/")).iterdir()}


def told(root: BareRoot) -> list[str]:
    """What launchctl was told since the last look."""
    place = root.path / CALLS.lstrip("/")
    found = place.read_text().splitlines() if place.exists() else []
    place.unlink(missing_ok=True)
    return found
