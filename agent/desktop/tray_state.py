"""What the tray shows at a glance, and its pictures: each state has a shape of its own, not only a colour."""

from enum import StrEnum

from agent.desktop.drawing import Badge, mark_ppm
from agent.desktop.palette import LIGHT, Palette


class TrayState(StrEnum):
    """At a glance."""

    OFFLINE = "offline"
    PAUSED = "paused"
    READY = "ready"
    IN_SESSION = "in_session"


_BADGES = {
    TrayState.OFFLINE: Badge.CROSS,
    TrayState.PAUSED: Badge.BARS,
    TrayState.READY: Badge.NONE,
    TrayState.IN_SESSION: Badge.DISC,
}


def tray_state(link: str, sessions: int, paused_s: float = 0.0) -> TrayState:
    """`link` as the service's status has it; a session counts also while the link is down."""
    if sessions:
        return TrayState.IN_SESSION
    if paused_s > 0:
        return TrayState.PAUSED
    return TrayState.READY if link == "connected" else TrayState.OFFLINE


def tray_ppm(state: TrayState, side: int, colours: Palette = LIGHT) -> bytes:
    """The picture of this state, as a PPM; on light ground in a tray, whatever that looks like."""
    badge = _BADGES[state]
    return mark_ppm(
        side,
        accent=colours.muted if state is TrayState.OFFLINE else colours.accent,
        second=colours.accent_soft,
        background=colours.background,
        badge=badge,
        badge_colour=colours.danger if badge is Badge.DISC else colours.muted,
    )
