"""One viewer's share of a screen that comes as video only: the whole display is one region (sans-I/O).

The exact picture below is black and never changes: one pixel of it is sent, so that the viewer knows the
size. As `ScreenShare`, it is told the time and whether there is room, and says what to send.

Packets refer to those before, so none can be left out: a backlog is thrown away as a whole, a keyframe asked
for, and the encoder made slower and its pictures rarer.
"""

from __future__ import annotations

from collections import deque

from agent.capabilities.screen.pictures import PictureStream
from agent.capabilities.screen.rate import Decision, RateControl
from agent.platform.interfaces import DisplayArea, EncodedPicture, EncodedScreenSource, Steering
from protocol.errors import BackendUnavailable, ErrorCode, PeerViolation
from protocol.limits import VIDEO_FRAME_LIMIT_BYTES
from protocol.messages.screen import (
    Decodes,
    DisplayFacts,
    DisplayMode,
    Displays,
    Follow,
    FromAgent,
    FromTechnician,
    KeyframeWanted,
    PicturePart,
    PictureSeen,
    ProofFailed,
    Rectangle,
    Refresh,
    ScreenRefused,
    ShowAll,
    ShowDisplay,
    VideoFrame,
)

CHECK_INTERVAL_S = 1.0
DECODES_WAIT_S = 10.0
BACKLOG_LIMIT = 4
KEY_INTERVAL_S = 0.5
FIRST_RATE_BYTES_PER_S, LARGEST_RATE_BYTES_PER_S, SMALLEST_RATE_BYTES_PER_S = 250_000.0, 1_250_000.0, 12_500.0
RATE_SHARE, RATE_STEP = 0.8, 1.25
PICTURES_PER_S, SMALLEST_PICTURES_PER_S = 30.0, 4.0
SLOWER, FASTER = 0.5, 1.25
FASTER_AFTER_S = 3.0
MESSAGE_BYTES = 240


