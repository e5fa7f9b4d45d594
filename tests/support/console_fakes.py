"""A technician's program that is not there: `FakeConsoleApp` with scripted devices, for the console's pages.

Run it by hand with `python -m tests.support.console_fakes` and open the address that it prints.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import protocol
from protocol.catalogue import Catalogue
from protocol.consent import first_to_ask
from protocol.errors import ErrorCode, NotGranted, SupportError, Unreachable
from protocol.grantables import Grantable
from protocol.ids import DeviceId, new_grant_id, new_session_id
from protocol.messages import commands, diagnostics
from protocol.messages import input as input_messages
from protocol.messages.consent import AskAnswer, AskPending, GivenGrant, GrantEnded
from protocol.messages.presence import DeviceRow
from protocol.messages.session import Ready
from technician_client.console.backend import LinkState, Myself, PresenceNews
from technician_client.notices import SessionNotice, SessionOver
from technician_client.session_audit import SessionAudit
from tests.support.audit_sink import RecordingSink
from tests.support.fake_screen import FakeChannel, FakeScreen, Pixels, colour_card

DESK = DeviceId("d-aaaaaaaaaaaaaaaaaaaa")
HOSTILE = DeviceId("d-bbbbbbbbbbbbbbbbbbbb")
AWAY = DeviceId("d-cccccccccccccccccccc")
HOSTILE_NAME = '<img src=x onerror="alert(1)"> \u202eexe.doc 👩‍💻'


def device_row(device_id: str, name: str, **changes: object) -> DeviceRow:
    """A present device of the group "desks", unless the changes say otherwise."""
    row = DeviceRow(
        device_id,
        name,
        "desks",
        "Debian 12",
        "approved",
        True,
        "2026-11-01T08:00:00Z",
        "2026-11-21T22:10:00Z",
    )
    return msgspec.structs.replace(row, **changes)


@dataclass
class Script:
    """How the device and its person behave."""

    consent: str = "ask"
    name: str = "Reception desk"
    offers: list[str] = field(default_factory=lambda: [str(grantable) for grantable in Grantable])
    picture: Pixels = field(default_factory=lambda: colour_card(1280, 720))
    refused: dict[str, str] = field(default_factory=dict)  # grantable → code
    answer_after_s: float = 0.0
    is_input_late: bool = False  # `input_acts` has to be called
    snapshot: diagnostics.Snapshot | None = None
    output: bytes = b""


class FakeSession:
    """A session whose other end is a `Script`."""

    def __init__(self, device_id: DeviceId, script: Script) -> None:
        self.session_id = new_session_id()
        self.device_id = device_id
        self.script = script
        self.ready = Ready(1, self.session_id, script.name, "Example Org", script.consent, script.offers)
        self.group_name = "X25519MLKEM768"
        self.readback = "0417"
        self.why_over = ""
        self.ratings_taken: list[str] = []
        self.is_verified = True
        self.clock_offset_ms: float | None = 0.0
        self.round_trip_ms: float | None = 4.2
        self.silent_s = 0.0
        self.stirs = 0
        self.notices: asyncio.Queue[SessionNotice] = asyncio.Queue()
        self.sink = RecordingSink()
        self.audit = SessionAudit(self.sink, actor="ada", device_id=device_id, session_id=self.session_id)
        self.asked: list[dict[str, object]] = []
        self.channels: dict[Grantable, FakeChannel] = {}
        self.screen: FakeScreen | None = None
        self.ended_with: list[str] = []
        self.was_ended = asyncio.Event()
        self._held: dict[Grantable, GivenGrant] = {}

    def silence_s(self) -> float:
        """As the test says."""
        return self.silent_s

    async def take_rating(self, session_id: str) -> None:
        """See `TechnicianSession`."""
        self.ratings_taken.append(session_id)

    def stir(self) -> None:
        """Counts."""
        self.stirs += 1

    async def ask(
        self,
        grantables: Iterable[Grantable],
        *,
        reason: str = "",
        ticket_number: str = "",
        length_s: int = 1800,
    ) -> AskAnswer:
        """Answers as the script says."""
        wished = list(grantables)
        self.asked.append({"grantables": wished, "reason": reason, "ticket_number": ticket_number})
        later = self._heard_later(wished)
        self.notices.put_nowait(AskPending(len(self.asked), 300.0))
        await asyncio.sleep(self.script.answer_after_s)
        granted = [
            GivenGrant(new_grant_id(), grantable, float(length_s))
            for grantable in wished
            if grantable not in self.script.refused and grantable not in later
        ]
        self._held |= {Grantable(grant.grantable): grant for grant in granted}
        refused = {
            grantable: self.script.refused[grantable]
            for grantable in wished
            if grantable in self.script.refused
        } | dict.fromkeys(later, ErrorCode.E_CONSENT_LATER.value)
        return AskAnswer(len(self.asked), granted, refused)

    def _heard_later(self, wished: list[Grantable]) -> set[Grantable]:
        """As an agent whose person is asked: one thing at a time."""
        if self.script.consent != "ask":
            return set()
        return set(wished) - {first_to_ask(frozenset(wished), frozenset(self._held))}

    async def open_channel(self, grantable: Grantable) -> FakeChannel:
        """A channel with the script at its other end."""
        if grantable not in self._held:
            raise NotGranted(grantable)
        channel = FakeChannel()
        self.channels[grantable] = channel
        match grantable:
            case Grantable.SCREEN_VIEW:
                self.screen = FakeScreen(channel)
                height, width = self.script.picture.shape[:2]
                self.screen.describe(width, height)
                self.screen.show(self.script.picture)
            case Grantable.DIAGNOSTICS_READ:
                channel.on_message = lambda message: self._snapshot(channel, message)
            case Grantable.COMMANDS_RUN:
                channel.on_message = lambda message: self._command(channel, message)
            case Grantable.INPUT_CONTROL:
                if not self.script.is_input_late:
                    self.input_acts()
        return channel

    def input_acts(self, code: str = "") -> None:
        """The device says that events act, or why they do not."""
        state = input_messages.InputState(not code, code)
        self.channels[Grantable.INPUT_CONTROL].to_page(input_messages.FROM_AGENT_CODEC.encode(state))

    def held(self) -> Mapping[Grantable, GivenGrant]:
        """What was granted."""
        return dict(self._held)

    async def end(self, cause: str = "technician_left") -> None:
        """Remember why."""
        self.ended_with.append(cause)
        self.was_ended.set()

    def stop(self, code: ErrorCode = ErrorCode.E_SESSION_STOPPED) -> None:
        """The person presses Stop, or the session ends for another reason."""
        self.notices.put_nowait(SessionOver(code))

    def end_grant(self, grantable: Grantable, code: ErrorCode = ErrorCode.E_GRANT_ENDED) -> None:
        """One permission ends."""
        grant = self._held.pop(grantable)
        self.channels[grantable].finish(code)
        self.notices.put_nowait(GrantEnded(grant.grant_id, grantable, code))

    def events(self) -> list[input_messages.Event]:
        """Every input event that arrived, in order."""
        decoded = [
            input_messages.FROM_TECHNICIAN_CODEC.decode(message)
            for message in self.channels[Grantable.INPUT_CONTROL].sent
        ]
        return [
            event for one in decoded if isinstance(one, input_messages.InputEvents) for event in one.events
        ]

    def _snapshot(self, channel: FakeChannel, message: bytes) -> None:
        request = diagnostics.FROM_TECHNICIAN_CODEC.decode(message)
        snapshot = msgspec.structs.replace(
            self.script.snapshot or sample_snapshot(), request_no=request.request_no
        )
        channel.to_page(diagnostics.FROM_AGENT_CODEC.encode(snapshot))

    def _command(self, channel: FakeChannel, message: bytes) -> None:
        order = commands.FROM_TECHNICIAN_CODEC.decode(message)
        if isinstance(order, commands.CancelCommand):
            answers: list[commands.FromAgent] = [
                commands.CommandEnded(order.request_id, -1, False, 0.5, "E_COMMAND_TIMEOUT")
            ]
        else:
            request_id = order.request_id
            answers = [
                commands.CommandStarted(request_id, ["/usr/bin/df", "-h"]),
                commands.CommandOutput(request_id, "stdout", self.script.output or SAMPLE_OUTPUT),
                commands.CommandEnded(request_id, 0, False, 0.02, ""),
            ]
        for answer in answers:
            channel.to_page(commands.FROM_AGENT_CODEC.encode(answer))


class FakeConsoleApp:
    """Everything the console asks of the technician's program."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.sessions: list[FakeSession] = []
        self.link = LinkState(True, "https://relay.example.org")
        self.refusal: SupportError | None = None
        self.rows = {
            row.device_id: row
            for row in (
                device_row(DESK, self.script.name),
                device_row(HOSTILE, HOSTILE_NAME, group="<b>g</b>", platform="${7*7}"),
                device_row(AWAY, "Warehouse till", is_present=False, last_seen_at_utc="2026-11-19T22:10:00Z"),
            )
        }
        self._queues: set[asyncio.Queue[PresenceNews]] = set()

    def myself(self) -> Myself:
        """Ada."""
        return Myself("Ada Lovelace", "ada", "Example Org", "0" * 64, 6.5)

    def link_state(self) -> LinkState:
        """As `tell` last said."""
        return self.link

    async def devices(self) -> list[DeviceRow]:
        """The scripted rows, or the scripted refusal."""
        if self.refusal is not None:
            raise self.refusal
        return list(self.rows.values())

    @contextmanager
    def watch(self) -> Iterator[asyncio.Queue[PresenceNews]]:
        """A queue of what `tell` says."""
        queue: asyncio.Queue[PresenceNews] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    def tell(self, news: PresenceNews) -> None:
        """Something changed."""
        if isinstance(news, LinkState):
            self.link = news
        else:
            self.rows[news.device_id] = news
        for queue in self._queues:
            queue.put_nowait(news)

    def catalogue(self) -> Catalogue:
        """The one that is shipped."""
        shipped = Path(protocol.__file__).parent / "default_catalogue.json"
        return msgspec.json.decode(shipped.read_bytes(), type=Catalogue)

    async def open_session(self, device_id: DeviceId) -> FakeSession:
        """A session with the script."""
        if device_id not in self.rows or not self.rows[device_id].is_present:
            raise Unreachable("fake", code=ErrorCode.E_DEVICE_AWAY)
        session = FakeSession(device_id, self.script)
        self.sessions.append(session)
        return session


