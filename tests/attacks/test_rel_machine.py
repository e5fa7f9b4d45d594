"""REL-05 and REL-15: the relay's machine has no disk, no process numbers, no file descriptors left."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from protocol.errors import ErrorCode, SupportError
from protocol.messages.control import Done, ListDevices, PublishPolicy, Refused
from protocol.messages.presence import DeviceList
from tests.e2e.steps import until
from tests.relay.test_sessions import meeting
from tests.support.organisation import acme
from tests.support.other_user import IS_ROOT, THIRD_UID, WHY_ROOT, reachable_folder
from tests.support.policies import signed_policy
from tests.support.relay_process import RelayProcess, claim_relay, log_in_client

pytestmark = pytest.mark.real

LIMIT_S = 30.0
PROCESSES_LIMIT = 16  # the relay has three, and a few threads


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("run it where mount(2) is allowed, for a file system of 8 MiB")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Not a byte fits any more; what takes the space."""
    filler = place / "filler"
    with filler.open("ab", buffering=0) as writer, contextlib.suppress(OSError):
        while True:
            writer.write(bytes(4096))
    return filler


async def test_rel_05_a_relay_on_a_full_disk_refuses_by_name_forwards_and_goes_on_when_there_is_space(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk") as place, RelayProcess(place / "data") as relay:
        await claim_relay(relay, acme())
        both = await meeting(relay)
        device, technician = await both.meet()
        admin = await log_in_client(relay, acme().admin())
        known = acme().device()
        await (await log_in_client(relay, known)).close()
        filler = fill(place)
        policy = signed_policy(acme())
        for number in range(1, 4):  # database and log both are on it
            await admin.send(PublishPolicy(number, number, policy + bytes(100_000)))
            assert await admin.wait_for(Refused) == Refused(number, ErrorCode.E_RELAY_STORE)
        with pytest.raises(SupportError) as refused:
            await log_in_client(relay, acme().device())
        assert refused.value.code is ErrorCode.E_RELAY_STORE
        await device.send(b"meanwhile")
        assert await technician.receive() == b"meanwhile"
        await admin.send(ListDevices(9))
        before = (await admin.wait_for(DeviceList)).devices
        filler.unlink()
        await admin.send(PublishPolicy(10, 1, policy))
        assert await admin.wait_for(Done) == Done(10)
        for each in (device, technician, both, admin):
            await each.close()
        assert "Traceback" not in relay.log_text()
        relay.kill()
        with closing(sqlite3.connect(place / "data" / "relay.sqlite")) as looked_at:
            assert looked_at.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            [count] = looked_at.execute("SELECT count(*) FROM devices").fetchone()
        assert count == len(before)


@contextmanager
def crowd_of_the_same_user() -> Iterator[None]:
    """As many processes as the user may have, and one more."""
    crowd = [
        subprocess.Popen(["sleep", "600"], user=THIRD_UID, group=THIRD_UID, extra_groups=[], cwd="/")
        for _ in range(PROCESSES_LIMIT + 1)
    ]
    try:
        yield
    finally:
        for each in crowd:
            each.kill()
            each.wait()


@pytest.mark.skipif(not IS_ROOT, reason=WHY_ROOT)
async def test_rel_15_a_worker_that_cannot_be_forked_is_tried_again_and_the_relay_lives_on() -> None:
    with reachable_folder() as folder:
        (folder / "data").mkdir(mode=0o700)
        os.chown(folder / "data", THIRD_UID, THIRD_UID)
        user = ("--reuid", str(THIRD_UID), "--regid", str(THIRD_UID), "--clear-groups")
        inside = ("prlimit", f"--nproc={PROCESSES_LIMIT}", "setpriv", *user)
        with RelayProcess(folder / "data", inside=inside) as relay:
            await claim_relay(relay, acme())
            both = await meeting(relay)
            wires = await both.meet()
            with crowd_of_the_same_user():  # fork(2): EAGAIN
                os.kill(relay.worker_pid(), signal.SIGKILL)  # as the kernel does when memory is short
                await asyncio.to_thread(until, lambda: "worker.not_started" in relay.log_text(), LIMIT_S)
                await both.technician.send(ListDevices(1))
                assert (await both.technician.wait_for(DeviceList)).request_no == 1
            for wire in wires:
                await wire.close()
            await asyncio.to_thread(until, lambda: relay.log_text().count("worker.ready") == 2, LIMIT_S)
            device, technician = await both.meet()
            await device.send(b"again")
            assert await technician.receive() == b"again"
            for each in (device, technician, both):
                await each.close()
            assert "Traceback" not in relay.log_text()
