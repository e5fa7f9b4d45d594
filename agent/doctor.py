"""`alongside-agent doctor`: what works on this device, what does not, and what to do about it."""

import asyncio
import importlib.util
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.desktop.ipc_messages import Status
from agent.doctor_check import Check, CheckState
from agent.doctor_hygiene import hygiene
from agent.doctor_updates import check_updates
from agent.local_client import ask_status
from agent.policy_store import PolicyStore
from agent.state import DataDir
from agent.update.places import DEFAULT_PREFIX, UpdatePlaces
from protocol.aio.log_in import connect_control, log_in
from protocol.certificates import Role, verify_chain
from protocol.errors import BackendUnavailable, DocumentRefused, SupportError, Unreachable, error_text
from protocol.identity import Identity, load_identity

EXPIRY_WARNING = timedelta(days=14)
SANE_YEAR = 2025
RELAY_CHECK_TIMEOUT_S = 15.0


async def examine(data: DataDir) -> list[Check]:
    """Every check, in the order in which a person would go through them."""
    checks = [_check_data(data), _check_clock()]
    identity, found = _check_identity(data)
    checks.append(found)
    status, found = await _check_service(data)
    checks.append(found)
    if status is not None:
        checks.append(check_commands(status.exec_socket))
    if identity is not None:
        checks += _check_policy(data, identity)
        checks.append(await _check_relay(data, identity, status))
    checks += [*_check_desktop(status), *_check_platform(), _check_tk()]
    checks += hygiene(data, identity)
    checks += check_updates(UpdatePlaces(DEFAULT_PREFIX), datetime.now(UTC))
    return checks


def _check_data(data: DataDir) -> Check:
    if not data.root.exists():
        remedy = "It is made when this computer joins: alongside-agent join."
        return Check("data folder", CheckState.WARN, f"{data.root} is not there yet", remedy)
    try:
        data.prepare()
        probe = data.root / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except (SupportError, OSError) as exc:
        return Check(
            "data folder", CheckState.FAIL, f"{data.root} cannot be written: {exc}", "Check its owner."
        )
    free_bytes = shutil.disk_usage(data.root).free
    if free_bytes < 64 << 20:
        return Check(
            "data folder", CheckState.WARN, f"only {free_bytes >> 20} MiB are free", "Free some space."
        )
    return Check("data folder", CheckState.OK, f"{data.root} can be written")


def _check_clock() -> Check:
    now = datetime.now(UTC)
    if now.year < SANE_YEAR:
        return Check("clock", CheckState.FAIL, f"it shows {now:%Y-%m-%d}", "Set the date and time.")
    return Check("clock", CheckState.OK, f"{now:%Y-%m-%d %H:%M} UTC")


def _check_identity(data: DataDir) -> tuple[Identity | None, Check]:
    try:
        identity = load_identity(data.identity)
        peer = verify_chain(identity.chain, identity.root_der, roles={Role.DEVICE}, now=datetime.now(UTC))
    except SupportError as exc:
        return None, _failed("identity", exc)
    told = f"{identity.subject_id} of {identity.organisation_name}, group {peer.group}, mode 0600"
    if identity.not_after - datetime.now(UTC) < EXPIRY_WARNING:
        return identity, Check(
            "identity", CheckState.WARN, f"{told}, ends {identity.not_after:%Y-%m-%d}", "Join again soon."
        )
    return identity, Check("identity", CheckState.OK, told)


async def _check_service(data: DataDir) -> tuple[Status | None, Check]:
    try:
        status = await ask_status(data.socket)
    except SupportError as exc:
        remedy = "Start it with: alongside-agent run."
        return None, Check("service", CheckState.WARN, f"not running ({exc.code})", remedy)
    return status, Check("service", CheckState.OK, f"running, link {status.link}")


def check_commands(exec_socket: str) -> Check:
    """What holds a command together with whatever it starts, and bounds it."""
    if not exec_socket:
        told = "below the agent, each with a guardian; the system's own bounds are those of the agent"
        return Check("commands run", CheckState.OK, told)
    if Path(exec_socket).is_socket():
        return Check("commands run", CheckState.OK, "each in a unit of its own, which ends all of it")
    remedy = "Start it with: systemctl start alongside-agent-exec.socket."
    return Check("commands run", CheckState.FAIL, f"not at all: nobody listens at {exec_socket}", remedy)


