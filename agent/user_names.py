"""Users of this computer as settings name them."""

from protocol.errors import ErrorCode, UsageError


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
