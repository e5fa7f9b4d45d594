"""What people read of a run."""

from tests.bench.table import ratios, report


def row(**changed):
    made = {
        "workload": "typing", "drawn": 10, "pictures_per_s": 5.0, "stale_p95_ms": 1.0, "kbit_s_to_device": 1,
        "latency_ms": {"median": 8.0, "p95": 16.0, "p99": 20.0}, "kbit_s_to_viewer": 10.0,
        "agent_cpu_percent": 2.0, "cpu_percent": {"browser": 5.0}, "is_exact_at_rest": True,
        "rest_psnr_db": None, "is_exact_in_motion": True, "motion_psnr_db": None, "others_cpu_percent": 3.0,
    }  # fmt: skip
    return made | changed


def results(**products):
    return {
        "link": "loopback", "load_before": (0.1,), "load_after": (0.2,), "products": products, "left_out": {},
    }  # fmt: skip


def test_a_peer_with_twice_the_latency_has_the_ratio_two():
    peer = row(latency_ms={"median": 16.0, "p95": 16.0, "p99": 20.0}, kbit_s_to_viewer=None)
    found = ratios({"alongside": [row()], "peer": [peer], "floor": [row()]})
    assert found == {
        "peer": {
            "typing": {"latency_median": 2.0, "latency_p95": 1.0, "pictures_per_s": 1.0, "agent_cpu": 1.0}
        }
    }


def test_without_ours_there_is_no_ratio():
    assert ratios({"peer": [row()]}) == {}


def test_what_is_not_exact_says_how_far_off():
    lossy = row(is_exact_at_rest=False, rest_psnr_db=41.25)
    assert "41.2 dB" in report(results(peer=[lossy]))
    assert "exact" in report(results(peer=[row()]))


def test_what_was_left_out_is_said_with_its_reason():
    told = results(alongside=[row()]) | {"left_out": {"selkies": "no selkies"}}
    assert "left out: selkies: no selkies" in report(told)


def test_a_workload_without_pictures_has_no_latency_and_no_quality_in_motion():
    nothing = {"median": None, "p95": None, "p99": None}
    assert "- / - / -" in report(results(alongside=[row(workload="idle", drawn=0, latency_ms=nothing)]))
