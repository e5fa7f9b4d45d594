"""Programs on the person's session bus: they can open the person's own window, and nothing else (0034)."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from jeepney import DBusAddress, MessageFlag, new_method_call

from agent.bus_frames import MESSAGE_LIMIT_BYTES
from agent.desktop.ipc_messages import FromDesktop, HideIndicator, PromptAnswered, StopPressed
from agent.desktop.tray_item import ITEM, MENU, MENU_PATH, PROPERTIES, READ_ONLY, UNKNOWN_METHOD
from tests.support.desktop_service import a_prompt, an_indicator, wait_for
from tests.support.session_bus import BusDaemon, BusProgram, Watcher, session_bus
from tests.support.tray_service import TrayService, desktop_with_tray
from tests.support.x_display import x_display
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real

LIMIT_S = 20.0
FLOOD = 3000


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with x_display(has_window_manager=True) as name:
        yield name


@pytest.fixture
def person(display: str) -> Iterator[XPerson]:
    someone = XPerson(display)
    yield someone
    someone.close()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[BusDaemon]:
    with session_bus(tmp_path) as daemon:
        yield daemon


@pytest.fixture
def service(display: str, bus: BusDaemon, tmp_path: Path) -> Iterator[TrayService]:
    with desktop_with_tray(tmp_path, display, bus.address) as served:
        yield served


@pytest.fixture
def item(bus: BusDaemon, service: TrayService) -> Iterator[DBusAddress]:
    watcher = Watcher(bus.address, has_host=True)
    yield watcher.serve()
    watcher.close()


@pytest.fixture
def attacker(bus: BusDaemon) -> Iterator[BusProgram]:
    program = BusProgram(bus.address)
    yield program
    program.close()


def answers(service: TrayService) -> list[FromDesktop]:
    return [told for told in service.said if isinstance(told, PromptAnswered | StopPressed)]


def refused(person: XPerson, service: TrayService) -> bool:
    """Press it: the prompt may come back to the top only after another window of ours was opened."""
    button = person.find("refuse")
    if button is not None and not answers(service):
        person.click(*button.middle)
    return bool(answers(service))


def test_ipc_12_no_call_answers_a_question_and_a_click_does(
    item: DBusAddress, service: TrayService, attacker: BusProgram, person: XPerson
) -> None:
    service.order(a_prompt())
    wait_for(lambda: person.find("allow") is not None, LIMIT_S)
    menu = DBusAddress(MENU_PATH, item.bus_name, MENU)
    for name in ("Allow", "Answer", "Stop", "Quit", "Activate", "SecondaryActivate", "ContextMenu"):
        for signature, words in (("ii", (0, 0)), ("", ()), ("s", ("s1",))):
            if name.endswith(("tivate", "Menu")):
                attacker.ask(item, name, signature, *words)
                continue
            with pytest.raises(LookupError, match=UNKNOWN_METHOD):
                attacker.ask(item, name, signature, *words)
    for line in range(-1, 8):
        attacker.ask(menu, "Event", "isvu", line, "clicked", ("s", "allow"), 0)
    with pytest.raises(LookupError, match=READ_ONLY):
        attacker.ask(item.with_interface(PROPERTIES), "Set", "ssv", ITEM, "Status", ("s", "Passive"))
    assert person.find("allow") is not None, "a program answered in the person's place"
    assert not answers(service)

    wait_for(lambda: refused(person, service), LIMIT_S)  # control: the person does
    assert [type(each) for each in answers(service)] == [PromptAnswered]


def test_ipc_12_floods_and_long_messages_leave_stop_and_icon_at_work(
    item: DBusAddress, service: TrayService, attacker: BusProgram, person: XPerson
) -> None:
    service.order(an_indicator())
    wait_for(lambda: person.find("stop") is not None, LIMIT_S)
    for _ in range(FLOOD):
        call = new_method_call(item, "Activate", "ii", (0, 0))
        call.header.flags |= MessageFlag.no_reply_expected
        attacker.connection.send(call)
    long = "x" * (4 * MESSAGE_LIMIT_BYTES)
    attacker.connection.send(new_method_call(item, "Activate", "s", (long,)))  # never answered
    assert attacker.value(item, "Status") == "NeedsAttention"
    stop = person.find("stop")
    assert stop is not None
    person.click(*stop.middle)
    wait_for(lambda: [type(each) for each in answers(service)] == [StopPressed], LIMIT_S)
    service.order(HideIndicator(an_indicator().session_id))
    wait_for(lambda: attacker.value(item, "Status") == "Active", LIMIT_S)


def test_ipc_12_a_bus_that_speaks_something_else_costs_the_icon_and_nothing_more(
    display: str, tmp_path: Path, person: XPerson
) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "false"))
    listener.listen(1)
    with listener, desktop_with_tray(tmp_path, display, f"unix:path={tmp_path / 'false'}") as service:
        connected, _ = listener.accept()
        with connected:
            assert connected.recv(100).startswith(b"\0AUTH EXTERNAL")
            connected.sendall(b"OK 0123\r\n")
            assert connected.recv(100).startswith(b"BEGIN")
            connected.sendall(b"l" + b"\xff" * 4000)
            while connected.recv(4000):  # until they hang up
                pass
        service.order(an_indicator())
        wait_for(lambda: person.find("stop") is not None, LIMIT_S)
