"""The commands channel with a scripted worker: what is refused, in which order things are recorded."""

import pytest

from agent.capabilities.commands.capability import REQUESTS_PER_MINUTE_LIMIT
from agent.exec.book import RequestState
from agent.exec.messages import ExecEnded, ExecOutput, ExecRefused
from protocol.audit import AuditKind
from protocol.errors import ErrorCode, NotGranted, PeerViolation
from protocol.ids import RequestId, new_request_id
from protocol.limits import COMMANDS_AT_ONCE_LIMIT
from protocol.messages.commands import CancelCommand, CommandOutput, CommandStarted, RunCommand
from tests.support.approved_commands import CommandBench, entry, request_for, signed_policy
from tests.support.exec_worker import PROGRAM, ScriptedStart
from tests.support.organisation import acme

ENTRIES = [
    entry("idle", PROGRAM),
    entry(
        "lookup",
        PROGRAM,
        "{name}",
        parameters={"name": {"type": "hostname", "description": "What to look up"}},
    ),
    entry("mac-only", PROGRAM, platforms=["macos"]),
]


@pytest.fixture
def start() -> ScriptedStart:
    return ScriptedStart()


@pytest.fixture
def bench(start: ScriptedStart) -> CommandBench:
    return CommandBench(acme().device(), signed_policy(acme(), ENTRIES), start)


async def test_a_command_is_recorded_before_it_starts_and_its_output_arrives_in_order(
    bench: CommandBench, start: ScriptedStart
) -> None:
    async with bench:
        request = bench.ask("idle")
        assert isinstance(await bench.next(), CommandStarted)
        assert bench.audit.kinds == [AuditKind.COMMAND_REQUESTED, AuditKind.COMMAND_STARTED]
        (worker,) = start.workers
        worker.says.put_nowait(ExecOutput("stdout", b"one "))
        worker.says.put_nowait(ExecOutput("stdout", b"two"))
        worker.says.put_nowait(ExecEnded(3, True, 0.25, ""))
        outcome = await bench.outcome(request)
    assert outcome.started == CommandStarted(request.request_id, [PROGRAM])
    assert outcome.output() == b"one two"
    assert outcome.ended is not None
    assert (outcome.ended.exit_status, outcome.ended.is_truncated) == (3, True)
    assert bench.audit.kinds[-1] is AuditKind.COMMAND_ENDED
    assert worker.is_ended


@pytest.mark.parametrize(
    ("has_left_nothing", "kind", "state"),
    [
        (True, AuditKind.COMMAND_ENDED, RequestState.ENDED),
        (False, AuditKind.COMMAND_UNKNOWN, RequestState.UNKNOWN),
    ],
)
async def test_a_command_that_was_cut_has_ended_only_if_nothing_of_it_is_left(
    bench: CommandBench,
    start: ScriptedStart,
    has_left_nothing: bool,
    kind: AuditKind,
    state: RequestState,
) -> None:
    async with bench:
        request = bench.ask("idle")
        assert isinstance(await bench.next(), CommandStarted)
        bench.book.begin(RequestId(request.request_id))
        start.workers[0].has_left_nothing = has_left_nothing
    assert bench.audit.kinds[-1] is kind
    found = bench.book.find(RequestId(request.request_id))
    assert found is not None
    assert found.state is state


async def test_a_request_id_runs_once_however_often_it_is_sent(
    bench: CommandBench, start: ScriptedStart
) -> None:
    async with bench:
        request = bench.ask("idle")
        assert isinstance(await bench.next(), CommandStarted)
        start.workers[0].says.put_nowait(ExecEnded(0, False, 0.1, ""))
        await bench.outcome(request)
        bench.send(request)
        await bench.next()
    assert bench.outcomes[request.request_id].refused is not None
    assert len(start.workers) == 1
    assert bench.audit.kinds.count(AuditKind.COMMAND_STARTED) == 1


