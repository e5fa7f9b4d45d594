"""One workload on one running product: draw, watch, count, compare; then the repeats as one row."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tests.bench.actors import Actor, ActorFailed, acting
from tests.bench.figures import Seen, judge, middle_of, psnr_db
from tests.bench.film import Quality, judge_motion, without_film
from tests.bench.pages import load_pages
from tests.bench.stage import Running
from tests.bench.stamp import HEIGHT_PX, WIDTH_PX, read_stamp
from tests.bench.usage import Used, look, used_between
from tests.bench.workloads import WORKLOADS, Workload
from tests.bench.x_board import Pixels, looking_at

FIRST_PICTURE_TIMEOUT_S = 30.0
WARM_UP_S = 1.0
SETTLE_S = 1.5
LATE_S = 25.0  # how long after the end the last picture may come
REST_S = 2.0
REST_TRIES = 12
BELOW_INDICATOR_PX = 64


@dataclass(frozen=True, slots=True)
class Measured:
    """One repeat. PSNR None is equality; "in motion" is the last picture when it was first seen.

    With a film, `film` is of pictures of it while it plays, and "in motion" is the rest of the display.
    """

    seen: Seen
    drawn_ms: float | None  # key press to drawn at the source, where keys are pressed
    used: Used
    is_exact: bool | None
    rest_psnr_db: float | None
    motion_psnr_db: float | None
    is_motion_exact: bool | None
    looks_per_s: int
    film: Quality | None = None


def measure(product: Running, name: str, seconds: float) -> Measured:
    """Run a workload once.

    Raises:
        ActorFailed: the viewer never showed the first picture, or a program failed.
    """
    workload = WORKLOADS[name]
    stage = product.stage
    last = round(seconds * workload.rate_hz)
    kept = stage.folder / "last-seen.npy"
    film = stage.folder / "film-seen.npz"
    for file in (kept, film):
        file.unlink(missing_ok=True)
    where = [
        "--display",
        stage.source.display,
        "--seconds",
        str(seconds),
        "--folder",
        str(stage.folder.parent),
    ]
    eyes = ["--display", stage.viewer.display, "--last", str(last), "--keep", str(kept)]
    eyes += ["--seconds", str(seconds + (LATE_S if last else 0))]
    eyes += ["--film", str(film)] if workload.has_film else []
    with acting("draw", name, *where) as drawer:
        _until_shown(product, 0, workload.stamp_at)
        time.sleep(SETTLE_S)
        with acting("watch", *eyes) as watcher:
            drawn, pressed, used = _run(product, workload, (drawer, watcher), seconds)
            watched = watcher.answer(LATE_S + 10)
        time.sleep(REST_S)
        is_exact, rest_psnr, source = _at_rest(product)
    from_ns = (pressed or drawn or [(0, 0)])[0][1] + (0 if workload.rate_hz < 10 else round(WARM_UP_S * 1e9))
    motion = _motion_psnr(workload, np.load(kept), source) if last and watched["seen"] else None
    return Measured(
        judge(pressed or drawn, watched["seen"], from_ns=from_ns),
        _press_to_drawn_ms(pressed, drawn),
        used,
        is_exact,
        rest_psnr,
        motion,
        None if not last or not watched["seen"] else motion is None,
        watched["looks_per_s"],
        judge_motion(load_pages(stage.folder.parent), film) if workload.has_film else None,
    )


def _run(
    product: Running, workload: Workload, actors: tuple[Actor, Actor], seconds: float
) -> tuple[list[tuple[int, int]], list[tuple[int, int]], Used]:
    """Let them go; counts from the end of the warming up to the end."""
    drawer, watcher = actors
    presses = round(seconds * workload.rate_hz)
    words = [
        "--display",
        product.stage.viewer.display,
        "--presses",
        str(presses),
        "--rate",
        str(workload.rate_hz),
    ]
    pressed: list[tuple[int, int]] = []
    watcher.go()
    drawer.go()
    if workload.is_by_key:
        with acting("press", *words) as presser:
            time.sleep(0.5)
            first = look(product.tcp, product.roles)
            presser.go()
            pressed = list(enumerate(presser.answer(2 * seconds + 10), 1))
    else:
        time.sleep(WARM_UP_S)
        first = look(product.tcp, product.roles)
        time.sleep(max(0.0, seconds - WARM_UP_S))
    sends = product.tcp is None or product.tcp.sends_pictures
    used = used_between(first, look(product.tcp, product.roles), sends_pictures=sends)
    drawn = [(number, at_ns) for number, at_ns in drawer.answer(LATE_S)]
    return drawn, pressed, used


def _press_to_drawn_ms(pressed: Sequence[tuple[int, int]], drawn: Sequence[tuple[int, int]]) -> float | None:
    drawn_at = dict(drawn)
    return middle_of([(drawn_at[n] - at_ns) / 1e6 for n, at_ns in pressed if n in drawn_at])


def _motion_psnr(workload: Workload, shown: Pixels, source: Pixels) -> float | None:
    if workload.has_film:
        return _psnr(without_film(shown), without_film(source))
    return _psnr(shown, source)


def _until_shown(product: Running, counter: int, stamp_at: tuple[int, int]) -> None:
    deadline_s = time.monotonic() + FIRST_PICTURE_TIMEOUT_S
    with looking_at(product.stage.viewer.display) as viewer:
        while read_stamp(viewer.read(stamp_at, (WIDTH_PX, HEIGHT_PX))) != counter:
            if time.monotonic() > deadline_s:
                np.save(product.stage.folder / "not-shown.npy", viewer.read_all())
                raise ActorFailed(f"{product.name}: the viewer does not show the first picture")
            time.sleep(0.02)


def _at_rest(product: Running) -> tuple[bool, float | None, Pixels]:
    """Whether both displays are equal; our own indicator's clock ticks, so it may take several looks."""
    with (
        looking_at(product.stage.source.display) as source,
        looking_at(product.stage.viewer.display) as viewer,
    ):
        worst: float | None = None
        for _ in range(REST_TRIES):
            before, there, after = source.read_all(), viewer.read_all(), source.read_all()
            if np.array_equal(before, there) or np.array_equal(there, after):
                return True, None, after
            worst = _psnr(there, after)
            time.sleep(0.08)
        np.save(product.stage.folder / "unequal-viewer.npy", there)
        np.save(product.stage.folder / "unequal-source.npy", after)
        return False, worst, after


