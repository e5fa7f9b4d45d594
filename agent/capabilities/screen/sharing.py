"""One viewer's share of the screen: what to send, and when (the clock and the socket are the caller's)."""

from __future__ import annotations

from collections.abc import Callable

from agent.capabilities.screen.behind import BehindNews
from agent.capabilities.screen.displays import ShownDisplays
from agent.capabilities.screen.pacing import CURSOR_CHECK_INTERVAL_S, PICTURE_INTERVAL_S, LookPace
from agent.capabilities.screen.pictures import PictureMaker, PictureMessage
from agent.capabilities.screen.rate import Decision, RateControl
from agent.platform.interfaces import NO_CURSOR, Area, Cursor, CursorImage, ScreenSource
from protocol.errors import ErrorCode
from protocol.limits import DISPLAY_SIDE_LIMIT_PIXELS
from protocol.messages.screen import (
    CursorMoved,
    CursorShape,
    Decodes,
    DisplayFacts,
    Displays,
    Follow,
    FromAgent,
    FromTechnician,
    KeyframeWanted,
    PicturePart,
    PictureSeen,
    ProofFailed,
    Refresh,
    ScreenRefused,
    ShowAll,
    ShowDisplay,
    VideoFrame,
)

OFFSET_LIMIT = DISPLAY_SIDE_LIMIT_PIXELS * 4
MESSAGE_BYTES, RECTANGLE_BYTES = 120, 12
"""What a message and a rectangle in it cost on the wire besides their content, about."""


