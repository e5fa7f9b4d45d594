"""Whether a request is one that the organisation approved: asked by the service and again by the worker."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.exec.messages import RunOrder, request_sha256
from protocol.catalogue import CommandEntry
from protocol.errors import DocumentRefused, ErrorCode, NotGranted, Refused
from protocol.grantables import Grantable
from protocol.grants import open_sealed_grant
from protocol.messages.commands import RunCommand
from protocol.policy import Policy, open_policy

PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LANGUAGE = "C.UTF-8"


@dataclass(frozen=True, slots=True)
class Approved:
    """A request that holds: its entry and what would be started."""

    entry: CommandEntry
    argv: list[str]


def approve(policy: Policy, request: RunCommand, platform: str) -> Approved:
    """The entry of the catalogue, unchanged since it was displayed, and the argv for these parameters.

    Raises:
        Refused: E_COMMAND_UNKNOWN (also when the entry is another one than was displayed),
            E_COMMAND_PLATFORM or E_COMMAND_PARAMETER.
    """
    entry = policy.catalogue.find(request.command_id)
    if not hmac.compare_digest(entry.sha256.encode(), request.entry_sha256.encode()):
        raise Refused(
            "the catalogue's entry has changed since it was displayed", code=ErrorCode.E_COMMAND_UNKNOWN
        )
    if platform not in entry.platforms:
        raise Refused(f"not meant for {platform}", code=ErrorCode.E_COMMAND_PLATFORM)
    return Approved(entry, entry.build_argv(request.parameters))


def approve_order(order: RunOrder, now: datetime) -> Approved:
    """The same from nothing but signed documents: the policy's envelope and the sealed grant.

    Raises:
        DocumentRefused: a signature, organisation, version, expiry or the grant's request does not hold.
        CertificateRefused: who signed it is nobody of this organisation.
        NotGranted: the grant is for something else, or for another device.
        Refused: as `approve`.
    """
    policy = open_policy(order.policy_envelope, order.root_der, now=now, newest_version=order.policy_version)
    if policy.version != order.policy_version:
        raise DocumentRefused("another version than was ordered", code=ErrorCode.E_POLICY_VERSION)
    bound_to = request_sha256(order.request)
    grant = open_sealed_grant(order.sealed_grant, order.root_der, request_sha256=bound_to, now=now)
    if grant.grantable is not Grantable.COMMANDS_RUN:
        raise NotGranted(f"the grant is for {grant.grantable}")
    if grant.device_id != order.device_id:
        raise NotGranted("the grant is for another device")
    approved = approve(policy, order.request, order.platform)
    if not Path(approved.argv[0]).is_file():
        raise Refused(f"{approved.argv[0]} is not installed on this device", code=ErrorCode.E_COMMAND_MISSING)
    return approved


def command_environment(argv: list[str], uid: int) -> dict[str, str]:
    """The whole environment of a command: fixed, and nothing of the caller's.

    The address of the person's own service manager is derived from the uid (systemd's pam_systemd(8) and
    sd_bus_default_user(3)), for commands that say `--user`.
    """
    environment = {"PATH": PROGRAM_PATH, "LANG": LANGUAGE, "HOME": _home(uid)}
    if "--user" in argv[1:]:
        environment["XDG_RUNTIME_DIR"] = f"/run/user/{uid}"
        environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path=/run/user/{uid}/bus"
    return environment


def _home(uid: int) -> str:
    import pwd  # here: only on POSIX systems

    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:  # a uid without an account, as in some containers
        return "/"
