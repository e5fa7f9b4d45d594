"""What updater and service say. Permanent: a version's updater asks the next one's service."""

from protocol.codec import Message
from protocol.messages.presence import ShortText


class UpdateAsked(Message, frozen=True, tag="ipc.update_asked"):
    """Updater to service, on the service's own socket alone: which version runs, and may it be restarted?

    When no session lives, none begins for as long as the updater stays connected, a minute at most.
    """


class UpdateAnswer(Message, frozen=True, tag="ipc.update_answer"):
    """Service to updater. `link` as in `Status`; `sessions`: how many live now."""

    version: ShortText
    link: ShortText
    sessions: int
