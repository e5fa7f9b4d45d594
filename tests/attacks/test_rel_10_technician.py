"""REL-10 at the technician's side: commands, link and session go through the proxy that HTTPS_PROXY names."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocol.aio import wire
from protocol.errors import ErrorCode
from tests.attacks.test_aud_processes import Device, a_command_runs
from tests.support.connect_proxy import ConnectProxy
from tests.support.office import open_office
from tests.support.tls_server import server_files

pytestmark = [pytest.mark.real, pytest.mark.beside]

NAME, SECRET = "relay.test", "a-password-of-the-proxy"


@contextmanager
def proxy_beside() -> Iterator[ConnectProxy]:
    """A proxy in a thread of its own: programs of ours run to their end in this one."""
    made: queue.Queue[tuple[ConnectProxy, Callable[[], object]]] = queue.Queue()

    async def serve() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        async with ConnectProxy() as proxy:
            made.put((proxy, lambda: loop.call_soon_threadsafe(ended.set)))
            await ended.wait()
        await asyncio.sleep(0.05)  # what was closed is gone in the loop's next turns

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    proxy, end = made.get(timeout=10)
    try:
        yield proxy
    finally:
        end()
        thread.join()


def test_rel_10_a_technician_works_through_the_proxy_of_the_environment_and_keeps_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_ADDRESSES", {})  # where the name led in an earlier test of this process
    files = server_files(tmp_path / "files", name=NAME)
    with proxy_beside() as proxy:
        proxy.password = SECRET
        monkeypatch.setenv("HTTPS_PROXY", proxy.address(SECRET))
        with open_office(tmp_path, tls=files, name=NAME) as office:
            device = Device(office, tmp_path / "second")
            with device.agent:
                asyncio.run(a_command_runs(device))
            ports = (office.relay.control_port, office.relay.session_port)
            assert set(proxy.asked_for) == {f"{NAME}:{port}" for port in ports}
            listed = office.alongside("fleet", "list")
            assert listed.status == 0
            monkeypatch.setenv("HTTPS_PROXY", proxy.address("wrong"))
            refused = office.alongside("fleet", "list")
            refused.assert_fault(ErrorCode.E_RELAY_PROXY)
            assert "407" in refused.remarks
            monkeypatch.delenv("HTTPS_PROXY")
            office.alongside("fleet", "list").assert_fault(ErrorCode.E_RELAY_NAME)
            kept = [path for path in office.technician.rglob("*") if path.is_file()]
            said = "".join(path.read_text(errors="replace") for path in kept)
            assert SECRET not in said + listed.output + listed.remarks + refused.output + refused.remarks
