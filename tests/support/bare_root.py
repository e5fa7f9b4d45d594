"""A bare Debian for the install scripts: one made by debootstrap and kept, under an overlay for each use.

Root alone can do this. Inside there is no network but the loopback of a namespace of its own.
"""

import fcntl
import os
import platform
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "curl", "openssl", "python3", "python3-tk")
KEPT_IN = Path("/var/tmp")
MADE = ".made"
TIMEOUT_S = 300
DEVICES = ("null", "random", "tty", "urandom", "zero")


@dataclass(frozen=True, slots=True)
class BareRoot:
    """One root file system, and its network namespace; "" is the machine's own network."""

    path: Path
    namespace: str

    def run(self, *words: str, text: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a program inside to its end, with this on its standard input."""
        return subprocess.run(
            [*self.entering, *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )

    @property
    def entering(self) -> list[str]:
        """The words that a program inside is started with."""
        network = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        return [*network, "chroot", str(self.path)]

    def put(self, inside: str, content: bytes, mode: int = 0o755) -> None:
        """A file."""
        target = self.path / inside.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)

    def listing(self) -> dict[str, str]:
        """Every path that is kept over a restart, with mode, owner, size and target."""
        found = {}
        for top in ("boot", "etc", "home", "opt", "root", "srv", "usr", "var"):
            for folder, folders, files in os.walk(self.path / top):
                for name in (*folders, *files):
                    path = Path(folder) / name
                    facts = path.lstat()
                    target = str(path.readlink()) if path.is_symlink() else ""
                    size = 0 if path.is_dir() else facts.st_size
                    owner = f"{facts.st_uid}:{facts.st_gid}"
                    found[str(path.relative_to(self.path))] = f"{facts.st_mode:o} {owner} {size} {target}"
        return found


def kept_root() -> Path:
    """The root that was made before on this machine, or a new one (a minute, from Debian's mirror).

    Who else asks for it meanwhile, in another process too, waits until it is whole.
    """
    folder = KEPT_IN / f"alongside-bare-{SUITE}-{platform.machine()}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / MADE).exists():
            _make_root(folder)
    return folder


def _make_root(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755)
    words = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"debootstrap made no bare root: {done.stdout[-800:]}{done.stderr[-400:]}")
    (folder / MADE).touch()


@contextmanager
def bare_root(
    lower: Path, folder: Path, *, room_mib: int = 1024, has_own_network: bool = True
) -> Iterator[BareRoot]:
    """The root as it is, with so much room for what changes; nothing of that is left at the end."""
    namespace = f"alongside-{secrets.token_hex(4)}" if has_own_network else ""
    merged, store = folder / "root", folder / "store"
    merged.mkdir()
    store.mkdir()
    with ExitStack() as undone:

        def do(*words: str) -> None:
            subprocess.run(words, check=True, capture_output=True)

        def mount(*words: str) -> None:
            do("mount", *words)
            undone.callback(do, "umount", "--lazy", words[-1])

        if namespace:
            do("ip", "netns", "add", namespace)
            undone.callback(do, "ip", "netns", "del", namespace)
            do("ip", "-n", namespace, "link", "set", "lo", "up")
        mount("-t", "tmpfs", "-o", f"size={room_mib}m", "tmpfs", str(store))
        for name in ("upper", "work"):
            (store / name).mkdir()
        (store / "upper").chmod(0o755)
        layers = f"lowerdir={lower},upperdir={store / 'upper'},workdir={store / 'work'}"
        mount("-t", "overlay", "-o", layers, "overlay", str(merged))
        mount("-t", "proc", "proc", str(merged / "proc"))
        for device in DEVICES:
            place = merged / "dev" / device
            place.unlink(missing_ok=True)
            place.touch()
            mount("--bind", f"/dev/{device}", str(place))
        yield BareRoot(merged, namespace)
