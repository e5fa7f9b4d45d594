"""The console's pages in a real browser, with a scripted device behind them."""

import asyncio
import re
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page, expect

from protocol.errors import ErrorCode, Unreachable
from protocol.messages.input import Event, Key, PointerButton, PointerMove, PointerWheel, TypeText
from protocol.messages.session import OfferRating
from technician_client.console.backend import DeviceRow, LinkState
from tests.support.console_desk import CHROMIUM, HASH_OF_CANVAS, Desk, rgba_hash, seen
from tests.support.console_fakes import (
    DESK,
    HOSTILE,
    HOSTILE_NAME,
    device_row,
    sample_snapshot,
)
from tests.support.fake_screen import colour_card

pytestmark = [
    pytest.mark.real,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
WIDTH, HEIGHT = 400, 300


async def test_the_canvas_equals_the_source_pixel_for_pixel(desk: Desk) -> None:
    session = await desk.open_kiosk()
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(session.script.picture)
    assert session.screen is not None
    for shift in (1, 77):
        await seen(session, session.screen.show(colour_card(WIDTH, HEIGHT, shift)))
        assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(colour_card(WIDTH, HEIGHT, shift))
    dataset: dict[str, str] = await desk.page.evaluate("({...document.querySelector('#screen').dataset})")
    assert dataset["pictures"] == "3"
    assert (dataset["width"], dataset["height"]) == (str(WIDTH), str(HEIGHT))
    assert 0 <= float(dataset["ageMs"]) < 5000


async def test_a_full_hd_picture_in_many_parts_is_exact(desk: Desk) -> None:
    desk.app.script.picture = colour_card(1920, 1080)
    session = await desk.open_kiosk()
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(session.script.picture)


async def test_the_kiosk_shows_only_the_canvas_at_its_own_size(desk: Desk) -> None:
    await desk.open_kiosk()
    area: dict[str, float] = await desk.page.evaluate(
        "(({x, y, width, height}) => ({x, y, width, height}))"
        "(document.querySelector('#screen').getBoundingClientRect())"
    )
    assert area == {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}
    assert await desk.page.inner_text("body") == ""


async def test_the_kiosk_comes_back_after_a_lost_link_and_not_after_a_stop(desk: Desk) -> None:
    first = await desk.open_kiosk()
    first.stop(ErrorCode.E_LINK_LOST)
    await desk.page.wait_for_selector("html[data-state=ended]")
    await desk.page.wait_for_selector("html[data-state=live][data-control=allowed]")
    assert len(desk.app.sessions) == 2
    assert [one["reason"] for one in desk.app.sessions[1].asked] == ["kiosk", "kiosk"]
    desk.app.sessions[1].stop()
    await desk.page.wait_for_selector("html[data-state=ended]")
    await expect(desk.page.locator(".message")).to_contain_text("stopped the session")
    await expect(desk.page.locator("#screen")).to_be_hidden()  # its last picture is old
    await asyncio.sleep(1.2)  # longer than the first delay of the back-off
    assert len(desk.app.sessions) == 2


async def test_the_kiosk_says_that_the_screen_was_started_again_and_shows_it_exactly(desk: Desk) -> None:
    session = await desk.open_kiosk()
    assert session.screen is not None
    session.screen.restart()
    for shift in (1, 2):
        session.screen.show(colour_card(WIDTH, HEIGHT, shift))
    await seen(session, 2)
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(colour_card(WIDTH, HEIGHT, 2))
    await expect(desk.page.locator(".message")).to_contain_text("was started again")
    assert await desk.page.evaluate("document.documentElement.dataset.state") == "live"


def pressed(events: list[Event]) -> list[tuple[int, bool]]:
    return [(event.keysym, event.is_pressed) for event in events if isinstance(event, Key)]


async def test_keys_arrive_as_their_keysyms(desk: Desk) -> None:
    session = await desk.open_kiosk()
    await desk.page.focus("#screen")
    for key in ("a", "A", "Enter", "ArrowLeft", "F5", "NumpadAdd"):
        await desk.page.keyboard.press(key)
    keysyms = [0x61, 0x41, 0xFF0D, 0xFF51, 0xFFC2, 0xFFAB]
    expected = [pair for keysym in keysyms for pair in ((keysym, True), (keysym, False))]
    assert pressed(await desk.events(session, len(expected))) == expected


async def test_a_shortcut_arrives_with_its_modifier_around_it(desk: Desk) -> None:
    session = await desk.open_kiosk()
    await desk.page.focus("#screen")
    await desk.page.keyboard.press("Control+c")
    expected = [(0xFFE3, True), (0x63, True), (0x63, False), (0xFFE3, False)]
    assert pressed(await desk.events(session, 4)) == expected


# what browsers say for keys that no plain layout has: (key, code, location, keysym)
SPECIAL = [
    ("€", "KeyE", 0, 0x010020AC),
    ("@", "KeyQ", 0, 0x40),  # AltGr + Q on a German keyboard
    ("ü", "BracketLeft", 0, 0xFC),
    ("Ж", "Semicolon", 0, 0x01000416),
    ("😀", "KeyX", 0, 0x0101F600),
    ("Shift", "ShiftRight", 2, 0xFFE2),
    ("Meta", "MetaLeft", 1, 0xFFEB),
    ("7", "Numpad7", 3, 0xFFB7),
    ("Enter", "NumpadEnter", 3, 0xFF8D),
    ("AudioVolumeUp", "AudioVolumeUp", 0, 0x1008FF13),
]
DISPATCH = """([type, key, code, location]) => document.querySelector("#key-sink").dispatchEvent(
  new KeyboardEvent(type, {key, code, location, bubbles: true, cancelable: true}))"""


async def test_keys_of_other_layouts_arrive_as_their_keysyms(desk: Desk) -> None:
    session = await desk.open_kiosk()
    await desk.page.focus("#screen")
    for key, code, location, _ in SPECIAL:
        for kind in ("keydown", "keyup"):
            await desk.page.evaluate(DISPATCH, [kind, key, code, location])
    expected = [pair for *_, keysym in SPECIAL for pair in ((keysym, True), (keysym, False))]
    assert pressed(await desk.events(session, len(expected))) == expected


async def test_alt_gr_on_windows_leaves_no_control_down(desk: Desk) -> None:
    session = await desk.open_kiosk()
    await desk.page.focus("#screen")
    steps = [("keydown", "Control", "ControlLeft", 1), ("keydown", "AltGraph", "AltRight", 2)]
    steps += [("keydown", "@", "KeyQ", 0), ("keyup", "@", "KeyQ", 0)]
    steps += [("keyup", "Control", "ControlLeft", 1), ("keyup", "AltGraph", "AltRight", 2)]
    for step in steps:
        await desk.page.evaluate(DISPATCH, list(step))
    expected = [(0xFFE3, True), (0xFFE3, False), (0x40, True), (0x40, False)]
    assert pressed(await desk.events(session, 4)) == expected


async def test_composed_text_arrives_as_text(desk: Desk) -> None:
    session = await desk.open_kiosk()
    await desk.page.focus("#screen")
    await desk.page.keyboard.insert_text("日本語")
    events = await desk.events(session, 1)
    assert events == [TypeText("日本語")]


async def test_leaving_the_canvas_releases_every_key(desk: Desk) -> None:
    session = await desk.open_kiosk()
    await desk.page.focus("#screen")
    await desk.page.keyboard.down("Shift")
    await desk.events(session, 1)
    await desk.page.evaluate("document.activeElement.blur()")
    sent = session.channels["input.control"].sent  # type: ignore[index]  # a StrEnum is its text
    async with asyncio.timeout(5):
        while b"input.release_all" not in sent[-1]:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.02)


