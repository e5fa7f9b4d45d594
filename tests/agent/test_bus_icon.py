"""The icon in trays that speak StatusNotifierItem: a real bus, a real panel, and what is asked and told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jeepney import DBusAddress

from agent.bus_frames import (
    MESSAGE_LIMIT_BYTES,
    NOTHING,
    BusMessage,
    Content,
    Frames,
    Kind,
    Target,
    read_message,
    write_call,
    write_signal,
)
from agent.desktop.ipc_messages import HideIndicator
from agent.desktop.tray_address import bus_address
from agent.desktop.tray_icon import WINDOW_NAME
from agent.desktop.tray_item import (
    ITEM,
    ITEM_PATH,
    MENU,
    MENU_PATH,
    PROPERTIES,
    READ_ONLY,
    UNKNOWN_METHOD,
    UNKNOWN_PROPERTY,
    Shown,
    answer_call,
    argb_picture,
)
from tests.agent.test_desktop_tray import LIMIT_S, restore
from tests.support.desktop_person import ESCAPE
from tests.support.desktop_service import an_indicator, wait_for
from tests.support.session_bus import BusDaemon, BusProgram, Watcher, session_bus, xfce_panel
from tests.support.tray_program import tray_program
from tests.support.tray_service import TrayService, desktop_with_tray
from tests.support.x_person import XPerson

SHOWN = Shown("Alongside: Ready", "Ready", "Open Alongside", is_urgent=False, pictures=(), revision=1)
TARGET = Target("", ITEM_PATH, ITEM, "NewTitle")


def a_call(path: str, interface: str, name: str, *body: object) -> BusMessage:
    return BusMessage(Kind.CALL, 7, 0, ":1.9", path, interface, name, body, wants_reply=True)


@given(st.lists(st.text(max_size=40), max_size=5), st.integers(1, 60))
def test_messages_come_whole_however_the_stream_is_cut(texts: list[str], step: int) -> None:
    stream = b"".join(write_signal(TARGET, Content("s", (text,)), 1) for text in texts)
    frames = Frames()
    found = [frame for at in range(0, len(stream), step) for frame in frames.feed(stream[at : at + step])]
    read = [read_message(frame) for frame in found]
    assert [message.body for message in read if message is not None] == [(text,) for text in texts]


def test_a_message_that_is_too_long_is_passed_over_and_the_next_one_is_read() -> None:
    long = write_signal(TARGET, Content("s", ("x" * MESSAGE_LIMIT_BYTES,)), 1)
    stream = long + write_signal(TARGET, Content("s", ("next",)), 2)
    frames, found = Frames(), []
    for at in range(0, len(stream), 1000):
        found += frames.feed(stream[at : at + 1000])
        assert len(frames._kept) <= MESSAGE_LIMIT_BYTES
    (message,) = (read_message(frame) for frame in found)
    assert message is not None
    assert message.body == ("next",)


def test_what_is_no_message_ends_the_connection() -> None:
    with pytest.raises(ValueError, match="byte order"):
        Frames().feed(b"GET / HTTP/1.1\r\n")
    with pytest.raises(ValueError, match="longer"):
        Frames().feed(b"l\1\0\1" + b"\xff" * 12)


def test_an_array_of_nothing_is_not_read_for_ever() -> None:
    call = write_call(Target(":1.1", ITEM_PATH, ITEM, "x"), Content("a(y)", ([(1,)],)), 1)
    good = read_message(call)
    assert good is not None  # control
    assert read_message(call.replace(b"a(y)\0", b"a()\0\0")) is None


@given(st.binary(max_size=400))
def test_noise_in_a_message_says_nothing_or_something(noise: bytes) -> None:
    frame = write_call(Target(":1.1", ITEM_PATH, ITEM, "x"), Content("ay", (noise,)), 1)
    read_message(noise)
    read_message(frame[:16] + noise + frame[16 + len(noise) :])


def test_a_picture_is_opaque_and_in_the_order_of_the_network() -> None:
    ppm = b"P6 1 1 255\n" + bytes((1, 2, 3))
    assert argb_picture(ppm, 1) == (1, 1, bytes((255, 1, 2, 3)))


def test_only_three_calls_and_one_line_of_the_menu_open_the_window() -> None:
    opened: list[str] = []
    names = ("Activate", "SecondaryActivate", "ContextMenu", "Scroll", "Allow", "Stop", "GetAll", "Event")
    for name in names:
        answer_call(a_call(ITEM_PATH, ITEM, name, 1, 1), SHOWN, lambda name=name: opened.append(name))
    assert opened == ["Activate", "SecondaryActivate", "ContextMenu"]
    for number in (0, 1, 2, 3, "2"):
        event = a_call(MENU_PATH, MENU, "Event", number, "clicked", ("s", ""), 0)
        answer_call(event, SHOWN, lambda number=number: opened.append(f"line {number}"))
    assert opened[3:] == ["line 2"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (a_call(ITEM_PATH, ITEM, "Allow"), UNKNOWN_METHOD),
        (a_call("/", ITEM, "Activate", 0, 0), UNKNOWN_METHOD),
        (a_call(MENU_PATH, ITEM, "Activate", 0, 0), UNKNOWN_METHOD),
        (a_call(ITEM_PATH, PROPERTIES, "Set", ITEM, "Title", ("s", "x")), READ_ONLY),
        (a_call(ITEM_PATH, PROPERTIES, "Get", ITEM, "Secret"), UNKNOWN_PROPERTY),
        (a_call(ITEM_PATH, PROPERTIES, "Get"), UNKNOWN_PROPERTY),
        (a_call(MENU_PATH, MENU, "GetProperty", 99, "label"), UNKNOWN_PROPERTY),
        (a_call(MENU_PATH, MENU, "EventGroup", []), UNKNOWN_METHOD),
    ],
)
def test_whatever_else_is_asked_is_refused_by_name(call: BusMessage, error: str) -> None:
    assert answer_call(call, SHOWN, lambda: pytest.fail("it opened")).error == error


def test_somebody_who_is_here_wants_attention_and_nothing_else_does() -> None:
    quiet = answer_call(a_call(ITEM_PATH, PROPERTIES, "Get", ITEM, "Status"), SHOWN, lambda: None)
    urgent = Shown("t", "s", "o", is_urgent=True, pictures=(), revision=2)
    loud = answer_call(a_call(ITEM_PATH, PROPERTIES, "Get", ITEM, "Status"), urgent, lambda: None)
    assert quiet.content.body == (("s", "Active"),)
    assert loud.content.body == (("s", "NeedsAttention"),)
    assert (
        answer_call(a_call("", "org.freedesktop.DBus.Peer", "Ping"), SHOWN, lambda: None).content == NOTHING
    )


def test_the_bus_is_where_the_session_says_or_where_its_folder_is() -> None:
    assert bus_address({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/a"}) == "unix:path=/a"
    assert bus_address({"DBUS_SESSION_BUS_ADDRESS": "", "XDG_RUNTIME_DIR": "/run/user/7"}) == ""
    assert bus_address({"XDG_RUNTIME_DIR": "/run/user/7"}) == "unix:path=/run/user/7/bus"
    assert bus_address({}) == ""


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[BusDaemon]:
    with session_bus(tmp_path) as daemon:
        yield daemon


@pytest.fixture
def service(display: str, bus: BusDaemon, tmp_path: Path) -> Iterator[TrayService]:
    with desktop_with_tray(tmp_path, display, bus.address) as served:
        yield served


def click_tray(person: XPerson) -> None:
    """The panel's plug-in is its tray, and that holds nothing but our icon."""
    tray = person.find_class("wrapper-2.0")
    if tray is not None:
        person.click(*tray.middle)


