"""Whom the person blocked: for how long, whatever clock, service and file do; who sees and who lifts it."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from agent.ask_patience import AskPatience, KeptNoes, KeptPatience
from agent.blocks import UNVERIFIED, Blocked, Blocks
from agent.blocks_desk import BlocksDesk
from agent.desktop.block_messages import BlockLifted, BlocksAsked
from agent.history import read_history
from agent.kept_patience import _File, load_patience
from agent.local_client import ask_blocks, lift_block
from agent.local_server import LocalServer
from protocol.audit import AuditEvent
from protocol.errors import ErrorCode, Refused
from protocol.limits import BLOCK_LENGTH_S, BLOCKS_LIMIT
from tests.agent.test_ask_patience import Machine
from tests.agent.test_pause import STEPS
from tests.support.agent_commands import call
from tests.support.device_end import QuietAudit

ANNA, BEN = 1001, 1002
MISMATCH = Blocked("ada", "Ada King", ANNA, is_mismatch=True)
NUISANCE = Blocked("ada", "Ada King", ANNA)


def kept(path: Path, machine: Machine) -> Blocks:
    """As the service has it after it started."""
    made = Blocks(path, machine.now)
    made.load()
    return made


def code(blocks: Blocks, technician_id: str = "ada", uid: int | None = ANNA) -> ErrorCode | None:
    """Why this technician does not come, or is not asked for."""
    found = blocks.against(technician_id, uid)
    return found.code if found else None


def test_con_12_a_mismatch_holds_for_an_hour_on_the_whole_device_and_for_that_technician() -> None:
    machine = Machine()
    blocks = Blocks(None, machine.now)
    blocks.begin(MISMATCH)
    machine.passes(BLOCK_LENGTH_S - 1)
    assert [code(blocks, uid=uid) for uid in (ANNA, BEN, None)] == [ErrorCode.E_READBACK_BLOCKED] * 3
    assert code(blocks, "bob") is None
    machine.passes(1)
    assert code(blocks) is None


def test_con_10_what_one_user_blocked_silences_nobody_at_another_desktop() -> None:
    blocks = Blocks(None, Machine().now)
    blocks.begin(NUISANCE)
    assert [code(blocks, uid=uid) for uid in (ANNA, BEN, None)] == [ErrorCode.E_CONSENT_BLOCKED, None, None]


def test_con_12_a_mismatch_is_told_as_one_also_when_the_technician_was_blocked_before() -> None:
    blocks = Blocks(None, Machine().now)
    blocks.begin(MISMATCH)
    blocks.begin(NUISANCE)
    assert code(blocks) is ErrorCode.E_READBACK_BLOCKED
    assert len(blocks.live()) == 2


@pytest.mark.parametrize("is_boot", [False, True])
def test_con_12_a_block_outlives_the_service_and_the_machine(tmp_path: Path, is_boot: bool) -> None:
    machine, path = Machine(), tmp_path / "blocks.json"
    kept(path, machine).begin(MISMATCH)
    machine.passes(1000)
    if is_boot:
        machine.restarts(500)
    blocks = kept(path, machine)
    assert code(blocks) is ErrorCode.E_READBACK_BLOCKED
    [left] = blocks.live()
    assert left.left_s == pytest.approx(BLOCK_LENGTH_S - 1000 - 500 * is_boot)
    assert path.stat().st_mode & 0o777 == 0o600


def test_con_12_setting_the_clock_lifts_nothing(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "blocks.json"
    blocks = kept(path, machine)
    blocks.begin(MISMATCH)
    for hours in (-30, 48):
        machine.wall += timedelta(hours=hours)
        assert code(blocks) is code(kept(path, machine)) is ErrorCode.E_READBACK_BLOCKED
    machine.restarts(0)
    machine.wall -= timedelta(days=400)
    assert code(kept(path, machine)) is ErrorCode.E_READBACK_BLOCKED


@settings(deadline=None)  # each step is a file on the disk
@given(STEPS)
def test_con_19_a_block_neither_ends_early_nor_grows(steps: list[tuple[str, float]]) -> None:
    """A clock that is set back, restarts of service and machine: time off may count, running time does."""
    with tempfile.TemporaryDirectory() as folder:
        machine, path = Machine(), Path(folder) / "blocks.json"
        blocks = kept(path, machine)
        before_s = blocks.begin(MISMATCH).left_s
        ran_s = off_s = 0.0
        for what, seconds in steps:
            match what:
                case "passes":
                    ran_s += seconds
                    machine.passes(seconds)
                    blocks.keep()  # as the service does every five minutes
                case "set_back":
                    machine.wall -= timedelta(seconds=seconds)
                case "restarts":
                    off_s += seconds
                    machine.restarts(seconds)
                    blocks = kept(path, machine)
                case _:
                    blocks = kept(path, machine)
            left_s = max((each.left_s for each in blocks.live()), default=0.0)
            assert left_s <= before_s
            assert left_s >= BLOCK_LENGTH_S - ran_s - off_s - 1e-3
            before_s = left_s


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"written":1}', b"x" * 200_000])
def test_con_12_a_list_that_cannot_be_read_blocks_everybody_until_somebody_lifts_it(
    tmp_path: Path, content: bytes
) -> None:
    machine, path = Machine(), tmp_path / "blocks.json"
    path.write_bytes(content)
    blocks = kept(path, machine)
    assert code(blocks, "bob", BEN) is ErrorCode.E_CONSENT_BLOCKED
    assert len(blocks.end("all", BEN)) == 1
    assert code(kept(path, machine), "bob", BEN) is None


def test_no_file_makes_a_block_longer_than_an_hour(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "blocks.json"
    kept(path, machine).begin(MISMATCH)
    document = json.loads(path.read_bytes())
    document["blocks"][0]["left_s"] = 1e12
    path.write_text(json.dumps(document))
    [left] = kept(path, machine).live()
    assert left.left_s == BLOCK_LENGTH_S


def test_a_full_disk_takes_no_block_away(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path / "not-there" / "blocks.json", Machine().now)
    blocks.begin(MISMATCH)
    assert code(blocks) is ErrorCode.E_READBACK_BLOCKED


def test_con_12_only_who_said_so_lifts_it_and_the_service_s_own_user(tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "blocks.json"
    blocks = kept(path, machine)
    block_id = blocks.begin(MISMATCH).block_id
    with pytest.raises(Refused, match=ErrorCode.E_BLOCK_UNKNOWN):
        blocks.end(block_id, BEN)
    assert blocks.end("all", BEN) == []
    assert code(blocks) is ErrorCode.E_READBACK_BLOCKED
    assert [each.block_id for each in blocks.end(block_id, ANNA)] == [block_id]
    assert code(blocks) is code(kept(path, machine)) is None
    blocks.begin(MISMATCH)
    assert len(blocks.end("all")) == 1
    assert not path.exists()


def test_what_is_remembered_is_bounded() -> None:
    blocks = Blocks(None, Machine().now)
    for number in range(BLOCKS_LIMIT + 5):
        blocks.begin(Blocked(f"t{number}", "", ANNA))
    assert len(blocks.live()) == BLOCKS_LIMIT


def test_a_block_of_an_older_version_goes_on_once(tmp_path: Path) -> None:
    """They were kept in `patience.json`, on the whole device, and nobody knows whose they are."""
    machine, patience, path = Machine(), tmp_path / "patience.json", tmp_path / "blocks.json"
    older = KeptPatience([KeptNoes("ada", 2, 5.0, 3000.0), KeptNoes("bob", 1, 5.0)], [5.0])
    patience.write_bytes(msgspec.json.encode(_File(machine.now(), older)))
    machine.passes(600)
    blocks = kept(path, machine)
    load_patience(patience, 0.0, machine.now, blocks.take_over)
    [left] = blocks.live()
    assert (left.technician_id, left.left_s, left.uid) == ("ada", 2400.0, None)
    assert code(blocks, uid=BEN) is ErrorCode.E_CONSENT_BLOCKED
    blocks.end("all", BEN)
    again = kept(path, machine)
    assert isinstance(load_patience(patience, 0.0, machine.now, again.take_over), AskPatience)
    assert code(again) is None, "what was lifted does not come back"


class Desk:
    """The desk on a local socket, with who is here played."""

    def __init__(self, folder: Path) -> None:
        self.blocks = Blocks(folder / "blocks.json")
        self.audit = QuietAudit()
        self.is_anybody_here = False
        desk = BlocksDesk(self.blocks, self.audit, "device", lambda _uid: self.is_anybody_here)
        self.path = folder / "run" / "agent.sock"
        handlers = {BlocksAsked: desk.handle, BlockLifted: desk.handle}
        self.server = LocalServer(self.path, handlers, allowed_uids=frozenset({os.geteuid()}))


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Desk]:
    desk = Desk(folder)
    await desk.server.open()
    try:
        yield desk
    finally:
        await desk.server.close()


@pytest.mark.real
async def test_con_12_the_person_sees_and_lifts_a_block_and_both_are_written_down(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        assert await ask_blocks(desk.path) == []
        block = desk.blocks.begin(MISMATCH)
        [row] = await ask_blocks(desk.path)
        assert (row.block_id, row.name, row.is_mismatch, row.may_lift) == (
            block.block_id,
            "Ada King",
            True,
            True,
        )
        assert [row.block_id for row in await lift_block(desk.path, block.block_id)] == [block.block_id]
        assert await ask_blocks(desk.path) == []
        with pytest.raises(Refused, match=ErrorCode.E_BLOCK_UNKNOWN):
            await lift_block(desk.path, block.block_id)
    [event] = desk.audit.events
    assert isinstance(event, AuditEvent)
    assert (event.kind.value, event.actor, event.facts["whom"]) == ("block.ended", "person", "ada")


@pytest.mark.real
async def test_p6_nothing_is_lifted_while_somebody_is_here_who_could_press_for_the_person(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as desk:
        desk.blocks.begin(MISMATCH)
        desk.is_anybody_here = True
        with pytest.raises(Refused, match=ErrorCode.E_BUSY):
            await lift_block(desk.path, "all")
        assert desk.audit.events == []
        desk.is_anybody_here = False
        assert len(await asyncio.wait_for(lift_block(desk.path, "all"), 20)) == 1, "control"


@pytest.mark.real
def test_con_12_without_an_organisation_no_code_is_shown_until_the_person_lifts_it(tmp_path: Path) -> None:
    """No service runs between two codes; the relay that is named here leads nowhere."""
    data = tmp_path / "agent"
    data.mkdir(mode=0o700)
    Blocks(data / "blocks.json").begin(Blocked(UNVERIFIED, "", os.geteuid(), is_mismatch=True))
    words = ("help-me", "--relay", "http://127.0.0.1:9")
    assert call(*words, data=data, ok=False)["error"]["code"] == ErrorCode.E_CODE_BLOCKED
    assert len(call("blocks", "lift", "all", data=data)["lifted"]) == 1
    assert not (data / "blocks.json").exists()
    assert call(*words, data=data, ok=False)["error"]["code"] != ErrorCode.E_CODE_BLOCKED, "control"
    kinds = [line.kind for line in read_history(data / "audit.jsonl", 100)[0]]
    assert "block.ended" in kinds
