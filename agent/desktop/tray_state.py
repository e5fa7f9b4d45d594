"""What the tray shows at a glance, and its pictures: each state has a shape of its own, not only a colour."""

from enum import StrEnum

from agent.desktop.drawing import Badge, mark_ppm

BACKGROUND = "#ffffff"
OFFLINE_INK, READY_INK, SECOND_INK = "#4c6063", "#0a675f", "#8fc7bf"
SESSION_INK = "#a61b1b"


class TrayState(StrEnum):
    """At a glance."""

    OFFLINE = "offline"
    PAUSED = "paused"
    READY = "ready"
    IN_SESSION = "in_session"


_BADGES = {
    TrayState.OFFLINE: (OFFLINE_INK, Badge.CROSS),
    TrayState.PAUSED: (READY_INK, Badge.BARS),
    TrayState.READY: (READY_INK, Badge.NONE),
    TrayState.IN_SESSION: (READY_INK, Badge.DISC),
}


def tray_state(link: str, sessions: int, paused_s: float = 0.0) -> TrayState:
    """`link` as the service's status has it; a session counts also while the link is down."""
    if sessions:
        return TrayState.IN_SESSION
    if paused_s > 0:
        return TrayState.PAUSED
    return TrayState.READY if link == "connected" else TrayState.OFFLINE


def tray_ppm(state: TrayState, side: int) -> bytes:
    """The tray's picture of this state, as a PPM."""
    ink, badge = _BADGES[state]
    return mark_ppm(
        side,
        accent=ink,
        second=SECOND_INK,
        background=BACKGROUND,
        badge=badge,
        badge_colour=SESSION_INK if badge is Badge.DISC else OFFLINE_INK,
    )
