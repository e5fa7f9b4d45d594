"""Diagnostics and commands at the technician's end, over a channel that a test scripts."""

import asyncio
import json
from collections import deque

import pytest

from protocol.catalogue import Catalogue, CommandEntry
from protocol.errors import ErrorCode, SupportError, Unreachable
from protocol.messages import commands, diagnostics
from protocol.messages.commands import CancelCommand, CommandEnded, CommandOutput, CommandStarted, RunCommand
from protocol.policy import default_policy, parse_policy
from technician_client.capabilities.commands import run_command
from technician_client.capabilities.diagnostics import read_snapshot
from tests.support.organisation import acme


def shipped_catalogue() -> Catalogue:
    document = default_policy(acme().organisation_id, now=acme().now)
    return parse_policy(json.dumps(document).encode()).catalogue


PING: CommandEntry = shipped_catalogue().find("ping")


class Channel:
    """What was sent, and what is to be received; then the channel is over."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.coming: deque[bytes] = deque()

    async def send(self, message: bytes) -> None:
        self.sent.append(message)

    async def receive(self) -> bytes:
        await asyncio.sleep(0)
        if not self.coming:
            raise Unreachable("over", code=ErrorCode.E_LINK_LOST)
        return self.coming.popleft()


class CommandChannel(Channel):
    """Answers a RunCommand with these messages, under its request id."""

    def __init__(self, *answers: commands.FromAgent, request_id: str = "") -> None:
        super().__init__()
        self._answers = answers
        self._request_id = request_id

    async def send(self, message: bytes) -> None:
        await super().send(message)
        order = commands.FROM_TECHNICIAN_CODEC.decode(message)
        if not isinstance(order, RunCommand):
            return
        for answer in self._answers:
            fields = {name: getattr(answer, name) for name in answer.__struct_fields__}
            named = type(answer)(**(fields | {"request_id": self._request_id or order.request_id}))
            self.coming.append(commands.FROM_AGENT_CODEC.encode(named))

    @property
    def orders(self) -> list[commands.FromTechnician]:
        return [commands.FROM_TECHNICIAN_CODEC.decode(message) for message in self.sent]


STARTED = CommandStarted("", ["/usr/bin/ping"])
OUTPUT = CommandOutput("", "stdout", b"64 bytes")
ENDED = CommandEnded("", 0, False, 0.1, "")


class TestRunningACommand:
    async def test_the_displayed_entry_is_named_by_its_hash(self):
        channel = CommandChannel(STARTED, OUTPUT, ENDED)
        seen = [message async for message in run_command(channel, PING, {"host": "example.org"})]
        assert [type(message) for message in seen] == [CommandStarted, CommandOutput, CommandEnded]
        (order,) = channel.orders
        assert isinstance(order, RunCommand)
        assert (order.command_id, order.entry_sha256) == ("ping", PING.sha256)

    async def test_a_value_that_the_catalogue_forbids_is_not_even_sent(self):
        channel = CommandChannel()
        with pytest.raises(SupportError) as caught:
            await anext(run_command(channel, PING, {"host": "-oProxyCommand=x"}))
        assert caught.value.code == ErrorCode.E_COMMAND_PARAMETER
        assert not channel.sent

    async def test_leaving_early_cancels_the_command(self):
        channel = CommandChannel(STARTED, OUTPUT)
        messages = run_command(channel, PING, {"host": "example.org"})
        await anext(messages)
        await messages.aclose()
        assert isinstance(channel.orders[-1], CancelCommand)

    async def test_a_finished_command_is_not_cancelled(self):
        channel = CommandChannel(ENDED)
        async for _ in run_command(channel, PING, {"host": "example.org"}):
            pass
        assert len(channel.orders) == 1

    async def test_messages_of_another_request_are_a_violation(self):
        channel = CommandChannel(STARTED, request_id="r-other")
        with pytest.raises(SupportError) as caught:
            await anext(run_command(channel, PING, {"host": "example.org"}))
        assert caught.value.code == ErrorCode.E_PROTOCOL


class TestReadingDiagnostics:
    async def test_the_snapshot_that_was_asked_for_is_returned(self):
        channel = Channel()
        snapshot = diagnostics.Snapshot(1, 0.1, None, None, None, [], [], [], [], [], [])
        channel.coming.append(diagnostics.FROM_AGENT_CODEC.encode(snapshot))
        assert await read_snapshot(channel) == snapshot
        assert diagnostics.FROM_TECHNICIAN_CODEC.decode(channel.sent[0]).request_no == 1

    async def test_an_answer_to_another_question_is_a_violation(self):
        channel = Channel()
        snapshot = diagnostics.Snapshot(2, 0.1, None, None, None, [], [], [], [], [], [])
        channel.coming.append(diagnostics.FROM_AGENT_CODEC.encode(snapshot))
        with pytest.raises(SupportError) as caught:
            await read_snapshot(channel)
        assert caught.value.code == ErrorCode.E_PROTOCOL
