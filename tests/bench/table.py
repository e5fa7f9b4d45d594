"""The results for people: one table a workload, a line for each product, and ratios to ours."""

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = (
    "product", "pictures/s", "ms median / p95 / p99", "stale p95", "kbit/s to viewer", "to device",
    "CPU agent", "CPU viewer", "at rest", "in motion", "others",
)  # fmt: skip
VIEWER_ROLES = ("browser", "viewer", "client", "websockify")
OURS = "alongside"
NOTHING = "-"


def _number(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"


def _quality(is_exact: bool, psnr: float | None) -> str:
    return "exact" if is_exact else f"{_number(psnr)} dB"


def _in_motion(row: Mapping[str, Any]) -> str:
    whole = _quality(row["is_exact_in_motion"], row["motion_psnr_db"])
    if not row.get("film_samples"):
        return whole
    film = "exact" if row["film_psnr_db"] is None else f"{row['film_psnr_db']:.1f} dB"
    return f"film {film}, rest {whole}"


def cells(product: str, row: Mapping[str, Any]) -> list[str]:
    """One line of a workload's table."""
    latency = row["latency_ms"]
    in_viewer = sum(row["cpu_percent"].get(role) or 0.0 for role in VIEWER_ROLES)
    return [
        product,
        _number(row["pictures_per_s"]),
        " / ".join(_number(latency[part]) for part in ("median", "p95", "p99")),
        _number(row["stale_p95_ms"]),
        _number(row["kbit_s_to_viewer"]),
        _number(row["kbit_s_to_device"]),
        f"{_number(row['agent_cpu_percent'])} %",
        f"{in_viewer:.1f} %",
        _quality(row["is_exact_at_rest"], row["rest_psnr_db"]),
        _in_motion(row) if row["drawn"] else NOTHING,
        f"{_number(row['others_cpu_percent'])} %",
    ]


def table(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    made = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in lines]  # fmt: skip
    made.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(made)


def report(results: Mapping[str, Any]) -> str:
    """Every workload's table, then who could not be measured."""
    parts = [
        f"link: {results['link']}, load before: {results['load_before']}, after: {results['load_after']}"
    ]
    workloads = list(dict.fromkeys(row["workload"] for rows in results["products"].values() for row in rows))
    for workload in workloads:
        lines = [list(HEAD)]
        for product, rows in results["products"].items():
            lines += [cells(product, row) for row in rows if row["workload"] == workload]
        parts.append(f"\n{workload}\n{table(lines)}")
    parts += [f"left out: {what}: {why}" for what, why in results["left_out"].items()]
    return "\n".join(parts)


def ratios(products: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Peer → workload → figure of the peer divided by ours; above 1 means that ours is smaller."""
    ours = {row["workload"]: row for row in products.get(OURS, ())}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for peer, rows in products.items():
        if peer in (OURS, "floor"):
            continue
        for row in rows:
            if row["workload"] in ours:
                shares = _shares(row, ours[row["workload"]])
                found.setdefault(peer, {})[row["workload"]] = shares
    return found


def _shares(peer: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, float]:
    def figures(row: Mapping[str, Any]) -> dict[str, float | None]:
        return {
            "latency_median": row["latency_ms"]["median"],
            "latency_p95": row["latency_ms"]["p95"],
            "pictures_per_s": row["pictures_per_s"],
            "kbit_s_to_viewer": row["kbit_s_to_viewer"],
            "agent_cpu": row["agent_cpu_percent"],
        }

    theirs, own = figures(peer), figures(ours)
    return {key: round(value / base, 2) for key, value in theirs.items() if value and (base := own[key])}
