"""Whether a request is one that the organisation approved: asked by the service and again by the worker."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.exec.messages import RunOrder
from agent.exec.program_place import settled_program
from protocol.approval import ApprovalTerms, check_approval, request_sha256
from protocol.catalogue import CommandEntry
from protocol.errors import DocumentRefused, ErrorCode, NotGranted, Refused
from protocol.grantables import Grantable
from protocol.grants import open_sealed_grant
from protocol.messages.commands import RunCommand
from protocol.policy import Policy, PolicyMark, open_policy
from protocol.trust import Trust

PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LANGUAGE = "C.UTF-8"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a request would run, and for which technician; `device_group` is the device's own."""

    platform: str
    trust: Trust | bytes
    device_id: str
    device_group: str
    technician_id: str


@dataclass(frozen=True, slots=True)
class Approved:
    """A request that holds: its entry, what would be started, and the policy that allows it.

    `approver_id` is the second person, "" for a command that one person may run.
    """

    entry: CommandEntry
    argv: list[str]
    policy: Policy
    approver_id: str = ""


def approve(policy: Policy, request: RunCommand, ground: Ground, *, now: datetime) -> Approved:
    """The entry of the catalogue, unchanged since it was displayed, and the argv for these parameters.

    Raises:
        Refused: E_COMMAND_UNKNOWN (also when the entry is another one than was displayed),
            E_COMMAND_PLATFORM or E_COMMAND_PARAMETER.
        DocumentRefused, CertificateRefused: the second person's approval, as `check_approval`.
    """
    entry = policy.catalogue.find(request.command_id)
    if not hmac.compare_digest(entry.sha256.encode(), request.entry_sha256.encode()):
        raise Refused(
            "the catalogue's entry has changed since it was displayed", code=ErrorCode.E_COMMAND_UNKNOWN
        )
    if ground.platform not in entry.platforms:
        raise Refused(f"not meant for {ground.platform}", code=ErrorCode.E_COMMAND_PLATFORM)
    argv = entry.build_argv(request.parameters)
    approver_id = ""
    if entry.takes_two_people:
        limit = timedelta(days=policy.technician_lifetime_days_limit)
        terms = ApprovalTerms(ground.device_id, ground.device_group, ground.technician_id, limit)
        approver_id = check_approval(request, ground.trust, terms, now=now).subject_id
    return Approved(entry, argv, policy, approver_id)


def approve_order(order: RunOrder, now: datetime) -> Approved:
    """The same from nothing but signed documents: the policy's envelope and the sealed grant.

    Raises:
        DocumentRefused: a signature, organisation, version, expiry or the grant's request does not hold.
        CertificateRefused: who signed it is nobody of this organisation.
        NotGranted: the grant is for something else, or for another device.
        Refused: as `approve`, and E_COMMAND_MISSING or E_COMMAND_UNSAFE for the program itself.
    """
    trust = Trust(order.root_der, order.successors)
    newest = PolicyMark(order.policy_version)
    policy = open_policy(order.policy_envelope, trust, now=now, newest=newest)
    if policy.version != order.policy_version:
        raise DocumentRefused("another version than was ordered", code=ErrorCode.E_POLICY_VERSION)
    bound_to = request_sha256(order.request)
    grant, device = open_sealed_grant(order.sealed_grant, trust, request_sha256=bound_to, now=now)
    if grant.grantable is not Grantable.COMMANDS_RUN:
        raise NotGranted(f"the grant is for {grant.grantable}")
    if grant.device_id != order.device_id:
        raise NotGranted("the grant is for another device")
    ground = Ground(order.platform, trust, grant.device_id, device.group, grant.technician_id)
    approved = approve(policy, order.request, ground, now=now)
    settled_program(approved.argv[0])
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
