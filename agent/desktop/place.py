"""Where on the desktop our windows stand: the monitor with the pointer, and the primary one."""

import tkinter as tk
from dataclasses import dataclass

from agent.desktop.x11_windows import WindowProperties

MOST_TAKEN = 2  # the bars get no more of a monitor than this part of it


@dataclass(frozen=True, slots=True)
class Place:
    """A rectangle of the desktop in pixels."""

    x: int
    y: int
    width: int
    height: int


def place_at_pointer(root: tk.Misc, properties: WindowProperties) -> Place:
    """The monitor that the pointer is on; else the primary one."""
    x, y = root.winfo_pointerx(), root.winfo_pointery()
    places = _places(root, properties)
    for place in places:
        if place.x <= x < place.x + place.width and place.y <= y < place.y + place.height:
            return place
    return places[0]


def place_below(root: tk.Misc, properties: WindowProperties, taken: int) -> Place:
    """As `place_at_pointer`, without so many pixels at the primary monitor's top, where the bars stand."""
    place = place_at_pointer(root, properties)
    if place != primary_place(root, properties):
        return place
    taken = min(taken, place.height // MOST_TAKEN)
    return Place(place.x, place.y + taken, place.width, place.height - taken)


def primary_place(root: tk.Misc, properties: WindowProperties) -> Place:
    """The primary monitor."""
    return _places(root, properties)[0]


def least_room(root: tk.Misc, properties: WindowProperties) -> tuple[int, int]:
    """The least width and height that any of the monitors has: a window may have to stand on each of them."""
    places = _places(root, properties)
    return min(place.width for place in places), min(place.height for place in places)


def _places(root: tk.Misc, properties: WindowProperties) -> list[Place]:
    return [Place(shown.x, shown.y, shown.width, shown.height) for shown in properties.displays()] or [
        Place(0, 0, root.winfo_screenwidth(), root.winfo_screenheight())
    ]