@pytest.mark.real
def test_the_tray_of_xfce_may_die_and_a_click_in_the_next_one_opens_the_window(
    display: str, bus: BusDaemon, service: TrayService, person: XPerson, tmp_path: Path
) -> None:
    def opened() -> bool:
        if person.find("panel:help") is None:
            click_tray(person)
        return person.find("panel:help") is not None

    with xfce_panel(tmp_path, display, bus.address) as panel:
        panel.start()
        show_in_panel(bus, person)
        panel.kill()
        panel.start()
        show_in_panel(bus, person)
        wait_for(opened, LIMIT_S)


def show_in_panel(bus: BusDaemon, person: XPerson) -> None:
    """Until the panel's watcher knows the icon, and no other icon of ours is there."""
    asking = BusProgram(bus.address)
    assert str(asking.value(asking.the_item(), "Title")).startswith("Alongside: ")
    wait_for(lambda: person.find_class(WINDOW_NAME) is None, LIMIT_S)
    asking.close()


@pytest.mark.real
def test_what_the_bus_tells_follows_the_state(bus: BusDaemon, service: TrayService) -> None:
    watcher = Watcher(bus.address, has_host=True)
    item = watcher.serve()
    other = BusProgram(bus.address)
    wait_for(lambda: other.value(item, "Title") == "Alongside: Ready", LIMIT_S)
    quiet = other.value(item, "IconPixmap")
    menu = DBusAddress(MENU_PATH, item.bus_name, MENU)
    first, _ = other.ask(menu, "GetLayout", "iias", 0, -1, [])
    assert [(width, height, len(pixels)) for width, height, pixels in quiet] == [
        (side, side, side * side * 4) for side in (22, 32, 48)
    ]
    service.order(an_indicator())
    wait_for(lambda: other.value(item, "Status") == "NeedsAttention", LIMIT_S)
    assert other.value(item, "IconPixmap") != quiet
    assert other.value(item, "ToolTip")[2:] == ("Alongside: Someone is here", "Someone is here")
    revision, (_, _, lines) = other.ask(menu, "GetLayout", "iias", 0, -1, [])
    assert revision > first, "a tray would keep the menu that it has"
    labels = [line[1][1]["label"][1] for line in lines]
    assert labels == ["Alongside: Someone is here", "Open Alongside"]
    service.order(HideIndicator(an_indicator().session_id))
    wait_for(lambda: other.value(item, "Status") == "Active", LIMIT_S)
    for program in (watcher, other):
        program.close()


