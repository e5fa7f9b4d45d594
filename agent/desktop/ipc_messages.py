"""Local messages between the agent's own processes, over the Unix socket of the service.

There is no verb here that names a path, a program, a URL or a policy. Each message travels behind a
4-byte big-endian length. The first message on a connection says what the connection is for:
`DesktopHello` (the desktop process), `WorkerHello` (a screen worker; from then on both directions carry
the `screen` channel's own messages, and `CoverWindows` to the worker), `UpdateAsked` (the updater),
`StatusAsked`, `LeaveOrdered`, `ListsChanged`, `StandingAsked`, `StandingRevoked`, `PauseOrdered`,
`ResumeOrdered`, `BlocksAsked`, `BlockLifted`, `VisitsAsked`, `CheckAsked`, `RatingGiven` or `HelpAsked` (the
command line and the person's window).
"""

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from agent.desktop.block_messages import BlockLifted, BlockList, BlocksAsked
from agent.desktop.pause_messages import Paused, PauseOrdered, ResumeOrdered, UserPaused
from agent.desktop.update_messages import UpdateAnswer, UpdateAsked
from protocol.codec import Codec, Finite, Message
from protocol.errors import ErrorCode, Refused
from protocol.limits import (
    CHANNEL_MESSAGE_LIMIT_BYTES,
    INPUT_EVENTS_PER_MESSAGE_LIMIT,
    RATING_COMMENT_LIMIT_CHARS,
    REASON_LIMIT_CHARS,
    TICKET_NUMBER_LIMIT_CHARS,
)
from protocol.messages.diagnostics import Display
from protocol.messages.input import Event
from protocol.messages.presence import ShortText
from protocol.messages.screen import FromTechnician
from protocol.private_windows import UnitedPrivateWindows

WORKER_TICKET_BYTES = 32
ORDER_LIMIT_BYTES = CHANNEL_MESSAGE_LIMIT_BYTES + (4 << 10)  # a whole message of a channel, and whose it is
WorkerTicket = Annotated[bytes, Meta(min_length=WORKER_TICKET_BYTES, max_length=WORKER_TICKET_BYTES)]
VISITS_LIMIT = 20
VISIT_COMMANDS_LIMIT = 8
FINDINGS_LIMIT = 100
Grantables = Annotated[list[ShortText], Meta(max_length=32)]


class DesktopHello(Message, frozen=True, tag="ipc.desktop_hello"):
    """Desktop process to service, first. `os_session` names the seat, for example "x11:99" for :99."""

    version: int
    os_session: ShortText
    user: ShortText
    pid: int


class WorkerHello(Message, frozen=True, tag="ipc.worker_hello"):
    """Screen worker to service, first; the ticket is the one of `StartScreen` and works once."""

    session_id: ShortText
    ticket: WorkerTicket


class StatusAsked(Message, frozen=True, tag="ipc.status_asked"):
    """Command line to service."""


class LeaveOrdered(Message, frozen=True, tag="ipc.leave_ordered"):
    """Command line to service: end every session and forget the organisation."""


class ListsChanged(Message, frozen=True, tag="ipc.lists_changed"):
    """Command line to service: the person's list of private windows was changed; read it."""


class StandingAsked(Message, frozen=True, tag="ipc.standing_asked"):
    """Command line to service: what was allowed beforehand."""


class StandingRevoked(Message, frozen=True, tag="ipc.standing_revoked"):
    """Command line to service: take this back ("all": everything); sessions that rest on it lose it now."""

    standing_id: ShortText


class VisitsAsked(Message, frozen=True, tag="ipc.visits_asked"):
    """Person's window to service: who was here?"""


class Visit(Message, frozen=True, tag="ipc.visit"):
    """One session, from the device's own log. `name` is "" when nobody could tell who it was.

    `cause` is "" while it lives. `acts` are of "screen", "input" and "diagnostics": what was really done
    beside the commands, of which the first are in `commands`, each with its outcome. `receipt`: who
    signed one, "both", "device" or "" for nobody.
    """

    session_id: ShortText
    technician_id: ShortText
    name: ShortText
    started_at_utc: ShortText
    length_s: Finite
    grantables: Grantables
    acts: Annotated[list[ShortText], Meta(max_length=8)]
    commands: Annotated[list[ShortText], Meta(max_length=VISIT_COMMANDS_LIMIT)]
    commands_count: int
    cause: ShortText
    receipt: ShortText = ""


