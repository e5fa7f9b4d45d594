"""Pictures from the `screen` channel to the page, acknowledgements and corrections back."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import structlog

from protocol.aio.first_of import first_of
from protocol.errors import ErrorCode, PeerViolation
from protocol.messages.screen import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    BandProof,
    Behind,
    CursorMoved,
    CursorShape,
    Decodes,
    Displays,
    Follow,
    FromAgent,
    FromTechnician,
    KeyframeWanted,
    PicturePart,
    PictureSeen,
    ProofFailed,
    Refresh,
    RestartSeen,
    ScreenFailed,
    ScreenRefused,
    ScreenRestarted,
    ScrollCopies,
    ShowAll,
    ShowDisplay,
    VideoEnded,
    VideoFrame,
)
from protocol.names import shown_name
from technician_client.capabilities.screen import PictureOrder
from technician_client.console.backend import Channel
from technician_client.console.page import Page
from technician_client.console.page_messages import (
    SayCursorMoved,
    SayDisplay,
    SayDisplays,
    SayProblem,
    SayScreenRestarted,
    problem,
)
from technician_client.console.picture_age import PictureAge
from technician_client.console.picture_wire import (
    Shown,
    pack_copies,
    pack_cursor,
    pack_part,
    pack_proof,
    pack_video,
    pack_video_ended,
)
from technician_client.refusals import refusal

# pictures that the page has not painted yet; above it nothing more is read, so that the agent's credit runs
# out and a slow page costs no memory
UNSEEN_LIMIT = 4
# streams that the page could not decode, without a painted picture in between
DAMAGED_LIMIT = 3
_PROOFS_KEPT = 16

PictureMessage: TypeAlias = PicturePart | ScrollCopies | BandProof | VideoFrame | VideoEnded

log = structlog.get_logger(__name__)


class PictureFeed:
    """Serves one screen channel. `clock_offset_ms` is the agent's monotonic clock minus ours, None while it
    is not known, read anew for each picture. `stir` is called while pictures come."""

    def __init__(
        self,
        channel: Channel,
        page: Page,
        clock_offset_ms: Callable[[], float | None],
        stir: Callable[[], None] = lambda: None,
    ) -> None:
        self._channel = channel
        self._page = page
        self._order = PictureOrder()
        self._age = PictureAge(clock_offset_ms, _now_s())
        self._stir = stir
        self._unseen: deque[tuple[int, int]] = deque()
        self._seen_picture_nos: deque[int] = deque()
        self._proofs: deque[tuple[int, int, int]] = deque(maxlen=_PROOFS_KEPT)
        self._wishes: deque[FromTechnician] = deque(maxlen=8)
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._has_work = asyncio.Event()
        self._sequence = 0
        self._picture_no = 0
        self._awaits_reset = False
        self._damaged_in_a_row = 0
        self._codecs: list[str] = []
        self._shown: ShowDisplay | ShowAll | Follow | None = None
        self._owes_restart_seen = False
        self.received_bytes = 0

    async def serve(self) -> None:
        """Run until the channel is over (ChannelEnded), the page left or the agent broke the protocol."""
        await first_of(self._receive(), self._answer())

    def seen(self, sequence: int) -> None:
        """The page painted this picture, and with it those before it."""
        self._damaged_in_a_row = 0
        self._age.painted(sequence, _now_s())
        while self._unseen and self._unseen[0][0] <= sequence:
            self._seen_picture_nos.append(self._unseen.popleft()[1])
            self._has_work.set()
        if len(self._unseen) < UNSEEN_LIMIT:
            self._has_room.set()

    def late_s(self, silence_s: float) -> float:
        """See `PictureAge.late_s`."""
        return self._age.late_s(_now_s(), silence_s)

    def refresh(self) -> None:
        """Ask for everything anew."""
        self._wish(Refresh())

    def damaged(self) -> None:
        """The page could not decode a part: what is under way is of no use, ask for everything anew.

        Raises:
            PeerViolation: that was tried too often already.
        """
        self._damaged_in_a_row += 1
        log.warning("console.picture_damaged", in_a_row=self._damaged_in_a_row)
        if self._damaged_in_a_row >= DAMAGED_LIMIT:
            raise PeerViolation("pictures that cannot be decoded", code=ErrorCode.E_MESSAGE_FORMAT)
        self._awaits_reset = True
        self._unseen.clear()
        self._age.forget_unpainted()
        self._has_room.set()
        self._wish(Refresh())

    def proof_failed(self, sequence: int, y: int) -> None:
        """The page has other rows than this proof says; the agent then sends everything anew."""
        for proven, top, picture_no in self._proofs:
            if (proven, top) == (sequence, y):
                log.warning("console.picture_corrected", picture_no=picture_no, y=y)
                self._wish(ProofFailed(picture_no, y))
                return

    def decodes(self, codecs: list[str]) -> None:
        """What the page can decode."""
        self._codecs = codecs
        self._order.decodes(codecs)
        self._wish(Decodes(codecs))

    def ask_for_key(self, region_no: int) -> None:
        """The page needs a keyframe of this region."""
        self._wish(KeyframeWanted(region_no))

    def show(self, wish: ShowDisplay | ShowAll | Follow) -> None:
        """Ask for another display, all of them, or the one with the pointer."""
        self._shown = wish
        self._wish(wish)

    def _wish(self, wish: FromTechnician) -> None:
        self._wishes.append(wish)
        self._has_work.set()

    async def _receive(self) -> None:
        while True:
            await self._has_room.wait()
            message = await self._channel.receive()
            self.received_bytes += len(message)
            await self._pass_on(FROM_AGENT_CODEC.decode(message))

    async def _answer(self) -> None:
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            while (answer := self._next_answer()) is not None:
                await self._channel.send(FROM_TECHNICIAN_CODEC.encode(answer))

    def _next_answer(self) -> FromTechnician | None:
        if self._owes_restart_seen:  # before anything that is about the new worker
            self._owes_restart_seen = False
            return RestartSeen()
        if self._seen_picture_nos:
            return PictureSeen(self._seen_picture_nos.popleft())
        return self._wishes.popleft() if self._wishes else None

    async def _pass_on(self, message: FromAgent) -> None:
        match message:
            case PicturePart() | ScrollCopies() | BandProof() | VideoFrame() | VideoEnded():
                await self._picture(message)
            case CursorMoved():
                await self._page.say(SayCursorMoved(message.x, message.y))
            case CursorShape():
                await self._page.show(pack_cursor(message))
            case Displays():
                await self._page.say(_displays(message))
            case ScreenRestarted():
                await self._restarted()
            case ScreenRefused():
                await self._page.say(SayProblem("screen.refused", problem(message.code)))
            case Behind():
                self._age.behind(message.since_ms, _now_s())
            case ScreenFailed():
                raise refusal(message.code, "said by the screen worker")

    async def _restarted(self) -> None:
        """Nothing of the worker before counts any more; the new one is told what it has to know."""
        self._order.restarted()
        self._unseen.clear()
        self._age.forget_unpainted()
        self._age.behind(0, _now_s())
        self._seen_picture_nos.clear()
        self._proofs.clear()
        self._wishes.clear()
        self._awaits_reset = False
        self._picture_no = 0
        self._has_room.set()
        self._owes_restart_seen = True
        self._has_work.set()
        if self._codecs:
            self._wish(Decodes(self._codecs))
        if self._shown is not None:
            self._wish(self._shown)
        log.warning("console.screen_restarted")
        await self._page.say(SayScreenRestarted())

    async def _picture(self, message: PictureMessage) -> None:
        packed = self._packed(message)
        if isinstance(message, PicturePart) and message.is_reset:
            self._awaits_reset = False
        if self._awaits_reset:
            return
        if isinstance(message, PicturePart) and message.is_last:
            self._unseen.append((self._sequence, message.picture_no))
            self._age.handed_over(self._sequence, message.captured_at_ms, _now_s())
            self._stir()
            if len(self._unseen) >= UNSEEN_LIMIT:
                self._has_room.clear()
        await self._page.show(packed)

    def _packed(self, message: PictureMessage) -> bytes:
        match message:
            case PicturePart():
                self._order.part(message)
                return pack_part(Shown(self._number(message.picture_no), self._captured_at(message)), message)
            case ScrollCopies():
                self._order.copies(message)
                return pack_copies(self._number(message.picture_no), message)
            case BandProof():
                self._order.proof(message)
                self._proofs.append((self._sequence, message.y, message.picture_no))
                return pack_proof(self._sequence, message)
            case VideoFrame():
                self._order.video(message)
                return pack_video(self._number(message.picture_no), message)
            case VideoEnded():
                self._order.video_ended(message)
                return pack_video_ended(self._number(message.picture_no), message)

    def _number(self, picture_no: int) -> int:
        if picture_no != self._picture_no:
            self._picture_no = picture_no
            self._sequence += 1
        return self._sequence

    def _captured_at(self, part: PicturePart) -> float | None:
        age_s = self._age.age_s(part.captured_at_ms, _now_s())
        return None if age_s is None else (time.time() - age_s) * 1000


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _displays(message: Displays) -> SayDisplays:
    displays = [SayDisplay(display.index, display.width, display.height) for display in message.displays]
    return SayDisplays(displays, message.shown_index, message.mode, shown_name(message.source))
