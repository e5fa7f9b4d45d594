"""Keeps the patience of a device in its data folder, so that a restart of the service does not begin anew."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from agent.ask_patience import AskPatience, KeptPatience
from agent.lasting_time import Moment, Now, elapsed_s, now
from agent.state import read_kept
from protocol.errors import SupportError
from protocol.private_files import write_private_file

log = structlog.get_logger()

FILE_LIMIT_BYTES = 256 << 10


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    written: Moment
    kept: KeptPatience


TakeOver = Callable[[str, float], None]


def load_patience(
    path: Path, now_s: float, moment_now: Now = now, take_over: TakeOver = lambda _id, _left_s: None
) -> AskPatience:
    """The patience that was kept there; every change is kept from now on. `now_s` is this moment.

    `take_over` gets the blocks that an older version kept in that file, and for how long they still hold (s).
    A clock that was set back while the machine was off counts as no time at all.
    """
    started = moment_now()

    def keep(changed: AskPatience) -> None:
        moment = moment_now()
        at_s = now_s + (elapsed_s(started, moment) or 0.0)
        try:
            write_private_file(path, msgspec.json.encode(_File(moment, changed.kept(at_s))))
        except SupportError as exc:  # it still holds as long as the service runs
            log.error("patience.not_kept", code=str(exc.code), detail=exc.detail)

    patience = AskPatience(keep)
    try:
        found = read_kept(path, _File, FILE_LIMIT_BYTES)
    except FileNotFoundError:
        return patience
    except SupportError as exc:
        log.error("patience.unreadable", path=str(path), detail=exc.detail[:200])
        return patience
    away_s = elapsed_s(found.written, started) or 0.0
    patience.restore(found.kept, now_s, away_s=away_s)
    blocked = [each for each in found.kept.technicians if each.blocked_s > 0]
    for each in blocked:
        if each.blocked_s > away_s:
            take_over(each.technician_id, each.blocked_s - away_s)
    if blocked:
        keep(patience)  # or the next start would take them over again, also what was lifted meanwhile
    return patience