async def test_the_pointer_arrives_in_pixels_of_the_display(desk: Desk) -> None:
    session = await desk.open_kiosk()
    await desk.page.mouse.move(120, 80)
    await desk.page.mouse.down(button="right")
    await desk.page.mouse.up(button="right")
    await desk.page.mouse.wheel(0, 240)
    events = await desk.events(session, 4)
    assert PointerMove(120, 80) in events
    assert [event for event in events if isinstance(event, PointerButton)] == [
        PointerButton(3, True),
        PointerButton(3, False),
    ]
    wheel = next(event for event in events if isinstance(event, PointerWheel))
    assert wheel.vertical > 0
    assert wheel.horizontal == 0


async def test_a_move_does_not_wait_for_an_animation_frame_and_is_sent_once(desk: Desk) -> None:
    session = await desk.open_kiosk()
    place = "{clientX: 33, clientY: 44, bubbles: true, cancelable: true}"
    for kind in ("pointerrawupdate", "pointermove"):
        await desk.page.evaluate(
            f"document.getElementById('screen').dispatchEvent(new PointerEvent('{kind}', {place}))"
        )
    await desk.page.focus("#screen")
    await desk.page.keyboard.press("a")
    events = await desk.events(session, 3)
    assert events == [PointerMove(33, 44), Key(97, True), Key(97, False)]
    await desk.page.evaluate(
        """() => document.getElementById("screen").dispatchEvent(
          new PointerEvent("pointerrawupdate", {clientX: 55, clientY: 66, cancelable: true}))"""
    )
    assert (await desk.events(session, 4))[3] == PointerMove(55, 66)


