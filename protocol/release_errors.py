"""The error codes of releases and updates: a part of the registry in `protocol.error_codes`."""

from typing import Final

from protocol.error_names import ErrorCode

RELEASE_TEXTS: Final[dict[ErrorCode, tuple[str, str, int]]] = {
    ErrorCode.E_RELEASE_FORMAT: (
        "The release of the agent is not well formed.",
        "Make it again with: alongside release create.",
        2,
    ),
    ErrorCode.E_RELEASE_SIGNATURE: (
        "The release of the agent is not what the organisation signed.",
        "Do not install it; get it again from your administrator.",
        5,
    ),
    ErrorCode.E_RELEASE_VERSION: (
        "The release of the agent is older than the one that is there.",
        "Make a release with a higher version.",
        5,
    ),
    ErrorCode.E_RELEASE_PLATFORM: (
        "The release of the agent is for another kind of computer.",
        "Take the bundle whose name has this computer's system and machine.",
        5,
    ),
    ErrorCode.E_RELEASE_EXPIRED: (
        "The release of the agent is too old to be installed.",
        "Make a fresh one with: alongside release create.",
        5,
    ),
    ErrorCode.E_UPDATE_FROZEN: (
        "The list of updates has expired, so newer ones may be withheld.",
        "An administrator renews it with: alongside release renew.",
        5,
    ),
    ErrorCode.E_UPDATE_NONE: (
        "This installation takes no updates by itself.",
        "Install a release that was made after: alongside release keys.",
        6,
    ),
    ErrorCode.E_UPDATE_FAILED: (
        "The newer version of the agent did not work on this computer.",
        "Read alongside-agent doctor and the service's log; a corrected release is taken by itself.",
        6,
    ),
}