def _check_policy(data: DataDir, identity: Identity) -> Iterator[Check]:
    now = datetime.now(UTC)
    trust = data.stored_trust(identity).trust
    try:
        trust.require_fresh(now)
    except SupportError as exc:
        yield _failed("status list", exc)
    policies = PolicyStore(data.policy, trust)
    policies.load(now)
    if policies.alarm is not None:
        yield _failed("policy alarm", DocumentRefused(f"version {policies.version}", code=policies.alarm))
    if policies.failure is not None:
        yield _failed("policy", policies.failure)
        return
    if policies.policy is None:
        yield Check(
            "policy", CheckState.WARN, "none yet: the person is asked, and there are no commands",
            "Publish one with: alongside policy publish.",
        )  # fmt: skip
        return
    ends = policies.policy.expires_at_utc
    is_soon = ends - now < EXPIRY_WARNING
    told = f"version {policies.version}, until {ends:%Y-%m-%d}"
    yield Check(
        "policy",
        CheckState.WARN if is_soon else CheckState.OK,
        told,
        "Publish a new one soon." if is_soon else "",
    )
    missing = sorted(
        {entry.argv[0] for entry in policies.policy.catalogue.entries if not Path(entry.argv[0]).is_file()}
    )
    if missing:
        yield Check(
            "commands", CheckState.WARN, f"not installed: {', '.join(missing)}", "Install them if needed."
        )
    else:
        yield Check("commands", CheckState.OK, "every program of the catalogue is installed")


async def _check_relay(data: DataDir, identity: Identity, status: Status | None) -> Check:
    if status is not None:  # a second log-in would take the place of the service's link
        told = f"{status.relay_url}, {status.link} {status.link_code}".strip()
        if status.link == "connected":
            return Check("relay", CheckState.OK, told)
        remedy = (
            error_text(status.link_code).remedy if status.link_code else "Wait a moment, then look again."
        )
        return Check("relay", CheckState.FAIL, told, remedy)
    try:
        relay = data.read_relay()
        async with asyncio.timeout(RELAY_CHECK_TIMEOUT_S):
            wire = await connect_control(relay.url, tls_ca=data.tls_ca, proxy=data.proxy())
            try:
                welcome, _ = await log_in(wire, identity, relay.relay_id or None)
            finally:
                await wire.close()
    except TimeoutError:
        return _failed("relay", Unreachable())
    except SupportError as exc:
        return _failed("relay", exc)
    if welcome.status == "pending":
        remedy = "Approve it with: alongside fleet approve."
        return Check("relay", CheckState.WARN, f"{relay.url}, this device waits for approval", remedy)
    return Check("relay", CheckState.OK, f"{relay.url}, log-in works")


def _check_desktop(status: Status | None) -> Iterator[Check]:
    if status is None:
        return
    if status.has_desktop:
        yield Check("desktop", CheckState.OK, "connected: the person can be asked")
    else:
        remedy = "Run alongside-agent run inside the person's desktop, or give --display."
        yield Check("desktop", CheckState.WARN, "nobody can be asked: no desktop process", remedy)


def _check_platform() -> Iterator[Check]:
    """What screen sources and input say for themselves; their libraries are imported here alone."""
    try:
        from agent.platform import select

        reports = select.doctor_reports()
    except (ImportError, BackendUnavailable) as exc:
        yield Check("screen", CheckState.FAIL, str(exc), "Install alongside with the agent's extra.")
        return
    for name, is_ok, reason in reports:
        remedy = "" if is_ok else "Needed only to show the screen; one source is enough."
        yield Check(name, CheckState.OK if is_ok else CheckState.WARN, reason, remedy)


def _check_tk() -> Check:
    if importlib.util.find_spec("_tkinter") is None:
        remedy = "Install it: apt-get install python3-tk."
        return Check("prompt window", CheckState.FAIL, "Tk is missing, so the person cannot be asked", remedy)
    shown = "DISPLAY is set" if os.environ.get("DISPLAY") else "Tk is there; no DISPLAY in this shell"
    return Check("prompt window", CheckState.OK, shown)


def _failed(name: str, exc: SupportError) -> Check:
    sentence, remedy = exc.text
    detail = f" ({exc.detail})" if exc.detail else ""
    return Check(name, CheckState.FAIL, f"{sentence.rstrip('.')}{detail} [{exc.code}]", remedy)