class VisitList(Message, frozen=True, tag="ipc.visit_list"):
    """Service to the person's window: the newest first."""

    visits: Annotated[list[Visit], Meta(max_length=VISITS_LIMIT)]


class CheckAsked(Message, frozen=True, tag="ipc.check_asked"):
    """Person's window to service: how is this computer?"""


class FindingRow(Message, frozen=True, tag="ipc.finding"):
    """One finding; `severity` is "bad", "warn" or "ok", `facts` are what its sentence names."""

    name: ShortText
    severity: ShortText
    facts: Annotated[dict[ShortText, Annotated[str, Meta(max_length=512)]], Meta(max_length=8)]


class FindingList(Message, frozen=True, tag="ipc.finding_list"):
    """Service to the person's window: the worst first."""

    findings: Annotated[list[FindingRow], Meta(max_length=FINDINGS_LIMIT)]


class ShowCard(Message, frozen=True, tag="ipc.show_card"):
    """Service to desktop: a session is over; `may_rate` when its technician was verified."""

    visit: Visit
    may_rate: bool


class RatingGiven(Message, frozen=True, tag="ipc.rating_given"):
    """Person's window to service: what the person thought of a session that is over."""

    session_id: ShortText
    is_good: bool
    comment: Annotated[str, Meta(max_length=RATING_COMMENT_LIMIT_CHARS)]


class RatingKept(Message, frozen=True, tag="ipc.rating_kept"):
    """Service to the person's window: the technician gets it in the next session."""


class HelpAsked(Message, frozen=True, tag="ipc.help_asked"):
    """Command line to service: show a support code; it is void once this connection is closed."""


class HelpCode(Message, frozen=True, tag="ipc.help_code"):
    """Service to command line: the code in groups of three, to be shown to the person and nobody else."""

    code: ShortText
    expires_in_s: Finite


class HelpOutcome(StrEnum):
    """What came of a code that was shown."""

    TECHNICIAN = "technician"
    WRONG = "wrong"
    EXPIRED = "expired"


class HelpNews(Message, frozen=True, tag="ipc.help_news"):
    """Service to command line: the code is used up. `outcome` is "technician", "wrong" or "expired".

    With "technician" the others say who is there; `technician_name` is "" when nobody can tell, and
    `readback` has the digits that the technician sees too.
    """

    outcome: HelpOutcome
    session_id: ShortText = ""
    technician_name: ShortText = ""
    organisation_name: ShortText = ""
    readback: ShortText = ""


class SessionStatus(Message, frozen=True, tag="ipc.session_status"):
    """One live session, as `status` shows it; `readback` has the digits that the technician sees too."""

    session_id: ShortText
    technician: ShortText
    grantables: Grantables
    remaining_s: Finite
    readback: ShortText = ""


class Status(Message, frozen=True, tag="ipc.status"):
    """Service to command line. `link` is "connected", "connecting" or "refused"; `link_code` says why.

    `policy_alarm` is "" or E_POLICY_EQUIVOCATION. `paused_s`: for how long a pause of the person, or
    of everybody, still lasts. `paused_users`: others' own, for the service's own user and root.
    `exec_socket`: where systemd starts a unit for each command; "": the agent starts them itself.
    """

    device_id: ShortText
    organisation_id: str
    organisation_name: ShortText
    group: ShortText
    relay_url: str
    link: ShortText
    link_code: ShortText
    policy_version: int
    has_desktop: bool
    sessions: list[SessionStatus]
    policy_alarm: ShortText = ""
    paused_s: Finite = 0.0
    paused_users: tuple[UserPaused, ...] = ()
    exec_socket: str = ""


class Left(Message, frozen=True, tag="ipc.left"):
    """Service to command line: the organisation is forgotten; the service ends."""


class ListsTaken(Message, frozen=True, tag="ipc.lists_taken"):
    """Service to command line: every screen worker is being told the lists as they are now."""


