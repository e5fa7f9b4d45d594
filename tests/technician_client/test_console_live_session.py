"""One page and one session, both in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from protocol.errors import ErrorCode
from protocol.grantables import Grantable
from protocol.messages import screen
from technician_client.console import page_messages as words
from technician_client.console.live_session import LiveSession
from technician_client.console.page import PageGone
from technician_client.console.picture_feed import DAMAGED_LIMIT, UNSEEN_LIMIT
from technician_client.console.picture_wire import FLAG_LAST, FLAG_RESET
from tests.support.console_fakes import DESK, FakeConsoleApp, FakeSession, Script
from tests.support.fake_screen import FakeScreen, colour_card

ASK_ALL = '{"type":"ask","grantables":["screen.view","input.control","diagnostics.read","commands.run"],'
ASK_ALL += '"reason":"printer","ticket_number":"T-1","length_s":600}'
ASK_SCREEN = '{"type":"ask","grantables":["screen.view"],"reason":"","ticket_number":"","length_s":600}'


@dataclass
class FakePage:
    """A page that says what the test puts into `says`."""

    says: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    told: list[words.ToPage] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, message: words.ToPage) -> None:
        self.told.append(message)
        self.news.set()

    async def show(self, picture: bytes) -> None:
        self.pictures.append(picture)
        self.news.set()

    async def hear(self) -> str:
        text = await self.says.get()
        if text is None:
            raise PageGone
        return text

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not is_so():
                self.news.clear()
                await self.news.wait()

    async def heard(self, kind: type) -> words.ToPage:
        await self.until(lambda: any(isinstance(one, kind) for one in self.told))
        return next(one for one in self.told if isinstance(one, kind))


DEFAULT = Script(picture=colour_card(96, 80), consent="unattended")  # all of an ask at once


@dataclass
class Live:
    page: FakePage
    session: FakeSession
    task: asyncio.Task[None]


@asynccontextmanager
async def live(script: Script | None = None) -> AsyncIterator[Live]:
    page, session = FakePage(), FakeSession(DESK, script or DEFAULT)
    task = asyncio.create_task(LiveSession(session, page, FakeConsoleApp().catalogue()).run())
    try:
        yield Live(page, session, task)
    finally:
        page.says.put_nowait(None)
        async with asyncio.timeout(5):
            await task


async def test_nothing_is_opened_before_the_person_allowed_it() -> None:
    async with live() as one:
        await one.page.heard(words.SayReady)
        assert one.session.channels == {}
        assert one.session.asked == []


async def test_allowed_permissions_open_their_channels_and_refused_ones_do_not() -> None:
    refused = {"commands.run": "E_CONSENT_DENIED"}
    async with live(Script(picture=colour_card(96, 80), refused=refused, consent="unattended")) as one:
        one.page.says.put_nowait(ASK_ALL)
        answer = await one.page.heard(words.SayAnswer)
        assert isinstance(answer, words.SayAnswer)
        assert answer.refused["commands.run"].sentence == "The person at the device said no."
        await one.page.heard(words.SaySnapshot)
        assert set(one.session.channels) == {
            Grantable.SCREEN_VIEW,
            Grantable.INPUT_CONTROL,
            Grantable.DIAGNOSTICS_READ,
        }
        assert one.session.asked[0]["reason"] == "printer"


async def test_a_picture_is_acknowledged_only_after_the_page_painted_it() -> None:
    async with live() as one:
        one.page.says.put_nowait(ASK_SCREEN)
        await one.page.until(lambda: len(one.page.pictures) == 2)  # the cursor and one picture
        await asyncio.sleep(0)
        assert one.session.screen is not None
        assert one.session.screen.seen == []
        one.page.says.put_nowait('{"type":"seen","sequence":1}')
        async with asyncio.timeout(5):
            await one.session.screen.was_seen.wait()
        assert one.session.screen.seen == [1]


async def test_a_page_that_paints_nothing_stops_the_pictures_instead_of_storing_them() -> None:
    async with live() as one:
        one.page.says.put_nowait(ASK_SCREEN)
        await one.page.until(lambda: len(one.page.pictures) == 2)
        shown = one.session.screen
        assert shown is not None
        for shift in range(1, 10):
            shown.show(colour_card(96, 80, shift))
        await one.page.until(lambda: len(one.page.pictures) == 1 + UNSEEN_LIMIT)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(one.page.pictures) == 1 + UNSEEN_LIMIT
        one.page.says.put_nowait('{"type":"seen","sequence":2}')
        await one.page.until(lambda: len(one.page.pictures) == 1 + UNSEEN_LIMIT + 2)


async def test_a_picture_larger_than_its_display_ends_the_session() -> None:
    async with live() as one:
        one.page.says.put_nowait(ASK_SCREEN)
        await one.page.until(lambda: len(one.page.pictures) == 2)
        channel = one.session.channels[Grantable.SCREEN_VIEW]
        part = screen.PicturePart(9, 0, 64, 64, True, False, [screen.Rectangle(0, 0, 64, 64)] * 80, b"")
        channel.to_page(screen.FROM_AGENT_CODEC.encode(part))
        over = await one.page.heard(words.SayOver)
        assert isinstance(over, words.SayOver)
        assert over.cause == ErrorCode.E_MESSAGE_SIZE
        assert one.session.ended_with == ["E_MESSAGE_SIZE"]


async def first_picture(one: Live) -> FakeScreen:
    one.page.says.put_nowait(ASK_SCREEN)
    await one.page.until(lambda: len(one.page.pictures) == 2)
    assert one.session.screen is not None
    return one.session.screen


async def wished(shown: FakeScreen, count: int) -> list[screen.FromTechnician]:
    async with asyncio.timeout(5):
        while len(shown.wishes) < count:  # noqa: ASYNC110  the fake has no event for it
            await asyncio.sleep(0)
    return shown.wishes


async def test_a_picture_that_the_page_cannot_decode_is_sent_anew_and_nothing_else_meanwhile() -> None:
    async with live() as one:
        shown = await first_picture(one)
        for shift in range(1, UNSEEN_LIMIT):
            shown.show(colour_card(96, 80, shift))
        await one.page.until(lambda: len(one.page.pictures) == 1 + UNSEEN_LIMIT)
        one.page.says.put_nowait('{"type":"damaged"}')
        assert await wished(shown, 1) == [screen.Refresh()]
        shown.show(colour_card(96, 80, 9))  # was under way
        shown.reset()
        shown.show(colour_card(96, 80, 10))
        await one.page.until(lambda: len(one.page.pictures) > 1 + UNSEEN_LIMIT)
        assert one.page.pictures[-1][1] == FLAG_RESET | FLAG_LAST


async def test_an_agent_whose_pictures_never_decode_loses_the_session() -> None:
    async with live() as one:
        await first_picture(one)
        for _ in range(DAMAGED_LIMIT):
            one.page.says.put_nowait('{"type":"damaged"}')
        over = await one.page.heard(words.SayOver)
        assert isinstance(over, words.SayOver)
        assert over.cause == ErrorCode.E_MESSAGE_FORMAT


async def test_a_painted_picture_forgives_the_damage_before_it() -> None:
    async with live() as one:
        shown = await first_picture(one)
        for _ in range(2 * DAMAGED_LIMIT):
            one.page.says.put_nowait('{"type":"damaged"}')
            one.page.says.put_nowait('{"type":"seen","sequence":1}')
        assert len(await wished(shown, 2 * DAMAGED_LIMIT)) == 2 * DAMAGED_LIMIT
        assert not one.task.done()


async def test_a_proof_that_fails_is_told_to_the_agent_by_its_own_picture_number() -> None:
    async with live() as one:
        shown = await first_picture(one)
        shown.prove(1, colour_card(96, 80), 16, 64)
        await one.page.until(lambda: len(one.page.pictures) == 3)
        one.page.says.put_nowait('{"type":"proof_failed","sequence":9,"y":16}')  # there is no such proof
        one.page.says.put_nowait('{"type":"proof_failed","sequence":1,"y":16}')
        assert await wished(shown, 1) == [screen.ProofFailed(1, 16)]


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ('{"type":"show_display","index":1}', screen.ShowDisplay(1)),
        ('{"type":"show_all"}', screen.ShowAll()),
        ('{"type":"follow"}', screen.Follow()),
    ],
)
async def test_a_restarted_screen_goes_on_by_itself_and_the_page_is_told(
    said: str, wish: screen.FromTechnician
) -> None:
    async with live() as one:
        shown = await first_picture(one)
        one.page.says.put_nowait('{"type":"decodes","codecs":["vp8"]}')
        one.page.says.put_nowait(said)
        assert await wished(shown, 1) == [wish]
        for shift in range(1, UNSEEN_LIMIT - 1):  # the page paints none of them
            shown.show(colour_card(96, 80, shift))
        await one.page.until(lambda: len(one.page.pictures) == UNSEEN_LIMIT)
        shown.decodes = []
        shown.restart()
        assert isinstance(await one.page.heard(words.SayScreenRestarted), words.SayScreenRestarted)
        assert (await wished(shown, 3))[1:] == [screen.RestartSeen(), wish]
        assert shown.decodes == ["vp8"]
        for shift in range(4, 4 + UNSEEN_LIMIT):
            shown.show(colour_card(96, 80, shift))
        await one.page.until(lambda: len(one.page.pictures) == 2 * UNSEEN_LIMIT)
        assert one.page.pictures[UNSEEN_LIMIT][1] == FLAG_RESET | FLAG_LAST
        one.page.says.put_nowait(f'{{"type":"seen","sequence":{UNSEEN_LIMIT - 1}}}')  # of the worker before
        one.page.says.put_nowait(f'{{"type":"seen","sequence":{UNSEEN_LIMIT}}}')
        async with asyncio.timeout(5):
            await shown.was_seen.wait()
        assert shown.seen == [1]


async def test_a_second_restart_of_one_channel_ends_the_session() -> None:
    async with live() as one:
        shown = await first_picture(one)
        shown.restart()
        shown.restart()
        over = await one.page.heard(words.SayOver)
        assert isinstance(over, words.SayOver)
        assert one.session.ended_with != ["technician_left"]


async def test_what_the_page_decodes_and_the_keyframe_it_needs_reach_the_agent() -> None:
    async with live() as one:
        shown = await first_picture(one)
        one.page.says.put_nowait('{"type":"decodes","codecs":["vp8"]}')
        one.page.says.put_nowait('{"type":"keyframe","region_no":1}')
        assert await wished(shown, 1) == [screen.KeyframeWanted(1)]
        assert shown.decodes == ["vp8"]
        shown.say(screen.VideoFrame(1, 2, screen.Rectangle(0, 0, 64, 64), "vp8", True, b"x"))
        await one.page.until(lambda: len(one.page.pictures) == 3)


@pytest.mark.parametrize(
    "wrong",
    [
        screen.ScrollCopies(2, [screen.Copy(0, 0, 96, 80, 1, 0)]),
        screen.BandProof(1, 1, 80, bytes(32)),
        screen.VideoFrame(1, 2, screen.Rectangle(0, 0, 64, 64), "vp8", True, b"x"),
        screen.VideoEnded(1, 2),
    ],
)
async def test_what_is_out_of_place_or_was_not_asked_for_ends_the_session(wrong: screen.FromAgent) -> None:
    async with live() as one:
        shown = await first_picture(one)
        shown.say(wrong)
        await one.page.heard(words.SayOver)
        assert len(one.page.pictures) == 2


@pytest.mark.parametrize("noise", [b"", b"\xc1", b"\x81\xa4type\xa7unknown"])
async def test_noise_on_a_channel_ends_the_session_with_a_code(noise: bytes) -> None:
    async with live() as one:
        one.page.says.put_nowait(ASK_SCREEN)
        await one.page.heard(words.SayDisplays)
        one.session.channels[Grantable.SCREEN_VIEW].to_page(noise)
        over = await one.page.heard(words.SayOver)
        assert isinstance(over, words.SayOver)
        assert over.problem is not None
        assert over.problem.code.startswith("E_MESSAGE_")


async def test_a_page_that_leaves_ends_the_session() -> None:
    async with live() as one:
        one.page.says.put_nowait(ASK_ALL)
        await one.page.heard(words.SaySnapshot)
        one.page.says.put_nowait(None)
        async with asyncio.timeout(5):
            await one.task
        assert one.session.ended_with == ["technician_left"]
        assert all(channel.is_closed for channel in one.session.channels.values())


async def test_stop_by_the_person_reaches_the_page_with_its_sentence() -> None:
    async with live() as one:
        await one.page.heard(words.SayReady)
        one.session.stop()
        over = await one.page.heard(words.SayOver)
        assert isinstance(over, words.SayOver)
        assert over.problem is not None
        assert over.problem.sentence == "The person at the device stopped the session."


async def test_an_ended_permission_ends_its_channel_and_not_the_session() -> None:
    async with live() as one:
        one.page.says.put_nowait(ASK_ALL)
        await one.page.heard(words.SaySnapshot)
        one.session.end_grant(Grantable.SCREEN_VIEW)
        await one.page.heard(words.SayChannelOver)
        assert one.session.channels[Grantable.SCREEN_VIEW].is_closed
        assert not one.task.done()


async def test_a_command_needs_its_grant() -> None:
    entry = FakeConsoleApp().catalogue().entries[0]
    async with live() as one:
        one.page.says.put_nowait(_run(entry.command_id, entry.sha256))
        ended = await one.page.heard(words.SayCommandEnded)
        assert isinstance(ended, words.SayCommandEnded)
        assert ended.was_refused
        assert ended.problem is not None
        assert ended.problem.code == "E_GRANT_NONE"


@pytest.mark.parametrize(
    ("command_id", "parameters", "code"),
    [
        ("no-such", "{}", "E_COMMAND_UNKNOWN"),
        ("ping", "{}", "E_COMMAND_PARAMETER"),
        ("ping", '{"host":"-f"}', "E_COMMAND_PARAMETER"),
    ],
)
async def test_a_command_that_the_catalogue_refuses_is_not_sent(
    command_id: str, parameters: str, code: str
) -> None:
    async with live() as one:
        one.page.says.put_nowait(ASK_ALL)
        await one.page.heard(words.SaySnapshot)
        one.page.says.put_nowait(_run(command_id, parameters=parameters))
        ended = await one.page.heard(words.SayCommandEnded)
        assert isinstance(ended, words.SayCommandEnded)
        assert ended.problem is not None
        assert ended.problem.code == code
        assert one.session.channels[Grantable.COMMANDS_RUN].sent == []


async def test_a_command_is_audited_before_its_output_is_shown() -> None:
    entry = FakeConsoleApp().catalogue().entries[0]
    async with live() as one:
        one.page.says.put_nowait(ASK_ALL)
        await one.page.heard(words.SaySnapshot)
        one.page.says.put_nowait(_run(entry.command_id, entry.sha256))
        await one.page.heard(words.SayCommandEnded)
        assert one.session.sink.kinds == ["command.requested", "command.started", "command.ended"]
        output = await one.page.heard(words.SayCommandOutput)
        assert isinstance(output, words.SayCommandOutput)
        assert output.text.startswith("Filesystem")


def _run(command_id: str, entry_sha256: str = "0" * 64, parameters: str = "{}") -> str:
    head = f'"type":"run","run_no":1,"command_id":"{command_id}","entry_sha256":"{entry_sha256}"'
    return f'{{{head},"parameters":{parameters}}}'
