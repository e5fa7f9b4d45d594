"""What the page and this process say to each other on a session's WebSocket: JSON texts, tagged by `type`.

Pictures and cursor shapes go as binary messages, see `picture_wire`. All texts that came from the device
have passed `shown` before they are put in one of these.
"""

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode, PeerViolation, error_text
from protocol.limits import (
    COMMAND_PARAMETERS_LIMIT,
    COMMAND_VALUE_LIMIT_CHARS,
    DISPLAY_LIMIT,
    DISPLAY_SIDE_LIMIT_PIXELS,
    INPUT_EVENTS_PER_MESSAGE_LIMIT,
    REASON_LIMIT_CHARS,
    SESSION_LENGTH_LIMIT_S,
    TICKET_NUMBER_LIMIT_CHARS,
    VIDEO_CODECS_LIMIT,
)
from protocol.messages.input import Event
from protocol.messages.presence import ShortText
from protocol.messages.screen import CodecName, DisplayMode, RegionNo

PAGE_MESSAGE_LIMIT_BYTES = 64 << 10


class PageMessage(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """Base of both families."""


class Problem(msgspec.Struct, frozen=True):
    """A refusal as a person reads it."""

    code: str
    sentence: str
    remedy: str
    detail: str = ""


def problem(code: str, detail: str = "") -> Problem:
    """The registry's words for a code."""
    text = error_text(code)
    return Problem(code, text.sentence, text.remedy, detail)


# page → process


class PageAsk(PageMessage, frozen=True, tag="ask"):
    """Ask the person for these grantables."""

    grantables: Annotated[list[ShortText], Meta(min_length=1, max_length=8)]
    reason: Annotated[str, Meta(max_length=REASON_LIMIT_CHARS)]
    ticket_number: Annotated[str, Meta(max_length=TICKET_NUMBER_LIMIT_CHARS)]
    length_s: Annotated[int, Meta(ge=10, le=SESSION_LENGTH_LIMIT_S)]


class PageSeen(PageMessage, frozen=True, tag="seen"):
    """The picture with this sequence number is on the canvas."""

    sequence: Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]


class PageDamaged(PageMessage, frozen=True, tag="damaged"):
    """A part could not be decoded; nothing is painted until everything has come anew."""


class PageProofFailed(PageMessage, frozen=True, tag="proof_failed"):
    """The rows from `y` on of the picture with this sequence number are not what the proof says."""

    sequence: Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
    y: Annotated[int, Meta(ge=0, le=DISPLAY_SIDE_LIMIT_PIXELS)]


class PageDecodes(PageMessage, frozen=True, tag="decodes"):
    """The video codecs that this browser decodes."""

    codecs: Annotated[list[CodecName], Meta(max_length=VIDEO_CODECS_LIMIT)]


class PageKeyframe(PageMessage, frozen=True, tag="keyframe"):
    """A region's frames cannot be decoded without a keyframe."""

    region_no: RegionNo


class PageRefresh(PageMessage, frozen=True, tag="refresh"):
    """Send everything anew."""


class PageShowDisplay(PageMessage, frozen=True, tag="show_display"):
    """Show another display."""

    index: Annotated[int, Meta(ge=0, le=DISPLAY_LIMIT)]


class PageShowAll(PageMessage, frozen=True, tag="show_all"):
    """Show all displays as one picture."""


class PageFollow(PageMessage, frozen=True, tag="follow"):
    """Show the display with the pointer, and change with it."""


class PageInput(PageMessage, frozen=True, tag="input"):
    """What pointer and keyboard did on the canvas."""

    display_index: Annotated[int, Meta(ge=0, le=DISPLAY_LIMIT)]
    events: Annotated[list[Event], Meta(min_length=1, max_length=INPUT_EVENTS_PER_MESSAGE_LIMIT)]


class PageReleaseAll(PageMessage, frozen=True, tag="release_all"):
    """The canvas lost its focus."""


class PageReadDiagnostics(PageMessage, frozen=True, tag="read_diagnostics"):
    """One snapshot, please."""


class PageRun(PageMessage, frozen=True, tag="run"):
    """Run an entry of the catalogue; `run_no` is the page's own number for it."""

    run_no: Annotated[int, Meta(ge=1, le=1_000_000)]
    command_id: ShortText
    entry_sha256: Annotated[str, Meta(min_length=64, max_length=64)]
    parameters: Annotated[
        dict[ShortText, Annotated[str, Meta(max_length=COMMAND_VALUE_LIMIT_CHARS)]],
        Meta(max_length=COMMAND_PARAMETERS_LIMIT),
    ]


class PageCancel(PageMessage, frozen=True, tag="cancel"):
    """End that command."""

    run_no: Annotated[int, Meta(ge=1, le=1_000_000)]


class PageRatingSeen(PageMessage, frozen=True, tag="rating_seen"):
    """The rating of this session is on the screen."""

    session_id: ShortText


class PageEnd(PageMessage, frozen=True, tag="end"):
    """End the session."""