@pytest.mark.parametrize(
    ("command_id", "parameters", "code"),
    [
        ("mac-only", {}, ErrorCode.E_COMMAND_PLATFORM),
        ("lookup", {}, ErrorCode.E_COMMAND_PARAMETER),
        ("lookup", {"name": "--help"}, ErrorCode.E_COMMAND_PARAMETER),
        ("lookup", {"name": "a\nb"}, ErrorCode.E_COMMAND_PARAMETER),
        ("lookup", {"name": "localhost", "more": "x"}, ErrorCode.E_COMMAND_PARAMETER),
    ],
)
async def test_what_the_entry_does_not_allow_is_refused_and_recorded_and_starts_nothing(
    bench: CommandBench, start: ScriptedStart, command_id: str, parameters: dict[str, str], code: ErrorCode
) -> None:
    async with bench:
        outcome = await bench.run(command_id, **parameters)
    assert outcome.code == code
    assert start.workers == []
    assert bench.audit.kinds == [AuditKind.COMMAND_REQUESTED, AuditKind.COMMAND_REFUSED]


async def test_a_refusal_names_the_parameter(bench: CommandBench) -> None:
    async with bench:
        outcome = await bench.run("lookup", name="-rf")
    assert outcome.refused is not None
    assert "name" in outcome.refused.detail


async def test_cmd_12_an_entry_that_changed_after_it_was_displayed_is_unknown(
    bench: CommandBench, start: ScriptedStart
) -> None:
    displayed = signed_policy(acme(), [entry("idle", "/usr/bin/uptime")]).policy.catalogue.find("idle")
    async with bench:
        request = request_for(displayed)
        bench.send(request)
        outcome = await bench.outcome(request)
    assert outcome.code == ErrorCode.E_COMMAND_UNKNOWN
    assert start.workers == []


@pytest.mark.parametrize("command_id", ["no-such", "IDLE", "idle ", "idl\u0435", "\x1b[31midle"])
async def test_cmd_12_a_command_that_is_not_in_the_catalogue_is_unknown(
    bench: CommandBench, command_id: str
) -> None:
    async with bench:
        request = RunCommand(new_request_id(), command_id, "0" * 64, {})
        bench.send(request)
        outcome = await bench.outcome(request)
    assert outcome.code == ErrorCode.E_COMMAND_UNKNOWN


async def test_without_a_published_policy_nothing_runs(bench: CommandBench, start: ScriptedStart) -> None:
    async with bench:
        assert bench.in_force is not None
        request = request_for(bench.in_force.policy.catalogue.find("idle"))
        bench.in_force = None
        bench.send(request)
        outcome = await bench.outcome(request)
    assert outcome.code == ErrorCode.E_COMMAND_UNKNOWN
    assert start.workers == []


async def test_without_a_live_grant_nothing_runs(bench: CommandBench, start: ScriptedStart) -> None:
    async with bench:
        bench.channel.book.end_all()
        outcome = await bench.run("idle")
    assert outcome.code == ErrorCode.E_GRANT_NONE
    assert start.workers == []


@pytest.mark.parametrize("kind", [AuditKind.COMMAND_REQUESTED, AuditKind.COMMAND_STARTED])
async def test_what_cannot_be_recorded_is_not_started(
    bench: CommandBench, start: ScriptedStart, kind: AuditKind
) -> None:
    bench.audit.refused_kinds.add(kind)
    async with bench:
        outcome = await bench.run("idle")
    assert outcome.code == ErrorCode.E_AUDIT_WRITE
    assert not any(worker.was_let_go for worker in start.workers)


async def test_the_places_are_few_and_the_next_in_line_gets_one_that_comes_back(
    bench: CommandBench, start: ScriptedStart
) -> None:
    async with bench:
        requests = [bench.ask("idle") for _ in range(COMMANDS_AT_ONCE_LIMIT + 1)]
        for _ in range(COMMANDS_AT_ONCE_LIMIT):
            assert isinstance(await bench.next(), CommandStarted)
        assert len(start.workers) == COMMANDS_AT_ONCE_LIMIT
        start.workers[0].says.put_nowait(ExecEnded(0, False, 0.1, ""))
        await bench.outcome(requests[0])
        while bench.outcomes.get(requests[-1].request_id) is None:
            await bench.next()
    assert len(start.workers) == COMMANDS_AT_ONCE_LIMIT + 1


async def test_cancelling_ends_the_running_command(bench: CommandBench, start: ScriptedStart) -> None:
    async with bench:
        request = bench.ask("idle")
        await bench.next()
        bench.send(CancelCommand(request.request_id))
        outcome = await bench.outcome(request)
    assert outcome.ended is not None
    assert outcome.ended.exit_status == -1


