"""Each request id once, a few commands at a time."""

import pytest

from agent.capabilities.commands import ledger as ledger_module
from agent.capabilities.commands.ledger import CommandLedger
from protocol.errors import ErrorCode, Refused
from protocol.ids import new_request_id
from protocol.limits import COMMANDS_AT_ONCE_LIMIT


def test_an_id_is_taken_once() -> None:
    ledger, request_id = CommandLedger(), new_request_id()
    ledger.take(request_id)
    with pytest.raises(Refused) as caught:
        ledger.take(request_id)
    assert caught.value.code is ErrorCode.E_STATE


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    ledger, first = CommandLedger(), new_request_id()
    ledger.take(first)
    for _ in range(ledger_module.REMEMBERED_LIMIT - 1):
        ledger.take(new_request_id())
    with pytest.raises(Refused):
        ledger.take(first)
    ledger.take(new_request_id())
    ledger.take(first)


def test_one_command_more_than_the_places_is_refused_and_a_place_comes_back() -> None:
    ledger = CommandLedger()
    places = [ledger.place() for _ in range(COMMANDS_AT_ONCE_LIMIT)]
    for place in places:
        place.__enter__()
    with pytest.raises(Refused) as caught, ledger.place():
        pass
    assert caught.value.code is ErrorCode.E_BUSY
    places[0].__exit__(None, None, None)
    with ledger.place():
        pass