PageOfScreen: TypeAlias = (
    PageSeen
    | PageDamaged
    | PageProofFailed
    | PageDecodes
    | PageKeyframe
    | PageRefresh
    | PageShowDisplay
    | PageShowAll
    | PageFollow
)
FromPage: TypeAlias = (
    PageAsk
    | PageOfScreen
    | PageInput
    | PageReleaseAll
    | PageReadDiagnostics
    | PageRun
    | PageCancel
    | PageRatingSeen
    | PageEnd
)

_FROM_PAGE: msgspec.json.Decoder[FromPage] = msgspec.json.Decoder(FromPage)
_ENCODER = msgspec.json.Encoder()


# process → page


class SayReady(PageMessage, frozen=True, tag="ready"):
    """The tunnel stands and the certificate was verified; without, `organisation_name` is "".

    `readback`: the digits that the person sees too.
    """

    session_id: str
    device_id: str
    device_name: str
    organisation_name: str
    consent: str
    offers: list[str]
    group_name: str
    readback: str


class SayPending(PageMessage, frozen=True, tag="pending"):
    """The person is being asked."""

    timeout_s: float


class SayAnswer(PageMessage, frozen=True, tag="answer"):
    """What came of one ask: seconds left for what was granted, the reason for what was not."""

    asked: list[str]
    granted: dict[str, float]
    refused: dict[str, Problem]


class SayGrantEnded(PageMessage, frozen=True, tag="grant_ended"):
    """A permission is over."""

    grantable: str
    problem: Problem


class SayChannelOver(PageMessage, frozen=True, tag="channel_over"):
    """A capability's channel is over while the session goes on."""

    grantable: str
    problem: Problem


class SayDisplay(msgspec.Struct, frozen=True):
    """One display, physical pixels."""

    index: int
    width: int
    height: int


class SayDisplays(PageMessage, frozen=True, tag="displays"):
    """What there is to be shown, and which one is."""

    displays: list[SayDisplay]
    shown_index: int
    mode: DisplayMode
    source: str


class SayCursorMoved(PageMessage, frozen=True, tag="cursor_moved"):
    """Where the device's pointer is."""

    x: int
    y: int


class SayScreenRestarted(PageMessage, frozen=True, tag="screen_restarted"):
    """The device's screen program ended and was started again; a whole picture follows."""


class SayInputState(PageMessage, frozen=True, tag="input_state"):
    """Whether input acts."""

    is_active: bool
    problem: Problem | None


class SayInputDropped(PageMessage, frozen=True, tag="input_dropped"):
    """So many events did not act, and why."""

    events: int
    problem: Problem


class SayStats(PageMessage, frozen=True, tag="stats"):
    """Twice a second. `late_s` is how old the picture is if it is older than it should be, else 0."""

    round_trip_ms: float | None
    received_kbit_s: float
    late_s: float


class SaySnapshot(PageMessage, frozen=True, tag="snapshot"):
    """A diagnostics snapshot, as in `protocol.messages.diagnostics`, texts made fit to be shown."""

    snapshot: dict[str, Any]


class SayCommandStarted(PageMessage, frozen=True, tag="command_started"):
    """It runs."""

    run_no: int
    argv: list[str]


class SayCommandOutput(PageMessage, frozen=True, tag="command_output"):
    """A piece of output."""

    run_no: int
    stream: str
    text: str


class SayCommandEnded(PageMessage, frozen=True, tag="command_ended"):
    """It has ended, or was not run at all (`was_refused`)."""

    run_no: int
    exit_status: int = -1
    is_truncated: bool = False
    took_s: float = 0.0
    was_refused: bool = False
    problem: Problem | None = None


class SayAlarm(PageMessage, frozen=True, tag="alarm"):
    """Something about the device is not as it was; stays to be seen while the session goes on."""

    problem: Problem


class SayRating(PageMessage, frozen=True, tag="rating"):
    """What the person thought of an earlier session; the device keeps it until it is seen."""

    session_id: str
    is_good: bool
    comment: str


class SayProblem(PageMessage, frozen=True, tag="problem"):
    """Something that was asked for could not be done; the session goes on."""

    about: str
    problem: Problem


class SayOver(PageMessage, frozen=True, tag="over"):
    """The session has ended; nothing comes after this."""

    cause: str
    problem: Problem | None


ToPage: TypeAlias = (
    SayReady
    | SayPending
    | SayAnswer
    | SayGrantEnded
    | SayChannelOver
    | SayDisplays
    | SayCursorMoved
    | SayScreenRestarted
    | SayInputState
    | SayInputDropped
    | SayStats
    | SaySnapshot
    | SayCommandStarted
    | SayCommandOutput
    | SayCommandEnded
    | SayAlarm
    | SayRating
    | SayProblem
    | SayOver
)


def encode_for_page(message: ToPage) -> str:
    """The message as JSON."""
    return _ENCODER.encode(message).decode()


def decode_from_page(text: str) -> FromPage:
    """The page's message.

    Raises:
        PeerViolation: E_MESSAGE_SIZE or E_MESSAGE_FORMAT.
    """
    if len(text) > PAGE_MESSAGE_LIMIT_BYTES:
        raise PeerViolation("message of the page", code=ErrorCode.E_MESSAGE_SIZE)
    try:
        return _FROM_PAGE.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise PeerViolation(f"message of the page: {exc}"[:200], code=ErrorCode.E_MESSAGE_FORMAT) from None