SAMPLE_OUTPUT = (
    b"Filesystem      Size  Used Avail Use% Mounted on\n"
    b"/dev/nvme0n1p2  468G  211G  233G  48% /\n"
    b"tmpfs           7.8G  1.2M  7.8G   1% /run\n"
    b"/dev/nvme0n1p1  511M  6.1M  505M   2% /boot/efi\n"
)


def sample_snapshot(hostname: str = "reception-01") -> diagnostics.Snapshot:
    """A plausible device with one source that failed."""
    gib = 1 << 30
    names = ("firefox-esr", "Xorg", "soffice.bin", "gnome-shell", "alongside-agent")
    return diagnostics.Snapshot(
        request_no=1,
        took_s=0.31,
        system=diagnostics.System(
            hostname,
            "Debian GNU/Linux",
            "12 (bookworm)",
            "6.1.0-26-amd64",
            "x86_64",
            "2026-11-15T07:02:11Z",
            573_000.0,
            "2026-11-21T22:12:00Z",
        ),
        cpu=diagnostics.Cpu("Intel Core i5-1135G7 @ 2.40GHz", 4, 8, 23.4, 0.81, 0.66, 0.59),
        memory=diagnostics.Memory(16 * gib, 3 * gib, 4 * gib, 1 * gib),
        disks=[
            diagnostics.Disk("/", "/dev/nvme0n1p2", "ext4", 468 * gib, 233 * gib),
            diagnostics.Disk("/home", "/dev/nvme0n1p3", "ext4", 200 * gib, 9 * gib),
        ],
        interfaces=[
            diagnostics.NetworkInterface(
                "eth0", True, 1000, ["192.0.2.17", "2001:db8::17"], 3 * gib, 21 * gib
            ),
            diagnostics.NetworkInterface("wlan0", False, 0, [], 0, 0),
        ],
        processes=[
            diagnostics.Process(1200 + index, name, "maria", 21.0 / (index + 1), (900 - 150 * index) << 20)
            for index, name in enumerate(names)
        ],
        logins=[diagnostics.LogIn("maria", "tty2", "", "2026-11-21T07:58:00Z")],
        displays=[diagnostics.Display("DP-1", 0, 0, 1920, 1080)],
        failures=[diagnostics.SourceFailed("temperatures", "no sensors were found")],
    )


async def _serve_by_hand() -> None:
    from technician_client.console.server import ConsoleOptions, run_console

    app = FakeConsoleApp(Script(answer_after_s=2.0))
    await run_console(app, ConsoleOptions(on_ready=print))


if __name__ == "__main__":
    asyncio.run(_serve_by_hand())