@pytest.mark.real
def test_when_the_watcher_dies_the_window_waits_in_the_window_list(
    display: str, bus: BusDaemon, service: TrayService, person: XPerson
) -> None:
    watcher = Watcher(bus.address, has_host=True)
    item = watcher.serve()
    other = BusProgram(bus.address)
    other.ask(item, "Activate", "ii", 0, 0)
    wait_for(lambda: person.find("panel:help") is not None, LIMIT_S)
    person.key(ESCAPE)
    wait_for(lambda: person.find("panel:help") is None, LIMIT_S)
    watcher.close()
    restore(display, person)
    other.close()


@pytest.mark.real
def test_without_a_host_the_icon_is_in_the_tray_of_x11_and_moves_when_one_comes_and_goes(
    display: str, bus: BusDaemon, service: TrayService, person: XPerson
) -> None:
    with tray_program(display) as tray:
        tray.start()
        watcher = Watcher(bus.address, has_host=False)
        watcher.serve()
        wait_for(lambda: person.find_class(WINDOW_NAME) is not None, LIMIT_S)
        watcher.change_host(has_host=True)
        wait_for(lambda: person.find_class(WINDOW_NAME) is None, LIMIT_S)
        watcher.change_host(has_host=False)
        wait_for(lambda: person.find_class(WINDOW_NAME) is not None, LIMIT_S)
        watcher.change_host(has_host=True)
        wait_for(lambda: person.find_class(WINDOW_NAME) is None, LIMIT_S)
        watcher.close()  # it dies
        wait_for(lambda: person.find_class(WINDOW_NAME) is not None, LIMIT_S)
        again = Watcher(bus.address, has_host=True)
        again.serve()
        wait_for(lambda: person.find_class(WINDOW_NAME) is None, LIMIT_S)
        bus.kill()  # and with it every program's connection
        again.close()
        wait_for(lambda: person.find_class(WINDOW_NAME) is not None, LIMIT_S)
        bus.start()
        last = Watcher(bus.address, has_host=True)
        last.serve()
        wait_for(lambda: person.find_class(WINDOW_NAME) is None, LIMIT_S)
        last.close()
