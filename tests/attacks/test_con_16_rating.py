"""The card and the rating: whose word it is, who reads it, and that a technician cannot write his own."""

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.desktop.questions import Answer, Questions
from agent.local_server import LocalServer
from agent.rating_desk import RatingDesk
from agent.ratings import RatingBook
from agent.state import DataDir
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.limits import RATINGS_OFFERED_LIMIT
from protocol.messages.session import OfferRating
from technician_client.sessions import TechnicianSession
from tests.support.desktop import FakeDesktop, deny
from tests.support.device_end import DeviceEnd, attached, device_end
from tests.support.organisation import acme

pytestmark = [pytest.mark.real, pytest.mark.beside]

VIEW = Grantable.SCREEN_VIEW


@dataclasses.dataclass
class Rated:
    """A device that shows cards and takes ratings."""

    device: DeviceEnd
    book: RatingBook
    questions: Questions
    is_anybody_here: bool = False
    desk: RatingDesk = dataclasses.field(init=False)

    async def rate(self, session_id: str, comment: str = "thank you") -> Answer:
        """The person presses Send."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.questions.ask(ipc.RatingGiven(session_id, True, comment), answered.set_result)
        async with asyncio.timeout(20):
            return await answered


@asynccontextmanager
async def rated_device(folder: Path) -> AsyncIterator[Rated]:
    async with device_end(acme(), folder) as device:
        book = RatingBook(folder / "ratings.json")
        path, loop = folder / "run" / "rating.sock", asyncio.get_running_loop()
        rated = Rated(device, book, Questions(path, lambda call: loop.call_soon_threadsafe(call) and None))
        audit = device.side.audit_log
        desk = RatingDesk(book, DataDir(folder), audit, device.device_id, lambda _uid: rated.is_anybody_here)
        rated.desk = desk
        server = LocalServer(path, {ipc.RatingGiven: desk.handle}, allowed_uids=frozenset({os.geteuid()}))
        await server.open()
        device.side = dataclasses.replace(device.side, ratings=book, show_card=desk.show_card)
        try:
            yield rated
        finally:
            await server.close()


async def one_session(rated: Rated, technician_id: str = "dana") -> str:
    """Somebody sees the screen, and leaves."""
    async with await rated.device.connect(acme().technician(technician_id)) as session:
        await session.ask([VIEW])
    await rated.device.over()
    return str(session.session_id)


async def next_rating(session: TechnicianSession) -> OfferRating:
    async with asyncio.timeout(20):
        while not isinstance(notice := await session.notices.get(), OfferRating):
            pass
    return notice


async def test_con_12_after_a_mismatch_the_card_comes_without_a_grant_and_asks_for_no_rating(
    tmp_path: Path,
) -> None:
    async with rated_device(tmp_path) as rated, attached(rated.device, says_mismatch) as desktop:
        session_id = await one_session(rated)
        card = await desktop.order(ipc.ShowCard)
        assert (card.visit.session_id, card.visit.grantables, card.may_rate) == (session_id, [], False)
        assert card.visit.cause == ErrorCode.E_READBACK_MISMATCH
        assert isinstance(await rated.rate(session_id), SupportError)


def says_mismatch(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
    """The caller read other digits."""
    return ipc.PromptAnswered(prompt.prompt_no, [], ErrorCode.E_READBACK_MISMATCH, "0" * 64, 2.0)


async def test_con_16_the_technician_of_that_session_reads_it_and_nobody_else(tmp_path: Path) -> None:
    async with rated_device(tmp_path) as rated, attached(rated.device) as desktop:
        session_id = await one_session(rated)
        card = (await desktop.order(ipc.ShowCard)).visit
        assert (card.session_id, card.technician_id, card.grantables) == (session_id, "dana", ["screen.view"])
        assert await rated.rate(session_id) == ipc.RatingKept()
        async with await rated.device.connect(acme().technician("bob")) as other:
            await other.ask([VIEW])
            assert not any(isinstance(each, OfferRating) for each in drained(other))
        await rated.device.over()
        for _ in range(2):  # one that was not shown is offered again
            async with await rated.device.connect(acme().technician("dana")) as session:
                offered = await next_rating(session)
                assert (offered.session_id, offered.comment) == (session_id, "thank you")
        async with await rated.device.connect(acme().technician("dana")) as session:
            await session.take_rating((await next_rating(session)).session_id)
            await session.ask([VIEW])  # the answer comes after what was sent before it
        await rated.device.over()
        assert rated.book.waiting_for("dana") == []
    assert b"thank you" not in rated.device.audit_path.read_bytes()
    kinds = rated.device.kinds()
    assert kinds.count("rating.given") == kinds.count("rating.delivered") == 1


def drained(session: TechnicianSession) -> list[object]:
    found: list[object] = []
    while not session.notices.empty():
        found.append(session.notices.get_nowait())
    return found


async def test_con_16_another_user_of_the_computer_does_not_rate_a_session(tmp_path: Path) -> None:
    async with rated_device(tmp_path) as rated, attached(rated.device) as desktop:
        session_id = await one_session(rated)
        await desktop.order(ipc.ShowCard)
        rated.desk._shown[session_id] += 1  # as if another user had seen the card
        refused = await rated.rate(session_id)
        assert isinstance(refused, SupportError)
        assert refused.code is ErrorCode.E_STATE
        rated.desk._shown[session_id] -= 1
        assert await rated.rate(session_id) == ipc.RatingKept()


async def test_con_16_nothing_is_taken_while_somebody_could_press_for_the_person(tmp_path: Path) -> None:
    async with rated_device(tmp_path) as rated, attached(rated.device):
        session_id = await one_session(rated)
        rated.is_anybody_here = True
        refused = await rated.rate(session_id)
        assert isinstance(refused, SupportError)
        assert refused.code is ErrorCode.E_BUSY
        assert "rating.given" not in rated.device.kinds()
        rated.is_anybody_here = False
        assert await rated.rate(session_id) == ipc.RatingKept()


@pytest.mark.parametrize("is_known", [True, False])
async def test_con_16_a_session_that_was_not_or_came_to_nothing_is_not_rated(
    tmp_path: Path, is_known: bool
) -> None:
    async with rated_device(tmp_path) as rated, attached(rated.device, deny) as desktop:
        session_id = await one_session(rated)
        refused = await rated.rate(session_id if is_known else "0" * 32)
        assert isinstance(refused, SupportError)
        assert refused.code is ErrorCode.E_STATE
        assert no_card(desktop)


def no_card(desktop: FakeDesktop) -> bool:
    return not desktop.all_of(ipc.ShowCard)


async def test_con_16_a_device_that_floods_with_ratings_loses_the_session(tmp_path: Path) -> None:
    async with (
        rated_device(tmp_path) as rated,
        attached(rated.device),
        await rated.device.connect(acme().technician()) as session,
    ):
        over = asyncio.Event()
        session.when_over(over.set)
        [runner] = rated.device.runners.values()
        assert runner._live is not None
        for number in range(RATINGS_OFFERED_LIMIT + 1):
            await runner._live._tell(OfferRating(f"{number:032x}", True, "buy this"))
        async with asyncio.timeout(20):
            await over.wait()
