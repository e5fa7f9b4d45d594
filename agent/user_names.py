"""Users of this computer by number, and as settings name them."""

import os

from protocol.errors import ErrorCode, UsageError

NO_UID = -1


def own_uid() -> int:
    """Whom this process runs as; `NO_UID`, which is nobody's, where there are no uids (Windows)."""
    return os.geteuid() if hasattr(os, "geteuid") else NO_UID


def named_users(setting: str) -> frozenset[int]:
    """The uids of user names (or uids) with spaces between them.

    Raises:
        UsageError: E_CONFIG, one is unknown.
    """
    return frozenset(uid_of(word) for word in setting.split())


def uid_of(word: str) -> int:
    """The uid of this user name, or this uid.

    Raises:
        UsageError: E_CONFIG, there is no such user.
    """
    import pwd  # where there are uids

    try:
        return int(word) if word.isdecimal() else pwd.getpwnam(word).pw_uid
    except KeyError:
        raise UsageError(f"there is no user {word!r}", code=ErrorCode.E_CONFIG) from None
