"""What `alongside-agent doctor` says of updates: whether newer ones could be withheld from this device."""

from collections.abc import Iterator
from datetime import datetime

from agent.doctor_check import Check, CheckState
from agent.update.places import UpdatePlaces
from agent.update.status import ALARM_AFTER, WARNING_AFTER, Frozen, UpdateStatus, read_status
from protocol.errors import ErrorCode, SupportError

NAME = "updates"
_LATE = "Is the timer on? systemctl status alongside-agent-update.timer"
_FROZEN = "An administrator renews the list with: alongside release renew; then copies it to the relay."


def check_updates(places: UpdatePlaces, now: datetime) -> Iterator[Check]:
    """One line about the list of updates; none where the installation takes no updates."""
    try:
        places.settings()
    except SupportError as exc:
        if exc.code is not ErrorCode.E_UPDATE_NONE:
            yield Check(
                NAME, CheckState.FAIL, f"their settings cannot be read ({exc.detail})", "Install again."
            )
        return
    status = read_status(places.status)
    if status is None or status.checked_at_utc is None:
        yield Check(NAME, CheckState.WARN, "nobody has looked yet", _LATE)
        return
    yield _judged(status, status.checked_at_utc, now)


def _judged(status: UpdateStatus, checked_at: datetime, now: datetime) -> Check:
    frozen = status.frozen(now)
    if frozen in (Frozen.WARNING, Frozen.ALARM):
        since = status.believed_until_utc or status.since_utc or checked_at
        told = f"no valid list since {since:%Y-%m-%d %H:%M} UTC: newer versions may be withheld"
        return Check(NAME, CheckState.FAIL if frozen is Frozen.ALARM else CheckState.WARN, told, _FROZEN)
    if now - checked_at >= WARNING_AFTER:
        is_alarm = now - checked_at >= ALARM_AFTER
        told = f"nobody has looked since {checked_at:%Y-%m-%d %H:%M} UTC"
        return Check(NAME, CheckState.FAIL if is_alarm else CheckState.WARN, told, _LATE)
    if status.code:
        told = f"{status.outcome}: {status.detail or status.code} [{status.code}]"
        return Check(
            NAME, CheckState.WARN, told, "The next look may mend it: alongside-agent update --apply."
        )
    told = (
        f"{status.outcome}, {status.offered or 'nothing'} is offered, looked {checked_at:%Y-%m-%d %H:%M} UTC"
    )
    return Check(NAME, CheckState.OK, f"version {status.version}, {told}")
