"""Local messages about the pause: the person begins it, ends it, and hears how long it lasts."""

from protocol.codec import Finite, Message


class PauseOrdered(Message, frozen=True, tag="ipc.pause_ordered"):
    """To service: end the sessions at this user's desktop; nobody may come there for PAUSE_LENGTH_S.

    Of the service's own user or root: at every desktop.
    """


class ResumeOrdered(Message, frozen=True, tag="ipc.resume_ordered"):
    """To service: end the pause of this user, and for this user one that is everybody's."""


class UserPaused(Message, frozen=True, tag="ipc.user_paused"):
    """One user's own pause, which holds at their desktop alone."""

    uid: int
    left_s: Finite


class Paused(Message, frozen=True, tag="ipc.paused"):
    """Service: for how long a pause still holds for this user; 0 when there is none."""

    left_s: Finite
