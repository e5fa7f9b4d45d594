"""What else `alongside-agent doctor` looks at: whether the person can rely on the agent and the computer.

Only reads, and names nobody's secrets: fingerprints, versions, dates and names of programs.
"""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import psutil

import agent
from agent.doctor_check import Check, CheckState
from agent.history import read_history, read_receipts
from agent.state import DataDir
from protocol.aio.wire import is_loopback
from protocol.errors import SupportError
from protocol.identity import Identity
from protocol.names import shown_text
from protocol.version import PRODUCT_VERSION

SESSIONS_SHOWN = 5
SKEW_ALLOWED = timedelta(minutes=5)
OTHER_REMOTE_TOOLS = {
    "anydesk": "AnyDesk",
    "dwagent": "DWService",
    "dwagsvc": "DWService",
    "meshagent": "MeshCentral",
    "rustdesk": "RustDesk",
    "screenconnect": "ScreenConnect",
    "splashtop": "Splashtop",
    "srservice": "Splashtop",
    "supremo": "Supremo",
    "tacticalrmm": "Tactical RMM",
    "teamviewer": "TeamViewer",
    "teamviewerd": "TeamViewer",
    "vino-server": "Vino (VNC)",
    "wayvnc": "wayvnc",
    "x0vncserver": "TigerVNC",
    "x11vnc": "x11vnc",
    "xrdp": "xrdp",
    "xtigervnc": "TigerVNC",
}


def hygiene(data: DataDir, identity: Identity | None) -> Iterator[Check]:
    """Every check of this module; without an identity those of the organisation are left out."""
    yield check_program_files(_code_folders())
    yield check_account()
    if identity is not None:
        yield _check_pins(data, identity)
        yield from _check_way_to_relay(data)
    yield from check_records(data)
    yield check_other_tools(_running_names())


def check_program_files(folders: Iterable[Path]) -> Check:
    """Whether somebody else could change what runs as the agent."""
    remedy = "Whoever can write there can be the agent: install it where only administrators write."
    paths = [path for folder in folders for path in (folder, *folder.glob("*.py"))]
    for bits, whose, state in (
        (stat.S_IWOTH, "everybody", CheckState.FAIL),
        (stat.S_IWGRP, "its group", CheckState.WARN),
    ):
        for path in paths:
            facts = path.stat()
            if os.name != "nt" and facts.st_mode & bits:
                return Check("program files", state, f"{whose} can change {path}", remedy)
            if os.name != "nt" and facts.st_uid not in (0, os.geteuid()):
                told = f"{path} belongs to another user"
                return Check("program files", CheckState.FAIL, told, remedy)
    told = f"version {PRODUCT_VERSION}; nobody but you and root can change them"
    return Check("program files", CheckState.OK, told)


def check_account() -> Check:
    """As whom the agent would run, started from here."""
    if os.name == "nt" or os.geteuid() != 0:
        return Check("account", CheckState.OK, "not an administrator's")
    remedy = "The unit alongside-agent.service runs it as a user of its own."
    return Check("account", CheckState.WARN, "root: more than the agent needs", remedy)


def check_records(data: DataDir) -> Iterator[Check]:
    """The history: whether it is whole, how far the clock is from it, and the newest sessions."""
    try:
        lines, report = read_history(data.audit, 1)
        receipts = read_receipts(data.receipts, SESSIONS_SHOWN)
    except (SupportError, OSError) as exc:
        yield Check(
            "history", CheckState.FAIL, shown_text(str(exc), 300), "Look at: alongside-agent history."
        )
        return
    if not (report.is_intact or report.is_torn):  # torn: a running service writes just now
        remedy = "Somebody changed or cut it. Tell your administrator, and keep the file."
        yield Check("history", CheckState.FAIL, report.detail, remedy)
        return
    head = f"; the newest is {report.head[:12]}" if report.records else ""
    yield Check("history", CheckState.OK, f"{report.records} records, each follows from the one before{head}")
    if lines and lines[-1].at_utc > datetime.now(UTC) + SKEW_ALLOWED:
        told = f"it is behind the newest record here, of {lines[-1].at_utc:%Y-%m-%d %H:%M} UTC"
        yield Check("clock and history", CheckState.FAIL, told, "Set the date and time.")
    for receipt in reversed(receipts):
        told = f"{receipt.facts.ended_at_utc.astimezone():%Y-%m-%d %H:%M}: {receipt.sentence}"
        yield Check("last session", CheckState.OK, told)
    if not receipts:
        yield Check("last session", CheckState.OK, "none yet")


def check_other_tools(names: Iterable[str]) -> Check:
    """Other programs by which somebody could see or control this computer; their names alone."""
    stems = {name.lower().removesuffix(".exe") for name in names}
    found = sorted({OTHER_REMOTE_TOOLS[stem] for stem in stems & OTHER_REMOTE_TOOLS.keys()})
    if not found:
        return Check("other remote tools", CheckState.OK, "none of those known here runs")
    remedy = "If you did not expect that, ask your administrator. What they do is not seen or asked for here."
    return Check("other remote tools", CheckState.WARN, f"running: {', '.join(found)}", remedy)


def _check_pins(data: DataDir, identity: Identity) -> Check:
    organisation = identity.organisation_id
    groups = " ".join(organisation[start : start + 4] for start in range(0, 32, 4))
    try:
        relay_id = data.read_relay().relay_id
    except SupportError as exc:
        return Check("pins", CheckState.FAIL, f"the relay's is missing ({exc.code})", exc.text.remedy)
    if not relay_id:
        told = f"organisation {groups} …, relay: none"
        return Check("pins", CheckState.WARN, told, "Join again with a token of this version.")
    told = f"organisation {groups} …, relay {relay_id[:16]} …"
    return Check("pins", CheckState.OK, told, "")


def _check_way_to_relay(data: DataDir) -> Iterator[Check]:
    try:
        relay = urlsplit(data.read_relay().url)
    except SupportError:
        return  # said with the pins
    host = relay.hostname or ""
    proxy = _own_proxy(data) or (not proxy_bypass(host) and getproxies().get(relay.scheme, ""))
    if proxy and not is_loopback(host):
        told = f"the way to the relay goes through the proxy {shown_text(_host_of(proxy), 100)}"
    else:
        told = "none on the way to the relay"
    yield Check("proxy", CheckState.OK, told)
    if relay.scheme != "https":
        yield Check("TLS to the relay", CheckState.OK, "none: the relay is on this computer")
    elif data.tls_ca is not None:
        yield Check("TLS to the relay", CheckState.OK, "only one authority counts; interception is refused")
    else:
        told = "this computer's authorities count; interception is not seen, and cannot see into a session"
        yield Check("TLS to the relay", CheckState.OK, told)


def _own_proxy(data: DataDir) -> str:
    try:
        return data.proxy()
    except SupportError:
        return "(malformed)"


def _host_of(proxy: str) -> str:
    """Never its password."""
    try:
        return urlsplit(proxy).hostname or "(malformed)"
    except ValueError:
        return "(malformed)"


def _code_folders() -> list[Path]:
    here = Path(agent.__file__ or sys.executable).parent
    return [here, here / "exec", here / "desktop", Path(sys.executable).parent]


def _running_names() -> Iterator[str]:
    for process in psutil.process_iter(["name"]):
        yield process.info["name"] or ""
