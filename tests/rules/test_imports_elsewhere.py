"""Every module of agent and core can be imported where there are no uids, Unix sockets or fcntl (Windows)."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, importlib, os, signal, socket, subprocess, sys, tempfile, types
from pathlib import Path
# other people's modules have code of their own for each system
import cryptography, jeepney, mss, multiprocessing, numpy, OpenSSL, platformdirs, psutil, rich, spake2
import structlog, tkinter, tuf, tuf.ngclient, typer, urllib3, websockets.asyncio.client, xcffib, zstandard
for name in ("geteuid", "getuid", "getgid", "getegid", "fchmod", "fchown", "killpg", "setsid", "O_NOFOLLOW"):
    delattr(os, name)
for name in ("AF_UNIX", "SO_PEERCRED"):
    delattr(socket, name)
for name in ("start_unix_server", "open_unix_connection"):
    delattr(asyncio, name)
for name in ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGCHLD"):
    delattr(signal, name)
sys.modules.update(dict.fromkeys(("fcntl", "grp", "pwd", "resource", "termios")))
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.platform = "win32"
for top in ("agent", "protocol"):
    for path in sorted(Path(top).rglob("*.py")):
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        if name == "agent.exec.__main__":
            continue  # runs what it is given as soon as it is imported
        try:
            importlib.import_module(name)
        except Exception as exc:
            print(f"{name}: {exc!r}")
"""


def test_every_module_of_agent_and_core_can_be_imported_where_there_is_nothing_of_posix() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=ROOT, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