async def test_cancelling_an_unknown_request_is_ignored(bench: CommandBench) -> None:
    async with bench:
        bench.send(CancelCommand(new_request_id()))
        assert (await bench.run("lookup")).code == ErrorCode.E_COMMAND_PARAMETER


async def test_the_channel_s_end_ends_the_worker_and_leaves_a_record(
    bench: CommandBench, start: ScriptedStart
) -> None:
    async with bench:
        bench.ask("idle")
        await bench.next()
    kind, facts, succeeded = bench.audit.records[-1]
    assert (kind, succeeded) == (AuditKind.COMMAND_ENDED, False)
    assert facts["code"] == ErrorCode.E_GRANT_ENDED
    assert start.workers[0].is_ended


async def test_a_worker_that_dies_ends_the_command_with_a_code(
    bench: CommandBench, start: ScriptedStart
) -> None:
    async with bench:
        request = bench.ask("idle")
        await bench.next()
        start.workers[0].says.put_nowait(None)
        outcome = await bench.outcome(request)
    assert outcome.ended is not None
    assert outcome.code == ErrorCode.E_COMMAND_OUTCOME
    assert bench.audit.kinds[-1] is AuditKind.COMMAND_UNKNOWN
    found = bench.book.find(RequestId(request.request_id))
    assert found is not None
    assert found.state is RequestState.NOT_RUN  # the scripted worker never said that it begins


async def test_the_worker_s_own_refusal_reaches_the_technician_and_the_log(
    bench: CommandBench, start: ScriptedStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench:
        request = bench.ask("idle")
        while not start.workers:
            await bench.next()
        start.workers[0].says.put_nowait(ExecRefused(ErrorCode.E_POLICY_SIGNATURE, "not signed"))
        outcome = await bench.outcome(request)
    assert outcome.code == ErrorCode.E_POLICY_SIGNATURE


async def test_the_order_is_bound_to_this_request_and_device(
    bench: CommandBench, start: ScriptedStart
) -> None:
    async with bench:
        request = bench.ask("lookup", name="localhost")
        await bench.next()
    order = start.workers[0].order
    assert order.request == request
    assert order.device_id == bench.surroundings.device.subject_id


async def test_a_malformed_request_id_ends_the_channel(bench: CommandBench) -> None:
    async with bench:
        bench.send(CancelCommand("../../etc"))
        assert bench.serving is not None
        with pytest.raises(PeerViolation):
            await bench.serving


async def test_aud_07_a_flood_of_requests_ends_the_channel_before_it_fills_the_audit_log(
    bench: CommandBench,
) -> None:
    async with bench:
        for _ in range(REQUESTS_PER_MINUTE_LIMIT + 50):
            bench.send(RunCommand(new_request_id(), "no-such", "0" * 64, {}))
        assert bench.serving is not None
        with pytest.raises(PeerViolation) as caught:
            await bench.serving
        assert caught.value.code is ErrorCode.E_RATE
    assert bench.audit.kinds.count(AuditKind.COMMAND_REQUESTED) == REQUESTS_PER_MINUTE_LIMIT


async def test_garbage_ends_the_channel(bench: CommandBench) -> None:
    async with bench:
        bench.channel.feed(b"\xff\x00garbage")
        assert bench.serving is not None
        with pytest.raises(PeerViolation):
            await bench.serving


async def test_a_grant_that_ends_while_the_worker_verifies_starts_nothing(
    bench: CommandBench, start: ScriptedStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    require = bench.channel.require

    def once(grantable):  # type: ignore[no-untyped-def]  # stands in for one method
        nonlocal calls
        calls += 1
        if calls > 2:
            raise NotGranted("ended")
        return require(grantable)

    monkeypatch.setattr(bench.channel, "require", once)
    async with bench:
        outcome = await bench.run("idle")
    assert outcome.code == ErrorCode.E_GRANT_NONE
    assert not start.workers[0].was_let_go


def test_a_chunk_fits_one_frame_of_the_tunnel() -> None:
    from agent.exec.messages import OUTPUT_CHUNK_LIMIT_BYTES
    from protocol.limits import FRAME_PAYLOAD_LIMIT_BYTES
    from protocol.messages.commands import FROM_AGENT_CODEC

    largest = CommandOutput(new_request_id(), "stdout", bytes(OUTPUT_CHUNK_LIMIT_BYTES))
    assert len(FROM_AGENT_CODEC.encode(largest)) <= FRAME_PAYLOAD_LIMIT_BYTES
