"""Local messages about the pause: the person begins it, ends it, and hears how long it lasts."""

from protocol.codec import Finite, Message


class PauseOrdered(Message, frozen=True, tag="ipc.pause_ordered"):
    """Command line to service: end every session; nobody may ask or connect for PAUSE_LENGTH_S."""


class ResumeOrdered(Message, frozen=True, tag="ipc.resume_ordered"):
    """Command line to service: end the pause."""


class Paused(Message, frozen=True, tag="ipc.paused"):
    """Service to command line: for how long the pause lasts; 0 when there is none."""

    left_s: Finite
