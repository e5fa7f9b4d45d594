"""Join tokens of strangers, and where a token may be read (THREATS.md, ENR-07 and ENR-08)."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocol.join_token import read_token
from tests.support.agent_commands import AGENT, call, new_token, running_agent
from tests.support.canaries import Canary
from tests.support.organisation import Organisation, acme
from tests.support.relay_process import RelayProcess, claim_relay, running_relay

pytestmark = [pytest.mark.real, pytest.mark.beside]


async def test_enr_07_a_second_organisation_gets_no_device_before_a_local_admin_leaves_the_first(
    relay: RelayProcess, tmp_path: Path
) -> None:
    data, strangers = tmp_path / "agent", Organisation("Strangers")
    with running_relay(tmp_path / "theirs") as theirs:
        await claim_relay(theirs, strangers)
        first = call("join", "--token-file", "-", data=data, stdin=new_token(relay, acme()))
        identity = (data / "identity.pem").read_bytes()
        refused = call("join", "--token-file", "-", data=data, stdin=new_token(theirs, strangers), ok=False)
        assert refused["error"]["code"] == "E_ALREADY_JOINED"
        assert (data / "identity.pem").read_bytes() == identity
        with running_agent(data) as agent:
            assert agent.ready["device_id"] == first["device_id"]
        # the control: after the local admin has left, the same token is taken
        call("leave", data=data)
        moved = call("join", "--token-file", "-", data=data, stdin=new_token(theirs, strangers))
        assert moved["device_id"] != first["device_id"]


def test_enr_08_a_token_is_in_no_process_list_environment_log_or_file(
    relay: RelayProcess, tmp_path: Path
) -> None:
    data, token = tmp_path / "agent", new_token(relay, acme())
    key = read_token(token, now=datetime.now(UTC)).enroller_key.private_numbers().private_value
    secret = Canary("the token's key", key.to_bytes(32, "big"))
    with subprocess.Popen(
        [*AGENT, "join", "--token-file", "-", "--data", str(data), "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as joining:
        assert joining.stdin is not None
        joining.stdin.write(token[:-1].encode())
        joining.stdin.flush()
        process = Path("/proc", str(joining.pid))
        while not (words := (process / "cmdline").read_bytes()):
            assert joining.poll() is None
        shown = words + (process / "environ").read_bytes()
        said, _ = joining.communicate(token[-1:].encode(), timeout=60)
    assert joining.returncode == 0, said
    with running_agent(data) as agent:
        pass
    files = [path for root in (data, relay.data) for path in root.rglob("*") if path.is_file()]
    files += [relay.log_file, agent.log_file]
    kept = b"".join(path.read_bytes() for path in files)
    heard = shown + said + kept
    assert [form for form in secret.forms() if form in heard] == []
    assert token.encode() not in heard
    # the controls: the search finds it where it is, and looked where it should
    assert any(form in token.encode() for form in secret.forms())
    assert b"--token-file" in shown
    assert b"BEGIN CERTIFICATE" in kept
