"""Small smooth pictures for Tk, drawn from signed distances: buttons, boxes, the mark.

Tk draws shapes without smoothing. A picture here is a PPM (P6) that Tk reads from memory; coverage of a
pixel is its distance to the shape's edge. Source of the
distance formulas: Inigo Quilez, "2D distance functions".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

Colour = tuple[float, float, float]
ColourAt = Callable[[float, float], Colour]


@dataclass(frozen=True, slots=True)
class Plate:
    """A rounded rectangle in pixels. `margin` is free around it; a focus `ring` is drawn into that."""

    width: int
    height: int
    radius: int
    margin: int
    fill: str
    border: str
    background: str
    ring: str = ""


def plate_ppm(plate: Plate) -> bytes:
    """The plate as a picture of its width and height plus the margins."""
    corner = plate.margin + plate.radius + 2
    full_width, full_height = plate.width + 2 * plate.margin, plate.height + 2 * plate.margin
    colour_at = _plate_colour(plate, full_width, full_height)
    rows: dict[int, bytes] = {}
    picture = bytearray(_header(full_width, full_height))
    for y in range(full_height):
        from_edge = min(y, full_height - 1 - y, corner)
        if from_edge not in rows:
            left = [_packed(colour_at(x + 0.5, from_edge + 0.5)) for x in range(min(corner, full_width // 2))]
            middle = _packed(colour_at(full_width / 2, from_edge + 0.5)) * (full_width - 2 * len(left))
            rows[from_edge] = b"".join(left) + middle + b"".join(reversed(left))
        picture += rows[from_edge]
    return bytes(picture)


@dataclass(frozen=True, slots=True)
class Box:
    """A tick box in a square of `side` pixels; `gap` is free between it and its words. `tick` "" for none."""

    side: int
    gap: int
    tick: str
    fill: str
    border: str
    background: str
    ring: str = ""
    is_from_right: bool = False


def box_ppm(box: Box) -> bytes:
    """The box; ticked it is filled and has a tick, so that colour is not the only sign."""
    side = box.side
    margin = max(2, side // 7)
    body = side - 2 * margin
    plate = Plate(body, body, max(3, body // 5), margin, box.fill, box.border, box.background, box.ring)
    tick = rgb(box.tick) if box.tick else None
    base = _plate_colour(plate, side, side)
    points = [(margin + body * x, margin + body * y) for x, y in ((0.24, 0.53), (0.43, 0.72), (0.77, 0.31))]

    def colour_at(x: float, y: float) -> Colour:
        shown = base(x, y)
        if tick is None:
            return shown
        away = min(_to_segment(x, y, *points[0], *points[1]), _to_segment(x, y, *points[1], *points[2]))
        return _mix(shown, tick, _covered(away - body * 0.075))

    before = box.gap if box.is_from_right else 0
    return _ppm(side + box.gap, side, lambda x, y: colour_at(x - before, y))


class Badge(Enum):
    """What stands in the mark's lower right corner: nothing, a disc, a cross, or two bars."""

    NONE = auto()
    DISC = auto()
    CROSS = auto()
    BARS = auto()


def mark_ppm(
    side: int,
    *,
    accent: str,
    second: str,
    background: str,
    badge: Badge = Badge.NONE,
    badge_colour: str = "#000000",
) -> bytes:
    """The mark (`mark.svg`): two people side by side, the second a step behind; with a badge over it."""
    back, front, behind, over = rgb(background), rgb(accent), rgb(second), rgb(badge_colour)
    unit = side / 32

    def person(x: float, y: float, centre: float, top: float) -> float:
        head = math.hypot(x - centre, y - (top + 4.5 * unit)) - 4.5 * unit
        body = _to_box(x, y, centre, top + 18 * unit, 5.5 * unit, 7 * unit, 5.5 * unit)
        return min(head, body)

    def away_from_badge(x: float, y: float) -> float:
        if badge is Badge.DISC:
            return math.hypot(x - 24 * unit, y - 24 * unit) - 7 * unit
        low, high = 18.5 * unit, 29.5 * unit
        if badge is Badge.BARS:
            bars = (_to_segment(x, y, at * unit, low, at * unit, high) for at in (20.5, 27.5))
            return min(bars) - 2 * unit
        strokes = (_to_segment(x, y, low, low, high, high), _to_segment(x, y, low, high, high, low))
        return min(strokes) - 2 * unit

    def colour_at(x: float, y: float) -> Colour:
        first = person(x, y, 10.5 * unit, 3.5 * unit)
        other = person(x, y, 22 * unit, 5.5 * unit)
        shown = _mix(back, behind, _covered(other))
        shown = _mix(shown, back, _covered(first - 1.6 * unit))
        shown = _mix(shown, front, _covered(first))
        if badge is Badge.NONE:
            return shown
        away = away_from_badge(x, y)
        return _mix(_mix(shown, back, _covered(away - 2 * unit)), over, _covered(away))

    return _ppm(side, side, colour_at)


def rgb(colour: str) -> Colour:
    """ "#rrggbb" as three numbers, 0 to 255."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return (float(red), float(green), float(blue))


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2, "relative luminance" and "contrast ratio")."""

    def luminance(colour: str) -> float:
        parts = [value / 255 for value in rgb(colour)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def _plate_colour(plate: Plate, full_width: int, full_height: int) -> ColourAt:
    fill, border, background = rgb(plate.fill), rgb(plate.border), rgb(plate.background)
    ring = rgb(plate.ring) if plate.ring else None
    half = (plate.width / 2, plate.height / 2)

    def colour_at(x: float, y: float) -> Colour:
        away = _to_box(x, y, full_width / 2, full_height / 2, *half, plate.radius)
        shown = _mix(background, border, _covered(away))
        shown = _mix(shown, fill, _covered(away + 1))
        if ring:
            shown = _mix(shown, ring, _covered(abs(away - plate.margin / 2 - 0.5) - plate.margin / 4))
        return shown

    return colour_at


def _to_box(x: float, y: float, cx: float, cy: float, half_w: float, half_h: float, radius: float) -> float:
    dx, dy = abs(x - cx) - half_w + radius, abs(y - cy) - half_h + radius
    return math.hypot(max(dx, 0.0), max(dy, 0.0)) + min(max(dx, dy), 0.0) - radius


def _to_segment(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> float:
    along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
    along = min(max(along, 0.0), 1.0)
    return math.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay))


def _covered(away: float) -> float:
    return min(max(0.5 - away, 0.0), 1.0)


def _mix(under: Colour, over: Colour, covered: float) -> Colour:
    red, green, blue = (a + (b - a) * covered for a, b in zip(under, over, strict=True))
    return (red, green, blue)


def _packed(colour: Colour) -> bytes:
    return bytes(int(value + 0.5) for value in colour)


def _header(width: int, height: int) -> bytes:
    return f"P6 {width} {height} 255\n".encode()


def _ppm(width: int, height: int, colour_at: ColourAt) -> bytes:
    pixels = (_packed(colour_at(x + 0.5, y + 0.5)) for y in range(height) for x in range(width))
    return _header(width, height) + b"".join(pixels)