def _psnr(one: Pixels, other: Pixels) -> float | None:
    """Below the indicator, which is part of no workload."""
    total = 0.0
    for top in range(BELOW_INDICATOR_PX, one.shape[0], 64):
        band = slice(top, top + 64)
        total += float(np.square(one[band].astype(np.int16) - other[band], dtype=np.int32).sum())
    return psnr_db(total / one[BELOW_INDICATOR_PX:].size)


def row(name: str, agent_roles: Sequence[str], repeats: Sequence[Measured]) -> dict[str, Any]:
    """The medians of the repeats, and every repeat."""
    latencies = [one.seen.latency_ms for one in repeats]
    return {
        "workload": name,
        "repeats": len(repeats),
        "drawn": sum(one.seen.drawn for one in repeats),
        "seen": sum(one.seen.distinct for one in repeats),
        "pictures_per_s": middle_of([one.seen.pictures_per_s for one in repeats]),
        "latency_ms": {
            part: middle_of([getattr(one, part) for one in latencies]) for part in ("median", "p95", "p99")
        },
        "stale_p95_ms": middle_of([one.seen.stale_ms.p95 for one in repeats]),
        "press_to_drawn_ms": middle_of([one.drawn_ms for one in repeats]),
        "kbit_s_to_viewer": middle_of([one.used.kbit_s_to_viewer for one in repeats]),
        "kbit_s_to_device": middle_of([one.used.kbit_s_to_device for one in repeats]),
        "cpu_percent": _by_role([one.used.cpu_percent for one in repeats]),
        "agent_cpu_percent": middle_of([_agent_cpu(agent_roles, one) for one in repeats]),
        "resident_mib": _by_role([one.used.resident_mib for one in repeats]),
        "others_cpu_percent": middle_of([one.used.others_cpu_percent for one in repeats]),
        "is_exact_at_rest": all(one.is_exact for one in repeats),
        "rest_psnr_db": middle_of([one.rest_psnr_db for one in repeats]),
        "is_exact_in_motion": all(one.is_motion_exact for one in repeats if one.is_motion_exact is not None),
        "motion_psnr_db": middle_of([one.motion_psnr_db for one in repeats]),
        "film_psnr_db": middle_of([one.film.psnr_db for one in repeats if one.film]),
        "film_worst_psnr_db": middle_of([one.film.worst_psnr_db for one in repeats if one.film]),
        "film_samples": sum(one.film.samples for one in repeats if one.film),
        "looks_per_s": statistics.median(one.looks_per_s for one in repeats),
        "each": [asdict(one) for one in repeats],
    }


def _agent_cpu(agent_roles: Sequence[str], one: Measured) -> float:
    return sum(one.used.cpu_percent.get(role, 0.0) for role in agent_roles)


def _by_role(repeats: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    return {role: middle_of([one.get(role) for one in repeats]) for role in repeats[-1]}
