"""Whether two computers log in with one device's key (pure): copied disks, cloned machines, a thief's copy.

Every run of an agent draws an instance id and says it on each link. One computer has one run at a time: a
restart brings a new id, and the one before never comes back. An id that returns after another one was there
is a second computer. One return could be a message that was long under way while its sender ended, so two
ids have to have come back. Only who has the device's key can log in as it, and so only they can bring this
about (decision 0024).
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

_FORMER_LIMIT: Final = 8
_RETURNED_LIMIT: Final = 2


@dataclass(slots=True)
class _Seen:
    current: str
    former: deque[str] = field(default_factory=lambda: deque(maxlen=_FORMER_LIMIT))
    returned: set[str] = field(default_factory=set)


class Instances:
    """What every device's newest links said. Kept in memory: it begins anew with the relay."""

    def __init__(self, devices_limit: int) -> None:
        """Of more devices than `devices_limit` those are forgotten that were not heard of for longest."""
        self._devices_limit = devices_limit
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def is_cloned(self, device_key: str, instance_id: str) -> bool:
        """Note a link of this run; whether it shows that two computers have the key. "" says nothing."""
        if not instance_id:
            return False
        seen = self._seen.setdefault(device_key, _Seen(instance_id))
        self._seen.move_to_end(device_key)
        while len(self._seen) > self._devices_limit:
            self._seen.popitem(last=False)
        if instance_id != seen.current:
            if instance_id in seen.former:
                seen.former.remove(instance_id)
                seen.returned.add(instance_id)
            seen.former.append(seen.current)
            seen.current = instance_id
        return len(seen.returned) >= _RETURNED_LIMIT

    def forget(self, device_key: str) -> None:
        """An administrator says that the copy is gone."""
        self._seen.pop(device_key, None)
