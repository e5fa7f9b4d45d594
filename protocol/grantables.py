"""What a person may allow, each by itself. The word before the dot is the capability and its channel."""

from collections.abc import Iterable
from enum import StrEnum


class Grantable(StrEnum):
    """Permanent names of single permissions; PROTOCOL.md says what the person reads for each."""

    SCREEN_VIEW = "screen.view"
    INPUT_CONTROL = "input.control"
    DIAGNOSTICS_READ = "diagnostics.read"
    COMMANDS_RUN = "commands.run"

    @property
    def capability(self) -> str:
        """The one word of the capability: channel type, folder, message module."""
        return self.value.partition(".")[0]


# what the person reads in the prompt, in plain words
PLAIN_WORDS: dict[Grantable, str] = {
    Grantable.SCREEN_VIEW: "See your screen",
    Grantable.INPUT_CONTROL: "Control your mouse and keyboard",
    Grantable.DIAGNOSTICS_READ: "Read how this computer is doing (memory, disks, programs)",
    Grantable.COMMANDS_RUN: "Run commands that your organisation approved",
}


def in_order(grantables: Iterable[Grantable]) -> list[str]:
    """Their names in the order in which people read them: seeing first, acting after."""
    wanted = set(grantables)
    return [grantable.value for grantable in Grantable if grantable in wanted]