async def test_nothing_is_sent_while_control_is_not_allowed(desk: Desk) -> None:
    desk.app.script.refused = {"input.control": "E_CONSENT_DENIED"}
    session = await desk.open_kiosk()
    await desk.page.focus("#screen")
    await desk.page.keyboard.press("a")
    await desk.page.mouse.click(10, 10)
    await asyncio.sleep(0.1)
    assert "input.control" not in session.channels


async def test_hostile_names_are_shown_as_text_everywhere(desk: Desk) -> None:
    desk.app.script.name = HOSTILE_NAME
    hostile = msgspec.to_builtins(sample_snapshot(HOSTILE_NAME))
    hostile["processes"][0]["name"] = "<script>alert(1)</script>"
    desk.app.script.snapshot = msgspec.convert(hostile, type(sample_snapshot()))
    desk.app.script.output = b"<img src=x onerror=alert(1)>\x1b[31m\n"
    await desk.enter()
    row = desk.page.locator(f"tr[data-device={HOSTILE}]")
    await expect(row).to_contain_text('<img src=x onerror="alert(1)">')
    await row.locator("a.device-name").click()
    await expect(desk.page.locator("#device-name")).to_contain_text("<img src=x")
    await desk.page.click("#tab-diagnostics")
    await desk.page.click("#diagnostics-gate button.primary")
    await expect(desk.page.locator("#diagnostics")).to_contain_text("<script>alert(1)</script>")
    await expect(desk.page.locator("#diagnostics")).to_contain_text('<img src=x onerror="alert(1)">')
    await desk.page.click("#tab-commands")
    await desk.page.click("#commands-gate button.primary")
    await desk.page.click("#commands .command button[type=submit]")
    await expect(desk.page.locator(".output")).to_contain_text("<img src=x onerror=alert(1)>\ufffd[31m")
    assert await desk.page.locator("img").count() == 0
    assert "\u202e" not in await desk.page.content()


async def test_the_keyboard_alone_leads_from_the_list_to_the_picture_and_back_out(desk: Desk) -> None:
    await desk.enter()
    await expect(desk.page.locator(f"tr[data-device={DESK}]")).to_be_visible()
    page = desk.page
    await page.keyboard.press("/")
    await page.keyboard.type("reception")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    assert await _focused(page, "dataset.connect") == DESK
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#screen-gate form")
    await page.focus("#screen-gate input[name=reason]")
    await page.keyboard.type("Printer does not print")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("html[data-state=live]")
    session = desk.app.sessions[-1]
    assert session.asked[0] == {
        "grantables": ["screen.view"], "reason": "Printer does not print", "ticket_number": "",
    }  # fmt: skip
    await page.focus("[data-ask='input.control']")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("[data-grantable='input.control'][data-state=allowed]")
    assert session.asked[1]["grantables"] == ["input.control"]
    await page.focus("#screen")
    await page.keyboard.press("Tab")
    assert pressed(await desk.events(session, 2)) == [(0xFF09, True), (0xFF09, False)]
    assert await _focused(page, "id") == "key-sink"
    for key in ("Control", "Alt", "Shift"):
        await page.keyboard.down(key)
    for key in ("Control", "Alt", "Shift"):
        await page.keyboard.up(key)
    assert await _focused(page, "id") == "keys"


async def test_the_session_page_says_what_was_refused_and_why_it_ended(desk: Desk) -> None:
    desk.app.script.refused = {"screen.view": "E_CONSENT_DENIED"}
    await desk.enter(f"/session?device={DESK}")
    await desk.page.click("#screen-gate button.primary")
    await expect(desk.page.locator("#screen-gate")).to_contain_text("The person at the device said no.")
    screen = desk.page.locator("[data-grantable='screen.view']")
    await expect(screen).to_have_attribute("data-state", "refused")
    await expect(desk.page.locator("#canvas-frame")).to_be_hidden()
    desk.app.script.refused = {}
    await screen.locator("button").click()
    await desk.page.wait_for_selector("html[data-state=live]")
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(desk.app.script.picture)
    await desk.page.click("#end")
    await desk.page.wait_for_selector("html[data-state=ended]")
    await expect(desk.page.locator("#screen-gate")).to_contain_text("Session ended")
    await expect(desk.page.locator("#canvas-frame")).to_be_hidden()
    assert desk.app.sessions[-1].ended_with == ["technician_left"]


