"""The two lists of private windows on this device: the organisation's, from its policy, and the person's own.

Both hold together. The person's is a file in the agent's data folder; nothing that comes over the network
changes it, and it changes nothing of the organisation's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from agent.policy_store import PolicyStore
from agent.state import DataDir, read_bounded
from protocol.errors import ErrorCode, UsageError
from protocol.identity import load_identity
from protocol.limits import PRIVATE_WINDOWS_LIMIT
from protocol.policy import Policy
from protocol.private_files import write_private_file
from protocol.private_windows import PrivateWindow, PrivateWindowList, united

FILE_LIMIT_BYTES = 128 << 10

_DECODER = msgspec.json.Decoder(PrivateWindowList, strict=True)


@dataclass(frozen=True, slots=True)
class PrivateLists:
    """What is in force: the organisation's entries and the person's."""

    organisation: tuple[PrivateWindow, ...] = ()
    person: tuple[PrivateWindow, ...] = ()

    @property
    def entries(self) -> tuple[PrivateWindow, ...]:
        """Both lists, each entry once."""
        return united(self.organisation, self.person)

    @property
    def facts(self) -> dict[str, int]:
        """For the audit record: how many entries, never which; empty while there are none."""
        if not self.entries:
            return {}
        return {
            "private_windows_organisation": len(self.organisation),
            "private_windows_person": len(self.person),
        }


def lists_in_force(policy: Policy | None, persons_file: Path) -> PrivateLists:
    """Both lists as they are now.

    Raises:
        UsageError: E_CONFIG, the person's file is malformed. EnvironmentFault: E_DATA_DISK.
    """
    return PrivateLists(policy.private_windows if policy else (), read_persons_list(persons_file))


def stored_lists(data: DataDir) -> PrivateLists:
    """Both lists as the data folder has them; without an organisation, the person's alone.

    Raises:
        SupportError: as `lists_in_force`, or why the policy that is kept does not hold.
    """
    policy = None
    if data.policy.exists() and data.identity.exists():
        policies = PolicyStore(data.policy, data.stored_trust(load_identity(data.identity)).trust)
        policies.load(datetime.now(UTC))
        if policies.failure is not None:
            raise policies.failure
        policy = policies.policy
    return lists_in_force(policy, data.private_windows)


def read_persons_list(path: Path) -> tuple[PrivateWindow, ...]:
    """The person's entries; none without a file.

    Raises:
        UsageError: E_CONFIG, it is malformed. EnvironmentFault: E_DATA_DISK.
    """
    try:
        return tuple(_DECODER.decode(read_bounded(path, FILE_LIMIT_BYTES)))
    except FileNotFoundError:
        return ()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise UsageError(f"{path}: {exc}", code=ErrorCode.E_CONFIG) from None


def new_entry(window_class: str, title: str) -> PrivateWindow:
    """An entry of what a person typed.

    Raises:
        UsageError: neither is given, or one is too long.
    """
    given = {"window_class": window_class, "title": title}
    try:
        return msgspec.convert({key: text for key, text in given.items() if text}, PrivateWindow)
    except msgspec.ValidationError as exc:
        raise UsageError(str(exc)) from None


def add_entry(data: DataDir, entry: PrivateWindow) -> tuple[PrivateWindow, ...]:
    """Add to the person's list; returns the whole. One that is there already stays there once.

    Raises:
        UsageError: E_USAGE, the list is full; E_CONFIG, the file is malformed. EnvironmentFault: E_DATA_DISK.
    """
    entries = united(read_persons_list(data.private_windows), [entry])
    if len(entries) > PRIVATE_WINDOWS_LIMIT:
        raise UsageError(f"the list has {PRIVATE_WINDOWS_LIMIT} entries, and that is as many as it takes")
    data.prepare()
    _write(data.private_windows, entries)
    return entries


def remove_entry(data: DataDir, entry: PrivateWindow) -> tuple[PrivateWindow, ...]:
    """Take out of the person's list; returns the rest.

    Raises:
        UsageError: E_USAGE, it is not there; E_CONFIG, the file is malformed. EnvironmentFault: E_DATA_DISK.
    """
    entries = read_persons_list(data.private_windows)
    rest = tuple(each for each in entries if each != entry)
    if len(rest) == len(entries):
        raise UsageError("your list has no such entry; see: alongside-agent private-windows list")
    _write(data.private_windows, rest)
    return rest


def _write(path: Path, entries: tuple[PrivateWindow, ...]) -> None:
    write_private_file(path, msgspec.json.encode(list(entries)))