class StandingRow(Message, frozen=True, tag="ipc.standing_row"):
    """One permission that was given beforehand; `whom` is a technician's id, or "group:" and a group."""

    standing_id: ShortText
    whom: ShortText
    name: ShortText
    grantable: ShortText
    left_s: Finite


class StandingList(Message, frozen=True, tag="ipc.standing_list"):
    """Service to command line: what holds; as an answer to `StandingRevoked`, what was taken back."""

    standing: list[StandingRow]


class ShowPrompt(Message, frozen=True, tag="ipc.show_prompt"):
    """Service to desktop: ask the person. Every text went through `protocol.names` already.

    `organisation_name` "" means that nobody can tell who asks. `may_stand`: the person may allow it for the
    next time too. `readback` has the digits that the technician sees too.
    """

    prompt_no: int
    session_id: ShortText
    organisation_name: ShortText
    technician_name: ShortText
    technician_id: ShortText
    grantables: Grantables
    reason: Annotated[str, Meta(max_length=REASON_LIMIT_CHARS)]
    ticket_number: Annotated[str, Meta(max_length=TICKET_NUMBER_LIMIT_CHARS)]
    length_s: int
    timeout_s: Finite
    may_stand: bool = False
    readback: ShortText = ""


class CancelPrompt(Message, frozen=True, tag="ipc.cancel_prompt"):
    """Service to desktop: the question is moot (the technician left); close without an answer."""

    prompt_no: int


class PromptAnswered(Message, frozen=True, tag="ipc.prompt_answered"):
    """Desktop to service. `allowed` empty is a refusal; `code` is "" or E_CONSENT_DENIED, _TIMEOUT, _BLOCKED
    or E_READBACK_MISMATCH.

    `text_sha256` is over the text that the person saw, in the language `locale`; `took_s` from shown to
    answered. `standing` is "", or whom the person allows it for the next time too: "technician" or "group".
    `is_matched`: the person compared the four digits, and they matched.
    """

    prompt_no: int
    allowed: Grantables
    code: ShortText
    text_sha256: ShortText
    took_s: Finite
    locale: ShortText = "en"
    standing: ShortText = ""
    is_matched: bool = False


class ShowIndicator(Message, frozen=True, tag="ipc.show_indicator"):
    """Service to desktop: a session lives; sent again whenever its grants change."""

    session_id: ShortText
    technician_name: ShortText
    organisation_name: ShortText
    grantables: Grantables
    remaining_s: Finite
    is_unattended: bool
    is_standing: bool = False
    show_no: int = 0


class IndicatorShown(Message, frozen=True, tag="ipc.indicator_shown"):
    """Desktop to service: it is mapped and on top, with the words of that order. No grant acts before."""

    session_id: ShortText
    show_no: int = 0


class HideIndicator(Message, frozen=True, tag="ipc.hide_indicator"):
    """Service to desktop: this session is over."""

    session_id: ShortText


class StopPressed(Message, frozen=True, tag="ipc.stop_pressed"):
    """Desktop to service: the person pressed Stop; capture and input have ended already.

    `is_mismatch`: because the four digits did not match.
    """

    session_id: ShortText
    is_mismatch: bool = False


class StartScreen(Message, frozen=True, tag="ipc.start_screen"):
    """Service to desktop: start a screen worker for this session; `source` is "auto" or a source's name.

    `private_windows` are painted over in its pictures, or there are none. `start_no` is this start's own.
    """

    session_id: ShortText
    ticket: WorkerTicket
    source: ShortText
    private_windows: UnitedPrivateWindows = msgspec.field(default_factory=list)
    start_no: int = 0


class CoverWindows(Message, frozen=True, tag="ipc.cover_windows"):
    """Service to screen worker: these are painted over from now on, and no others."""

    private_windows: UnitedPrivateWindows


class StopScreen(Message, frozen=True, tag="ipc.stop_screen"):
    """Service to desktop: kill this session's screen worker."""

    session_id: ShortText


class ScreenEnded(Message, frozen=True, tag="ipc.screen_ended"):
    """Desktop to service: the worker of this start is gone, or could not start; `detail` is for the log."""

    session_id: ShortText
    code: ShortText
    detail: Annotated[str, Meta(max_length=512)]
    start_no: int = 0


class AllowInput(Message, frozen=True, tag="ipc.allow_input"):
    """Service to desktop: events of this session may act from now on."""

    session_id: ShortText


