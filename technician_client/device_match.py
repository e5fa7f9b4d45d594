"""Which device a person means: its id, the start of it, or its name."""

from collections.abc import Sequence

from protocol.errors import ErrorCode, Refused, UsageError
from protocol.ids import is_device_id
from protocol.messages.presence import DeviceRow
from protocol.names import shown_name

PREFIX_LIMIT_CHARS = 4


def match_device(wanted: str, rows: Sequence[DeviceRow]) -> DeviceRow:
    """The one device that `wanted` names: a whole id, a unique name, or a unique start of an id.

    A name is the device's own word: two devices may bear the same one, and then only an id will do.

    Raises:
        Refused: E_DEVICE_UNKNOWN.
        UsageError: several devices fit; the detail lists their ids.
    """
    exact = [row for row in rows if row.device_id == wanted]
    if exact or is_device_id(wanted):
        return _only(wanted, exact)
    named = [row for row in rows if row.name.casefold() == wanted.casefold()]
    if named:
        return _only(wanted, named)
    prefix = wanted if wanted.startswith("d-") else f"d-{wanted}"
    long_enough = len(prefix) >= PREFIX_LIMIT_CHARS
    return _only(wanted, [row for row in rows if long_enough and row.device_id.startswith(prefix)])


def _only(wanted: str, found: Sequence[DeviceRow]) -> DeviceRow:
    if not found:
        raise Refused(shown_name(wanted), code=ErrorCode.E_DEVICE_UNKNOWN)
    if len(found) > 1:
        ids = ", ".join(sorted(row.device_id for row in found)[:8])
        raise UsageError(f"{shown_name(wanted)!r} fits {len(found)} devices; give one of these ids: {ids}")
    return found[0]