async def test_con_04_a_technician_watches_first_and_asks_for_one_thing_at_a_time(desk: Desk) -> None:
    desk.app.script.refused = {"diagnostics.read": "E_CONSENT_DENIED"}
    await desk.enter(f"/session?device={DESK}")
    assert await desk.page.locator("#screen-gate input[type=checkbox]").count() == 0
    await desk.page.click("#screen-gate button.primary")
    await desk.page.wait_for_selector("html[data-state=live]")
    session, bar = desk.app.sessions[-1], desk.page.locator("#permissions")
    await expect(bar.locator("[data-grantable='screen.view'] .word")).to_have_text("watching only")
    assert await bar.locator("button").all_inner_texts() == [
        "Ask to control", "Ask for diagnostics", "Ask for commands",
    ]  # fmt: skip
    desk.app.script.answer_after_s = 1000.0
    await bar.get_by_role("button", name="Ask to control").click()
    await expect(bar.locator("[data-grantable='input.control'] .word")).to_have_text(
        "waiting for the person…"
    )
    for other in ("diagnostics.read", "commands.run"):
        waiting = bar.locator(f"[data-ask='{other}']")
        await expect(waiting).to_have_attribute("aria-disabled", "true")
        await waiting.click(force=True)
    assert [one["grantables"] for one in session.asked] == [["screen.view"], ["input.control"]]
    await desk.page.click("#end")
    await desk.page.wait_for_selector("html[data-state=ended]")


async def test_the_permission_bar_says_what_was_refused_and_what_was_allowed(desk: Desk) -> None:
    desk.app.script.refused = {"diagnostics.read": "E_CONSENT_DENIED"}
    await desk.enter(f"/session?device={DESK}")
    await desk.page.click("#screen-gate button.primary")
    await desk.page.wait_for_selector("html[data-state=live]")
    await desk.ask("diagnostics.read")
    await desk.ask("input.control")
    words = await desk.page.locator("#permissions .word").all_inner_texts()
    assert words == ["shown", "allowed", "refused", "not asked"]
    asked = [one["grantables"] for one in desk.app.sessions[-1].asked]
    assert asked == [["screen.view"], ["diagnostics.read"], ["input.control"]]


async def test_the_console_says_control_when_the_device_acts_and_no_click_before_that_is_silent(
    desk: Desk,
) -> None:
    desk.app.script.is_input_late = True
    await desk.enter(f"/session?device={DESK}")
    await desk.page.click("#screen-gate button.primary")
    await desk.page.wait_for_selector("html[data-state=live]")
    session, control = desk.app.sessions[-1], desk.page.locator("[data-grantable='input.control']")
    shown, hint = desk.page.locator("[data-grantable='screen.view'] .word"), desk.page.locator("#hint")
    await control.locator("button").click()
    await expect(control).to_have_attribute("data-state", "starting")
    await expect(control.locator(".word")).to_have_text("starting…")
    await expect(shown).to_have_text("watching only")
    await desk.page.mouse.click(640, 500)
    await expect(hint).to_have_text("Control starts in a moment. What you did just now was not carried out.")
    assert session.events() == []
    session.input_acts()
    await expect(control.locator(".word")).to_have_text("allowed")
    await expect(shown).to_have_text("shown")
    await expect(hint).to_be_hidden()
    await desk.page.mouse.down()
    assert (await desk.events(session, 1))[-1] == PointerButton(1, True)
    session.input_acts(ErrorCode.E_INPUT_PAUSED)
    await expect(control.locator(".word")).to_have_text("paused: the person is being asked")
    sent = len(session.events())
    await desk.page.mouse.up()
    await desk.page.mouse.click(640, 500)
    await expect(hint).to_contain_text("was not carried out")
    assert len(session.events()) == sent
    session.input_acts()
    await expect(control.locator(".word")).to_have_text("allowed")
    assert await desk.page.locator("#time-left").inner_text() != ""