class InputAllowed(Message, frozen=True, tag="ipc.input_allowed"):
    """Desktop to service: answer to `AllowInput`; `code` is "" or E_INPUT_NONE.

    `is_active`: they act already.
    """

    session_id: ShortText
    code: ShortText
    is_active: bool = True


class InputActs(Message, frozen=True, tag="ipc.input_acts"):
    """Desktop to service: from now on events of this session act, or, around a prompt, they do not."""

    session_id: ShortText
    is_active: bool


class Inject(Message, frozen=True, tag="ipc.inject"):
    """Service to desktop: events in order; dropped while a prompt is open or without `AllowInput`."""

    session_id: ShortText
    display_index: int
    events: list[Event]


class InputHeldBack(Message, frozen=True, tag="ipc.input_held_back"):
    """Desktop to service: so many events did not act, as the person is asked something, or is at it."""

    session_id: ShortText
    events: Annotated[int, Meta(ge=1, le=INPUT_EVENTS_PER_MESSAGE_LIMIT)]


class EndInput(Message, frozen=True, tag="ipc.end_input"):
    """Service to desktop: no further events of this session; everything that is down goes up."""

    session_id: ShortText


class ReleaseInput(Message, frozen=True, tag="ipc.release_input"):
    """Service to desktop: everything that is down goes up; further events may come."""

    session_id: ShortText


InputOrder: TypeAlias = AllowInput | Inject | EndInput | ReleaseInput
InputNews: TypeAlias = InputAllowed | InputActs | InputHeldBack


class ReadDisplays(Message, frozen=True, tag="ipc.read_displays"):
    """Service to desktop, for diagnostics."""

    request_no: int


class DisplaysRead(Message, frozen=True, tag="ipc.displays_read"):
    """Desktop to service; `failure` is "" or plain text."""

    request_no: int
    displays: list[Display]
    failure: str


class IpcRefused(Message, frozen=True, tag="ipc.refused"):
    """Service: this connection is refused, for example because another desktop process is connected."""

    code: ShortText

    def refusal(self) -> Refused:
        """What to raise for it; a code that this version does not know becomes E_PROTOCOL."""
        try:
            code = ErrorCode(self.code)
        except ValueError:
            code = ErrorCode.E_PROTOCOL
        return Refused("said by the service", code=code)


Hello: TypeAlias = (
    DesktopHello
    | WorkerHello
    | StatusAsked
    | UpdateAsked
    | LeaveOrdered
    | ListsChanged
    | StandingAsked
    | StandingRevoked
    | PauseOrdered
    | ResumeOrdered
    | BlocksAsked
    | BlockLifted
    | VisitsAsked
    | CheckAsked
    | RatingGiven
    | HelpAsked
)
FromDesktop: TypeAlias = (
    PromptAnswered | IndicatorShown | StopPressed | ScreenEnded | InputNews | DisplaysRead
)
ToDesktop: TypeAlias = (
    ShowPrompt
    | CancelPrompt
    | ShowIndicator
    | HideIndicator
    | StartScreen
    | StopScreen
    | InputOrder
    | ReadDisplays
    | ShowCard
    | IpcRefused
)
ToWorker: TypeAlias = FromTechnician | CoverWindows
ToCommandLine: TypeAlias = (
    Status
    | UpdateAnswer
    | Left
    | ListsTaken
    | StandingList
    | Paused
    | BlockList
    | VisitList
    | FindingList
    | RatingKept
    | HelpCode
    | HelpNews
    | IpcRefused
)

HELLO_CODEC: Codec[Hello] = Codec(Hello, 4096)
FROM_DESKTOP_CODEC: Codec[FromDesktop] = Codec(FromDesktop, CHANNEL_MESSAGE_LIMIT_BYTES)
TO_DESKTOP_CODEC: Codec[ToDesktop] = Codec(ToDesktop, ORDER_LIMIT_BYTES)
TO_WORKER_CODEC: Codec[ToWorker] = Codec(ToWorker, ORDER_LIMIT_BYTES)
TO_COMMAND_LINE_CODEC: Codec[ToCommandLine] = Codec(ToCommandLine, CHANNEL_MESSAGE_LIMIT_BYTES)
