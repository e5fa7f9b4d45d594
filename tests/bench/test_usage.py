"""Counting bytes and processor time."""

from tests.bench.usage import Snapshot, read_sockets, used_between

LISTING = """\
0      0      127.0.0.1:45398 127.0.0.1:7001 users:(("agent",pid=42,fd=9))
\t cubic rto:204 bytes_sent:5000 bytes_acked:5001 bytes_received:700 segs_out:1
0      0      127.0.0.1:45399 127.0.0.1:7001 users:(("client",pid=43,fd=7))
\t cubic rto:204 bytes_received:9 segs_out:1
"""


def test_the_kernel_s_counters_are_read_for_each_socket():
    assert read_sockets(LISTING) == {
        "127.0.0.1:45398 127.0.0.1:7001": (5000, 700),
        "127.0.0.1:45399 127.0.0.1:7001": (0, 9),
    }


def test_only_the_asked_process_counts():
    assert list(read_sockets(LISTING, pid=42).values()) == [(5000, 700)]
    assert read_sockets(LISTING, pid=4) == {}


def test_no_socket_is_no_bytes():
    assert read_sockets("") == {}


def test_rates_are_differences_and_new_sockets_count_from_nothing():
    first = Snapshot(10.0, {"a": (1000, 100)}, {"agent": {1: 5.0}}, {"agent": 2**20})
    last = Snapshot(
        12.0, {"a": (3000, 100), "b": (500, 50)}, {"agent": {1: 5.5, 2: 0.5}}, {"agent": 3 * 2**20}
    )
    used = used_between(first, last)
    assert (used.kbit_s_to_viewer, used.kbit_s_to_device) == (10.0, 0.2)
    assert used.cpu_percent == {"agent": 50.0}
    assert used.resident_mib == {"agent": 3.0}


def test_at_the_viewer_s_end_what_is_received_are_the_pictures():
    first = Snapshot(0.0, {}, {}, {})
    last = Snapshot(1.0, {"a": (125, 1250)}, {}, {})
    used = used_between(first, last, sends_pictures=False)
    assert (used.kbit_s_to_viewer, used.kbit_s_to_device) == (10.0, 1.0)