class ScreenShare:
    """Feed it the viewer's messages and the time; send what it returns, in order.

    `advance` is to be called whenever `wake_at_s` is reached, the source's `wake_fd` is readable (watched
    only while `watches_source`), the viewer sent something, or the socket has room again.
    """

    def __init__(self, source: ScreenSource, made_s: Callable[[float], float] = lambda now_s: now_s) -> None:
        """`made_s` says the time when a picture has been made that was begun at the given one.

        What it took to make is no time on the link.
        """
        self._source = source
        self._made_s = made_s
        self._shown = ShownDisplays(source.displays())
        self._refused: list[FromAgent] = []
        area = self._shown.area
        self._maker = PictureMaker(area.width, area.height)
        self._can_wake = source.wake_fd is not None
        self._pace = LookPace(can_wake=self._can_wake)
        self.rate = RateControl()
        self._asked_at_s = -1.0
        self._picture_at_s = self._frame_at_s = 0.0
        self._cursor_check_at_s = 0.0
        self.heals = 0
        self._behind = BehindNews()
        self._start_over()

    def show(self, source: ScreenSource) -> None:
        """Go on with another source of the same displays; all of them may have changed."""
        self._source = source
        self._maker.damage([Area(0, 0, self._maker.width, self._maker.height)])

    def watches_source(self, now_s: float) -> bool:
        """Whether the source may wake us now."""
        return self._pace.may_wake(now_s)

    def wake_at_s(self) -> float:
        """When to call `advance` at the latest."""
        due = [0.0 if self._is_new_to_viewer else self._pace.due_s]
        if self._maker.wanted() is not None:
            due.append(self._picture_at_s)
        if self._maker.due_s is not None:
            due.append(self._maker.due_s)
        later = (self._behind.due_s, self._shown.due_s)
        return min([*due, *(due_s for due_s in later if due_s is not None)])

    def received(self, message: FromTechnician, now_s: float) -> None:
        """The viewer's message; `advance` then says what to send.

        Raises:
            PeerViolation: it acknowledges a picture that was never sent.
        """
        match message:
            case PictureSeen():
                self._maker.seen(message.picture_no)
                self.rate.acknowledged(message.picture_no, now_s)
                self._picture_at_s = self._frame_at_s
            case ProofFailed():
                self._maker.proof_failed(message)
            case Refresh():
                self._maker.refresh()
                self.rate.forget_in_flight()
                self._picture_at_s = self._frame_at_s
                self._start_over()
            case ShowDisplay() | ShowAll() | Follow():
                self._show(message)
            case Decodes():
                self._maker.video.decodes(message.codecs)
            case KeyframeWanted():
                self._maker.keyframe(message.region_no)

    def advance(self, now_s: float, *, is_woken: bool, has_room: bool) -> list[FromAgent]:
        """What to send now. `has_room`: everything sent before has left; without it nothing is made.

        Raises:
            BackendUnavailable: the screen is gone for good.
        """
        self._maker.settle(now_s)
        proofs = [*self._proofs(now_s), *self._behind.news(now_s)] if has_room else []
        may_make = has_room and now_s >= self._picture_at_s and self._maker.wanted() is not None
        is_due = now_s >= self._pace.due_s or self._is_follow_due(now_s)
        if not (is_woken or may_make or is_due or (has_room and self._is_new_to_viewer)):
            return proofs
        noticed = self._source.look()
        if noticed.are_displays_new:
            self._read_displays()
        origin = self._shown.area
        self._maker.damage(area.moved(-origin.x, -origin.y) for area in noticed.damage)
        if self._maker.is_pending:
            self._behind.changed(now_s)
        is_check_due = now_s >= self._cursor_check_at_s or self._is_follow_due(now_s)
        self._is_cursor_due |= noticed.is_cursor_new or is_check_due
        messages = self._messages(now_s) if has_room else []
        # after any question to an X server its answer may have brought events past `wake_fd`: look again
        has_asked = now_s == self._asked_at_s
        is_active = bool(messages) or (self._can_wake and (has_asked or noticed.is_anything))
        self._pace.looked(now_s, is_active=is_active, is_held=self._maker.is_pending)
        return [*proofs, *messages]

    @property
    def proof_failures(self) -> int:
        """How many proofs the viewer found wrong."""
        return self._maker.proof_failures

    def _start_over(self) -> None:
        """The viewer knows nothing."""
        self._is_new_to_viewer = True
        self._is_cursor_due = True
        self._sent_image: CursorImage | None = None
        self._sent_place: tuple[int, int] | None = None

    def _show(self, wish: ShowDisplay | ShowAll | Follow) -> None:
        before, code = self._shown.view, None
        match wish:
            case ShowDisplay():
                # a display that has just been unplugged is no violation: the viewer gets the new list
                code = self._shown.show(wish.index)
            case ShowAll():
                code = self._shown.show_all()
            case Follow() if self._source.cursor() is None:
                code = ErrorCode.E_SCREEN_POINTER
            case Follow():
                self._shown.follow()
        self._changed(before, code)

    def _is_follow_due(self, now_s: float) -> bool:
        return self._shown.due_s is not None and now_s >= self._shown.due_s

    def _read_displays(self) -> None:
        displays, before = tuple(self._source.displays()), self._shown.view
        if displays == self._shown.displays:
            return
        self._changed(before, self._shown.read(displays))

    def _changed(self, before: tuple[int, Area], code: ErrorCode | None) -> None:
        if code is not None:
            self._refused = [ScreenRefused(code)]
        # with another index a reset comes too: by it the viewer knows which pictures are of which display
        if self._shown.view == before:
            self._is_new_to_viewer = self._is_cursor_due = True
        else:
            self._resize()

    def _resize(self) -> None:
        area = self._shown.area
        self._maker.resize(area.width, area.height)
        self._start_over()

    def _proofs(self, now_s: float) -> list[FromAgent]:
        self.heals += self._maker.heal(now_s)
        return list(self._maker.prove(now_s))

    def _messages(self, now_s: float) -> list[FromAgent]:
        announcement = self._announcement()
        picture = self._picture(now_s)
        self._is_cursor_due |= bool(picture)
        return [*announcement, *picture, *self._cursor(now_s)]

    def _announcement(self) -> list[FromAgent]:
        if not self._is_new_to_viewer:
            return []
        self._is_new_to_viewer = False
        facts = [
            DisplayFacts(index, one.area.x, one.area.y, one.area.width, one.area.height, one.scale)
            for index, one in enumerate(self._shown.displays)
        ]
        refused, self._refused = self._refused, []
        shown = Displays(facts, self._shown.shown_index, self._shown.mode, self._source.name)
        return [*refused, shown]

    def _picture(self, now_s: float) -> list[FromAgent]:
        wanted = self._maker.wanted()
        if wanted is None or now_s < self._picture_at_s:
            return []
        allowed = self.rate.allow(now_s)
        if allowed.decision is Decision.WAIT:
            self._picture_at_s = allowed.again_at_s
            return []
        # sixty a second over time: after a late one the next need not be late too, or a program that draws
        # sixty times a second would be shown late ever after
        self._picture_at_s = self._frame_at_s = max(self._frame_at_s + PICTURE_INTERVAL_S, now_s)
        self._asked_at_s = now_s
        area = self._shown.area
        pixels = self._shown.grab(wanted.moved(area.x, area.y), self._source.grab)
        if pixels is None:
            self._read_displays()
            return []
        made = self._maker.make(
            pixels,
            wanted,
            int(now_s * 1000),
            allowed.budget_bytes,
            allowed.preview_over_bytes,
            whole_bytes=allowed.whole_bytes,
            rate_bytes_per_s=allowed.rate_bytes_per_s,
        )
        self._note_waiting(now_s)
        if made:
            size_bytes = sum(_size_bytes(message) for message in made)
            made_s = self._made_s(now_s)
            self.rate.sent(self._maker.last_no, size_bytes, made_s, is_cut=self._maker.is_pending)
        return list(made)

    def _note_waiting(self, now_s: float) -> None:
        since_ms = self._maker.waits_since_ms
        if since_ms is None and self._maker.is_pending:
            self._behind.pictured(now_s)
        else:
            self._behind.pictured(None if since_ms is None else since_ms / 1000)

    def _cursor(self, now_s: float) -> list[FromAgent]:
        if not self._is_cursor_due:
            return []
        self._is_cursor_due = False
        self._cursor_check_at_s = now_s + CURSOR_CHECK_INTERVAL_S
        self._asked_at_s = now_s
        found = self._source.cursor()
        if found is not None and self._shown.pointer_at(found.x, found.y, now_s):
            self._resize()
            return []
        cursor = found or Cursor(0, 0, NO_CURSOR)
        messages: list[FromAgent] = []
        if cursor.image is not self._sent_image:
            self._sent_image = cursor.image
            image = cursor.image
            messages.append(CursorShape(image.width, image.height, image.hot_x, image.hot_y, image.rgba))
        area = self._shown.area
        place = (_offset(cursor.x - area.x), _offset(cursor.y - area.y))
        if place != self._sent_place:
            self._sent_place = place
            messages.append(CursorMoved(*place))
        return messages


def _offset(value: int) -> int:
    return max(-OFFSET_LIMIT, min(value, OFFSET_LIMIT))


def _size_bytes(message: PictureMessage) -> int:
    match message:
        case PicturePart():
            return MESSAGE_BYTES + len(message.compressed) + RECTANGLE_BYTES * len(message.rectangles)
        case VideoFrame():
            return MESSAGE_BYTES + len(message.encoded)
        case _:
            return MESSAGE_BYTES