class EncodedShare:
    """To be used as a `ScreenShare`; see there."""

    heals = 0
    proof_failures = 0

    def __init__(self, source: EncodedScreenSource) -> None:
        self._source = source
        self._displays: tuple[DisplayArea, ...] = tuple(source.displays())
        self._shown_index = 0
        self._codec = ""
        self._size = (0, 0)
        self._picture_no = self._region_no = 0
        self._backlog: deque[EncodedPicture] = deque()
        self._is_key_awaited = True
        self._key_asked_at_s = self._slowed_at_s = float("-inf")
        self._pace = PICTURES_PER_S
        self._rate_bytes_per_s = FIRST_RATE_BYTES_PER_S
        self._again_at_s = 0.0
        self._started_at_s: float | None = None
        self._is_new_to_viewer = True
        self._refused: list[FromAgent] = []
        self.rate = RateControl()

    def watches_source(self, now_s: float) -> bool:
        """Always: packets are taken as they come."""
        return True

    def wake_at_s(self) -> float:
        """When to call `advance` at the latest."""
        return self._again_at_s

    def received(self, message: FromTechnician, now_s: float) -> None:
        """The viewer's message.

        Raises:
            PeerViolation: it acknowledges a picture that was never sent.
            BackendUnavailable: it decodes none of the source's codecs.
        """
        match message:
            case PictureSeen() | ProofFailed():
                if message.picture_no > self._picture_no:
                    raise PeerViolation(
                        f"picture {message.picture_no} answered, newest is {self._picture_no}"
                    )
                self.rate.acknowledged(message.picture_no, now_s)
            case Refresh():
                self.rate.forget_in_flight()
                self._start_over()
            case ShowDisplay():
                if message.index < len(self._displays):
                    self._shown_index = message.index
                else:
                    self._refuse(ErrorCode.E_SCREEN_DISPLAY)
                self._restart()
            case ShowAll():
                self._refuse(ErrorCode.E_SCREEN_TOGETHER)
            case Follow():
                self._refuse(ErrorCode.E_SCREEN_POINTER)
            case Decodes():
                self._choose(message.codecs)
            case KeyframeWanted():
                self._is_key_awaited = True
        self._again_at_s = now_s

    def advance(self, now_s: float, *, is_woken: bool, has_room: bool) -> list[FromAgent]:
        """What to send now.

        Raises:
            BackendUnavailable: the screen is gone or was refused, or the viewer does not say what it decodes.
        """
        self._again_at_s = now_s + CHECK_INTERVAL_S
        self._require_codec(now_s)
        news = self._source.look()
        if news.are_displays_new:
            self._read_displays()
        else:
            self._take(news.pictures)
        self._keep_up(now_s)
        return [*self._announcement(), *self._pictures(now_s)] if has_room else []

    @property
    def _steering(self) -> Steering:
        return Steering(self._rate_bytes_per_s, self._pace)

    def _choose(self, codecs: list[str]) -> None:
        known = [codec for codec in self._source.codecs if codec in codecs]
        if not known:
            raise BackendUnavailable(
                "this session gives its screen as video only, and the viewer decodes none of: "
                f"{', '.join(self._source.codecs)}"
            )
        if known[0] != self._codec:
            self._codec = known[0]
            # the viewer may have been told of the displays already; another codec changes none of them
            is_new_to_viewer = self._is_new_to_viewer
            self._restart()
            self._is_new_to_viewer = is_new_to_viewer

    def _refuse(self, code: ErrorCode) -> None:
        self._refused, self._is_new_to_viewer = [ScreenRefused(code)], True

    def _require_codec(self, now_s: float) -> None:
        if self._started_at_s is None:
            self._started_at_s = now_s
        if not self._codec and now_s - self._started_at_s > DECODES_WAIT_S:
            raise BackendUnavailable(
                "this session gives its screen as video only, and the viewer has not said that it decodes any"
            )

    def _restart(self) -> None:
        """Another display, size or codec."""
        if self._codec:
            self._source.stream(self._shown_index, self._codec, self._steering)
        self._backlog.clear()
        self._start_over()

    def _start_over(self) -> None:
        """The viewer knows nothing."""
        self._is_new_to_viewer = True
        self._is_key_awaited = True
        self._size = (0, 0)

    def _read_displays(self) -> None:
        shown = self._displays[self._shown_index]
        self._displays = tuple(self._source.displays())
        same = [index for index, one in enumerate(self._displays) if one.name == shown.name]
        if not same:
            self._refuse(ErrorCode.E_SCREEN_DISPLAY)
        index = same[0] if same else 0
        is_same = (index, self._displays[index]) == (self._shown_index, shown)
        self._shown_index = index
        if is_same:
            self._is_new_to_viewer = True
        else:
            self._restart()

    def _take(self, pictures: tuple[EncodedPicture, ...]) -> None:
        for picture in pictures:
            if len(picture.encoded) > VIDEO_FRAME_LIMIT_BYTES:
                self._is_key_awaited = True
                self._rate_bytes_per_s = max(SMALLEST_RATE_BYTES_PER_S, self._rate_bytes_per_s * SLOWER)
            elif picture.is_key:
                # what came before it is of no use any more
                self._backlog.clear()
                self._backlog.append(picture)
                self._is_key_awaited = False
            elif not self._is_key_awaited:
                self._backlog.append(picture)

    def _keep_up(self, now_s: float) -> None:
        if len(self._backlog) > BACKLOG_LIMIT:
            self._backlog.clear()
            self._is_key_awaited = True
            self._slow_down(now_s)
        elif now_s - max(self._slowed_at_s, self._started_at_s or now_s) > FASTER_AFTER_S:
            self._speed_up(now_s)
        if self._is_key_awaited and self._codec and now_s - self._key_asked_at_s >= KEY_INTERVAL_S:
            self._key_asked_at_s = now_s
            self._source.steer(Steering(self._rate_bytes_per_s, self._pace, wants_key=True))

    def _slow_down(self, now_s: float) -> None:
        self._slowed_at_s = now_s
        known = self.rate.link.rate_bytes_per_s * RATE_SHARE
        lower = min(self._rate_bytes_per_s * SLOWER, known or self._rate_bytes_per_s)
        self._rate_bytes_per_s = max(SMALLEST_RATE_BYTES_PER_S, lower)
        self._pace = max(SMALLEST_PICTURES_PER_S, self._pace * SLOWER)

    def _speed_up(self, now_s: float) -> None:
        self._slowed_at_s = now_s
        before = self._steering
        self._rate_bytes_per_s = min(LARGEST_RATE_BYTES_PER_S, self._rate_bytes_per_s * RATE_STEP)
        self._pace = min(PICTURES_PER_S, self._pace * FASTER)
        if self._codec and self._steering != before:
            self._source.steer(self._steering)

    def _announcement(self) -> list[FromAgent]:
        if not self._is_new_to_viewer:
            return []
        self._is_new_to_viewer = False
        facts = [
            DisplayFacts(index, one.area.x, one.area.y, one.area.width, one.area.height, one.scale)
            for index, one in enumerate(self._displays)
        ]
        refused, self._refused = self._refused, []
        return [*refused, Displays(facts, self._shown_index, DisplayMode.ONE, self._source.name)]

    def _pictures(self, now_s: float) -> list[FromAgent]:
        messages: list[FromAgent] = []
        while self._backlog:
            allowed = self.rate.allow(now_s)
            if allowed.decision is Decision.WAIT:
                self._again_at_s = min(self._again_at_s, max(now_s, allowed.again_at_s))
                break
            picture = self._backlog.popleft()
            if (picture.width, picture.height) != self._size:
                if not picture.is_key:
                    # the viewer started over: its decoder needs a keyframe
                    self._is_key_awaited = True
                    self._backlog.clear()
                    self._again_at_s = now_s
                    break
                messages += self._reset(picture, now_s)
            messages += self._video(picture, now_s)
        return messages

    def _reset(self, picture: EncodedPicture, now_s: float) -> list[FromAgent]:
        self._size = (picture.width, picture.height)
        self._region_no += 1
        pixel = PictureStream().encode(memoryview(bytes(3)))
        return [self._part([Rectangle(0, 0, 1, 1)], pixel, now_s, is_reset=True)]

    def _video(self, picture: EncodedPicture, now_s: float) -> list[FromAgent]:
        place = Rectangle(0, 0, picture.width, picture.height)
        frame = VideoFrame(
            self._region_no, self._picture_no + 1, place, picture.codec, picture.is_key, picture.encoded
        )
        part = self._part([], b"", now_s, is_reset=False)
        self.rate.sent(
            self._picture_no, len(picture.encoded) + MESSAGE_BYTES, now_s, is_cut=bool(self._backlog)
        )
        return [frame, part]

    def _part(
        self, rectangles: list[Rectangle], compressed: bytes, now_s: float, *, is_reset: bool
    ) -> PicturePart:
        self._picture_no += 1
        width, height = self._size
        return PicturePart(
            picture_no=self._picture_no,
            captured_at_ms=int(now_s * 1000),
            width=width,
            height=height,
            is_reset=is_reset,
            is_last=True,
            rectangles=rectangles,
            compressed=compressed,
        )