async def test_the_kiosk_says_control_when_the_device_acts(desk: Desk) -> None:
    desk.app.script.is_input_late = True
    await desk.enter(f"/session?device={DESK}&kiosk=1")
    await desk.page.wait_for_selector("html[data-state=live][data-control=starting]")
    session = desk.app.sessions[-1]
    await desk.page.mouse.click(20, 30)
    session.input_acts()
    await desk.page.wait_for_selector("html[data-control=allowed]")
    assert session.events() == []
    await desk.page.mouse.click(21, 31)
    assert PointerMove(21, 31) in await desk.events(session, 3)
    session.input_acts(ErrorCode.E_INPUT_PAUSED)
    await desk.page.wait_for_selector("html[data-control=paused]")


async def test_a_click_on_a_scaled_picture_lands_on_the_right_pixel(desk: Desk) -> None:
    desk.app.script.picture = colour_card(2560, 1440)
    await desk.enter(f"/session?device={DESK}")
    await desk.page.click("#screen-gate button.primary")
    await desk.page.wait_for_selector("html[data-state=live]")
    await desk.ask("input.control")
    box: Any = await desk.page.locator("#screen").bounding_box()
    assert box["width"] < 1280.5
    await desk.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    events = await desk.events(desk.app.sessions[-1], 1)
    move = events[-1]
    assert isinstance(move, PointerMove)
    assert abs(move.x - 1280) <= 3
    assert abs(move.y - 720) <= 3


async def test_presence_and_link_changes_show_without_a_reload(desk: Desk) -> None:
    await desk.enter()
    row = desk.page.locator(f"tr[data-device={DESK}]")
    await expect(row).to_contain_text("Online")
    desk.app.tell(device_row(DESK, "Reception desk", is_present=False))
    await expect(row).to_contain_text("Away")
    await expect(row.locator("[data-connect]")).to_have_count(0)
    desk.app.tell(LinkState(False, "https://relay.example.org", "E_RELAY_UNREACHABLE"))
    await expect(desk.page.locator("#link-banner")).to_contain_text("The relay cannot be reached.")
    desk.app.tell(LinkState(True, "https://relay.example.org"))
    await expect(desk.page.locator("#link-banner")).to_be_hidden()


@pytest.mark.parametrize("path", ["/", f"/device?device={DESK}"])
async def test_what_is_told_while_the_list_is_on_its_way_is_shown(
    desk: Desk, path: str, monkeypatch: Any
) -> None:
    older = await desk.app.devices()

    async def devices() -> list[DeviceRow]:
        desk.app.tell(device_row(DESK, "Reception desk", is_present=False))
        await asyncio.sleep(0.2)
        return older

    monkeypatch.setattr(desk.app, "devices", devices)
    await desk.enter(path)
    await expect(desk.page.get_by_text(re.compile("^Away")).first).to_be_visible()


async def test_a_device_page_that_could_not_ask_for_the_list_is_right_once_it_can(desk: Desk) -> None:
    desk.app.refusal = Unreachable("gone")
    await desk.enter(f"/device?device={DESK}")
    await expect(desk.page.locator("#problem")).to_be_visible()
    desk.app.refusal = None
    desk.app.tell(LinkState(False, "https://relay.example.org", "E_RELAY_UNREACHABLE"))
    desk.app.tell(LinkState(True, "https://relay.example.org"))
    await expect(desk.page.locator("#device-name")).to_have_text("Reception desk")
    await expect(desk.page.locator("#problem")).to_be_hidden()


async def test_the_console_keeps_nothing_where_a_script_or_the_history_could_find_it(desk: Desk) -> None:
    await desk.enter()
    assert await desk.page.evaluate("document.cookie") == ""
    assert await desk.page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert "key=" not in desk.page.url


async def _focused(page: Page, path: str) -> str:
    return str(await page.evaluate(f"document.activeElement.{path}"))


async def test_a_rating_is_shown_as_foreign_text_and_only_then_taken_from_the_device(desk: Desk) -> None:
    await desk.enter(f"/session?device={DESK}")
    async with asyncio.timeout(20):
        while not desk.app.sessions:  # noqa: ASYNC110  the browser has no event for us
            await asyncio.sleep(0.02)
    session = desk.app.sessions[-1]
    assert session.ratings_taken == []
    session.notices.put_nowait(OfferRating("5f" * 16, False, HOSTILE_NAME))
    await expect(desk.page.locator("#rating")).to_contain_text("did not help", timeout=20_000)
    assert await desk.page.locator("#rating *").count() <= 4, "markup of the comment became elements"
    async with asyncio.timeout(20):
        while session.ratings_taken != ["5f" * 16]:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.02)
