"""What bad input gets at the command lines: one sentence, a remedy, a code, its exit status, no traceback."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from protocol.error_codes import ErrorCode
from tests.support.forged import expired_device, expired_technician
from tests.support.office import Office, open_office
from tests.support.organisation import Organisation
from tests.support.said import command, said, said_here

pytestmark = [pytest.mark.real, pytest.mark.beside]

CTRL_C_LIMIT_S = 5.0
READY_TIMEOUT_S = 20.0
UNDER_WAY_S = 2.0  # until a command that says nothing waits for its relay
INTERRUPTED = 130
A_FILE_LIMIT_BYTES = 0
E = ErrorCode


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One relay, organisation and device for this module."""
    with open_office(tmp_path_factory.mktemp("office")) as opened:
        yield opened


def audit_records(data: Path) -> list[dict[str, Any]]:
    """The audit records of this data folder, oldest first."""
    return [json.loads(line) for line in (data / "audit.jsonl").read_bytes().splitlines()]


def assert_refusal_recorded(data: Path, kind: str, code: ErrorCode) -> None:
    """The newest record is this refusal."""
    newest = audit_records(data)[-1]
    assert (newest["kind"], newest["succeeded"], newest["facts"]["code"]) == (kind, False, code)


# -- words at the command line


@pytest.mark.parametrize("program", ["alongside", "alongside-agent", "alongside-relay"])
@pytest.mark.parametrize("word", ["frobnicate", "--frobnicate"])
def test_an_unknown_word_is_a_usage_error_with_its_code(program: str, word: str) -> None:
    said_here(program, word).assert_fault(E.E_USAGE)


WRONG_WORDS = {
    "console --port 99999": E.E_USAGE,
    "console --kiosk": E.E_USAGE,
    "run": E.E_USAGE,
    "run DEVICE": E.E_USAGE,
    "run DEVICE dns-lookup name": E.E_USAGE,
    "run DEVICE dns-lookup name=a name=b": E.E_USAGE,
    "run DEVICE no-such-command": E.E_COMMAND_UNKNOWN,
    "run DEVICE dns-lookup": E.E_COMMAND_PARAMETER,
    "run DEVICE dns-lookup name=-x": E.E_COMMAND_PARAMETER,
    "run DEVICE dns-lookup name=localhost more=1": E.E_COMMAND_PARAMETER,
    "run no-such-device disk-usage": E.E_DEVICE_UNKNOWN,
    "run DEVICE disk-usage": E.E_CONSENT_NOBODY,
    "diagnose d-aaaaaaaaaaaaaaaaaaaa": E.E_DEVICE_UNKNOWN,
    "console --no-browser --connect no-such-device": E.E_DEVICE_UNKNOWN,
    "connect no-such-device --no-browser": E.E_DEVICE_UNKNOWN,
    "fleet approve no-such-device": E.E_DEVICE_UNKNOWN,
    "fleet remove DEVICE": E.E_USAGE,
    "fleet token create --hours 0": E.E_USAGE,
    "fleet token create --passphrase-file WRONG": E.E_PASSPHRASE,
    "fleet token revoke no-such-serial": E.E_USAGE,
    "org technician add Bo --this-computer --days 9999 --passphrase-file RIGHT": E.E_CERT_LIFETIME,
    "org claim --claim-secret-file WRONG": E.E_ORG_CLAIMED,
    "policy set-consent default unseen": E.E_USAGE,
    "policy check /no/such/file": E.E_USAGE,
    "policy check NOISE": E.E_POLICY_FORMAT,
    "policy sign NOISE": E.E_POLICY_FORMAT,
    "policy sign --passphrase-file WRONG": E.E_PASSPHRASE,
    "audit verify NOISE": E.E_AUDIT_CHAIN,
    "audit verify /no/such/file": E.E_USAGE,
}


@pytest.mark.parametrize("words", WRONG_WORDS)
def test_a_wrong_word_to_alongside_is_told_with_its_code(office: Office, words: str, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\x00\xff{[noise" * 99)
    (tmp_path / "wrong").write_text("not the passphrase\n")
    stands_for = {
        "DEVICE": office.device_id,
        "NOISE": str(tmp_path / "noise"),
        "WRONG": str(tmp_path / "wrong"),
        "RIGHT": office.passphrase_file,
    }
    given = [stands_for.get(word, word) for word in words.split()]
    office.alongside(*given).assert_fault(WRONG_WORDS[words])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["no-such-command"], E.E_COMMAND_UNKNOWN),
        (["dns-lookup", "name=-x"], E.E_COMMAND_PARAMETER),
    ],
)
def test_a_command_that_the_client_refuses_leaves_a_record(
    office: Office, words: list[str], code: ErrorCode
) -> None:
    office.alongside("run", office.device_id, *words).assert_fault(code)
    assert_refusal_recorded(office.technician, "command.refused", code)


def test_nobody_at_the_device_is_told_and_recorded_at_both_ends(office: Office) -> None:
    office.alongside("diagnose", office.device_id).assert_fault(E.E_CONSENT_NOBODY)
    for data in (office.agent, office.technician):
        refused = [one for one in audit_records(data) if "E_CONSENT_NOBODY" in str(one["facts"])]
        assert refused, data
        assert not any(one["succeeded"] for one in refused)


@pytest.mark.parametrize(
    "words", ["fleet list", "run x y", "console", "diagnose x", "org show", "policy show"]
)
def test_an_empty_data_folder_has_no_identity(tmp_path: Path, words: str) -> None:
    said_here("alongside", *words.split(), "--data", str(tmp_path)).assert_fault(E.E_IDENTITY_MISSING)


@pytest.mark.parametrize(
    ("relay", "code"),
    [
        ("ftp://relay", E.E_CONFIG),
        ("http://[::1", E.E_CONFIG),
        ("http://127.0.0.1:99999", E.E_CONFIG),
        ("http://relay.example", E.E_CONFIG),
        ("http://127.0.0.1:1", E.E_RELAY_UNREACHABLE),
    ],
)
def test_a_relay_address_that_leads_nowhere_is_told(
    office: Office, tmp_path: Path, relay: str, code: ErrorCode
) -> None:
    words = ("org", "init", "--name", "X", "--relay", relay, "--data", str(tmp_path / "data"))
    files = ("--passphrase-file", office.passphrase_file, "--claim-secret-file", office.passphrase_file)
    said_here("alongside", *words, *files).assert_fault(code)


# -- tokens


def expired_token(office: Office) -> str:
    """A token of the organisation that was good until just now."""
    terms = {"relay_url": office.relay.relay_url, "relay_id": office.relay.relay_id}
    token = office.organisation().token(**terms, join_until=datetime.now(UTC) + timedelta(seconds=1))
    time.sleep(2.0)
    return token


def used_token(office: Office) -> str:
    """A token for one device, which has joined."""
    token, _ = office.token("--uses", "1")
    assert said_here("alongside-agent", "join", token, "--data", str(office.folder / "used")).status == 0
    return token


def revoked_token(office: Office) -> str:
    """A token that the admin took back."""
    token, serial = office.token()
    assert office.alongside("fleet", "token", "revoke", serial).status == 0
    return token


def token_of_another_organisation(office: Office) -> str:
    """It names our relay, which does not serve that organisation."""
    return Organisation("Other").token(relay_url=office.relay.relay_url, relay_id=office.relay.relay_id)


TOKENS: dict[str, tuple[Callable[[Office], str], ErrorCode]] = {
    "garbage": (lambda _: "garbage", E.E_TOKEN_FORMAT),
    "cut": (lambda office: office.token()[0][:-9], E.E_TOKEN_FORMAT),
    "expired": (expired_token, E.E_TOKEN_EXPIRED),
    "used up": (used_token, E.E_TOKEN_USED),
    "revoked": (revoked_token, E.E_TOKEN_REVOKED),
    "of an organisation that the relay does not know": (token_of_another_organisation, E.E_ORG_UNKNOWN),
    "of another relay": (
        lambda office: office.organisation().token(relay_url=office.relay.relay_url, relay_id="other"),
        E.E_RELAY_ID,
    ),
    "of a relay that is gone": (
        lambda office: office.organisation().token(relay_url="http://127.0.0.1:1"),
        E.E_RELAY_UNREACHABLE,
    ),
}


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_that_cannot_be_used_joins_nothing(office: Office, tmp_path: Path, name: str) -> None:
    make, code = TOKENS[name]
    data = tmp_path / "data"
    (tmp_path / "token").write_text(make(office))
    joining = said_here(
        "alongside-agent", "join", "--token-file", str(tmp_path / "token"), "--data", str(data)
    )
    joining.assert_fault(code)
    assert not list(data.glob("*.pem"))
    assert not (data / "relay.json").exists()
    if code is not E.E_RELAY_UNREACHABLE:
        assert_refusal_recorded(data, "device.joined", code)


# -- the agent's and the technician's own identity


def test_an_expired_technician_is_told_by_their_own_program(office: Office, tmp_path: Path) -> None:
    data = office.data_of(expired_technician(office.organisation()), tmp_path / "data")
    said_here("alongside", "run", "x", "disk-usage", "--data", str(data)).assert_fault(E.E_CERT_EXPIRED)
    assert_refusal_recorded(data, "login.refused", E.E_CERT_EXPIRED)


def test_an_expired_device_does_not_start(office: Office, tmp_path: Path) -> None:
    data = office.data_of(expired_device(office.organisation()), tmp_path / "data")
    said("alongside-agent", "run", "--data", str(data)).assert_fault(E.E_CERT_EXPIRED)
    assert_refusal_recorded(data, "login.refused", E.E_CERT_EXPIRED)


def test_an_identity_of_another_role_is_not_used(office: Office, tmp_path: Path) -> None:
    organisation = office.organisation()
    device = office.data_of(organisation.device(), tmp_path / "device")
    said_here("alongside", "fleet", "list", "--data", str(device)).assert_fault(E.E_CERT_ROLE)
    assert_refusal_recorded(device, "login.refused", E.E_CERT_ROLE)
    technician = office.data_of(organisation.technician(), tmp_path / "technician")
    said_here("alongside-agent", "run", "--data", str(technician)).assert_fault(E.E_CERT_ROLE)
    assert_refusal_recorded(technician, "login.refused", E.E_CERT_ROLE)


@pytest.mark.parametrize("program", ["alongside-agent run", "alongside console", "alongside run x y"])
def test_an_identity_that_others_can_read_is_not_used(office: Office, tmp_path: Path, program: str) -> None:
    organisation = office.organisation()
    identity = organisation.device() if program.startswith("alongside-agent") else organisation.technician()
    data = office.data_of(identity, tmp_path / "data")
    (data / "identity.pem").chmod(0o644)
    said_here(*program.split(), "--data", str(data)).assert_fault(E.E_IDENTITY_OWNER)
    assert_refusal_recorded(data, "login.refused", E.E_IDENTITY_OWNER)


def test_a_technician_of_an_organisation_that_the_relay_does_not_know_is_told(
    office: Office, tmp_path: Path
) -> None:
    data = office.data_of(Organisation("Other").technician(), tmp_path / "data")
    said_here("alongside", "fleet", "list", "--data", str(data)).assert_fault(E.E_ORG_UNKNOWN)


# -- the agent's words and surroundings


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("run", E.E_ALREADY_RUNNING),
        ("run --source nonsense", E.E_CONFIG),
        ("join garbage", E.E_ALREADY_JOINED),
        ("join", E.E_USAGE),
        ("join --token-file /no/such/file", E.E_USAGE),
        ("join --token-file /", E.E_USAGE),
        ("history --limit 0", E.E_USAGE),
    ],
)
def test_a_wrong_word_to_the_agent_is_told_with_its_code(office: Office, words: str, code: ErrorCode) -> None:
    said_here("alongside-agent", *words.split(), "--data", str(office.agent)).assert_fault(code)


@pytest.mark.parametrize(
    ("words", "code"),
    [("run", E.E_IDENTITY_MISSING), ("leave", E.E_IDENTITY_MISSING), ("status", E.E_NOT_RUNNING)],
)
def test_an_agent_that_has_not_joined_is_told_so(tmp_path: Path, words: str, code: ErrorCode) -> None:
    said_here("alongside-agent", words, "--data", str(tmp_path)).assert_fault(code)


@pytest.mark.parametrize("content", ["no toml", "unknown = 1", "source = 5"])
def test_a_wrong_setting_of_the_agent_names_file_and_key(
    office: Office, tmp_path: Path, content: str
) -> None:
    data = office.data_of(office.organisation().device(), tmp_path / "data")
    (data / "agent.toml").write_text(content)
    started = said_here("alongside-agent", "run", "--data", str(data))
    started.assert_fault(E.E_CONFIG)
    assert "agent.toml" in started.remarks


# -- the relay's words and surroundings


@dataclass(frozen=True, slots=True)
class _Serve:
    words: str
    code: ErrorCode


SERVE = [
    _Serve("--listen 0.0.0.0:0", E.E_LISTEN_PLAIN),
    _Serve("--listen nonsense", E.E_CONFIG),
    _Serve("--listen no-such-host.invalid:1 --behind-proxy", E.E_CONFIG),
    _Serve("--listen 127.0.0.1:0 --tls-cert /nope --tls-key /nope", E.E_CONFIG),
    _Serve("--config /no/such/file", E.E_CONFIG),
    _Serve("--workers many", E.E_USAGE),
]


@pytest.mark.parametrize("case", SERVE, ids=lambda case: case.words)
def test_a_wrong_word_to_the_relay_is_told_with_its_code(tmp_path: Path, case: _Serve) -> None:
    said("alongside-relay", "serve", *case.words.split(), "--data", str(tmp_path)).assert_fault(case.code)


def test_a_relay_that_was_claimed_has_no_secret_to_show(office: Office) -> None:
    said_here("alongside-relay", "claim-secret", "--data", str(office.relay.data)).assert_fault(
        E.E_ORG_CLAIMED
    )


def test_a_port_in_use_is_told_by_relay_and_console(office: Office, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        relay = said(
            "alongside-relay", "serve", "--listen", f"127.0.0.1:{port}", "--data", str(tmp_path / "r")
        )
        relay.assert_fault(E.E_PORT_IN_USE)
        office.alongside("console", "--no-browser", "--port", str(port)).assert_fault(E.E_PORT_IN_USE)


# -- a folder that cannot be written, a disk that is full


@pytest.mark.parametrize(
    "words",
    [
        "alongside-relay serve --listen 127.0.0.1:0",
        "alongside org init --name X --relay http://127.0.0.1:1 --passphrase-file RIGHT",
        "alongside-agent join --token-file TOKEN",
    ],
)
def test_a_folder_that_cannot_be_made_is_told(office: Office, tmp_path: Path, words: str) -> None:
    (tmp_path / "token").write_text(office.token()[0])
    (tmp_path / "file").touch()
    stands_for = {"RIGHT": office.passphrase_file, "TOKEN": str(tmp_path / "token")}
    program, *rest = [stands_for.get(word, word) for word in words.split()]
    said(program, *rest, "--data", str(tmp_path / "file" / "data")).assert_fault(E.E_DATA_DISK)


def full_disk() -> None:
    """No file of this process can grow: what a full disk does to it, without filling one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (A_FILE_LIMIT_BYTES, A_FILE_LIMIT_BYTES))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("alongside-relay serve --listen 127.0.0.1:0 --data FRESH", E.E_DATA_DISK),
        ("alongside-agent join --token-file TOKEN --data FRESH", E.E_DATA_DISK),
        (
            "alongside org init --name X --relay http://127.0.0.1:1 --passphrase-file RIGHT --data FRESH",
            E.E_DATA_DISK,
        ),
        ("alongside diagnose DEVICE --data TECHNICIAN", E.E_AUDIT_WRITE),
        ("alongside policy sign --passphrase-file RIGHT --data TECHNICIAN", E.E_DATA_DISK),
    ],
)
def test_a_full_disk_is_told(office: Office, tmp_path: Path, words: str, code: ErrorCode) -> None:
    (tmp_path / "token").write_text(office.token()[0])
    stands_for = {
        "RIGHT": office.passphrase_file,
        "TOKEN": str(tmp_path / "token"),
        "FRESH": str(tmp_path / "fresh"),
        "TECHNICIAN": str(office.technician),
        "DEVICE": office.device_id,
    }
    program, *rest = [stands_for.get(word, word) for word in words.split()]
    said(program, *rest, before=full_disk).assert_fault(code)


# -- Ctrl-C, browser


@pytest.fixture(scope="module")
def silent_relay() -> Iterator[str]:
    """A relay's address where somebody listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


LONG_RUNNING = {
    "alongside console --no-browser --data TECHNICIAN": INTERRUPTED,
    "alongside connect DEVICE --no-browser --data TECHNICIAN": INTERRUPTED,
    "alongside fleet list --data SILENT": INTERRUPTED,
    "alongside run x disk-usage --data SILENT": INTERRUPTED,
    "alongside diagnose x --data SILENT": INTERRUPTED,
    "alongside-agent join --token-file TOKEN --data FRESH": INTERRUPTED,
    "alongside-agent run --data SILENT-DEVICE": 0,
    "alongside-relay serve --listen 127.0.0.1:0 --data FRESH": 0,
}


@pytest.mark.parametrize("words", LONG_RUNNING)
def test_ctrl_c_ends_it_quickly_and_without_a_traceback(
    office: Office, silent_relay: str, tmp_path: Path, words: str
) -> None:
    organisation = office.organisation()
    (tmp_path / "token").write_text(organisation.token(relay_url=silent_relay, relay_id="x"))
    silent = {"url": silent_relay, "relay_id": "x"}
    stands_for = {
        "TOKEN": str(tmp_path / "token"),
        "FRESH": str(tmp_path / "fresh"),
        "DEVICE": office.device_id,
    }
    stands_for |= {"TECHNICIAN": str(office.technician)}
    for name, identity in (("SILENT", organisation.technician()), ("SILENT-DEVICE", organisation.device())):
        stands_for[name] = str(office.data_of(identity, tmp_path / name))
        (tmp_path / name / "relay.json").write_text(json.dumps(silent))
    program, *rest = [stands_for.get(word, word) for word in words.split()]
    running = subprocess.Popen(
        command(program, *rest, "--json"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    says_ready = {"console", "connect", "serve"} & set(rest)
    select.select([running.stdout], [], [], READY_TIMEOUT_S if says_ready else UNDER_WAY_S)
    assert running.poll() is None, running.communicate()
    pressed_s = time.monotonic()
    running.send_signal(signal.SIGINT)
    output, remarks = running.communicate(timeout=2 * CTRL_C_LIMIT_S)
    assert time.monotonic() - pressed_s < CTRL_C_LIMIT_S
    assert running.returncode == LONG_RUNNING[words], remarks
    assert "Traceback" not in remarks
    for line in output.splitlines():
        json.loads(line)


@pytest.mark.parametrize("environment", [{"DISPLAY": None}, {"DISPLAY": ":77", "PATH": "/nonexistent"}])
def test_without_a_browser_the_console_serves_and_says_where(
    office: Office, environment: dict[str, str | None]
) -> None:
    merged = {**os.environ, "WAYLAND_DISPLAY": "", **environment}
    with subprocess.Popen(
        command("alongside", "console", "--json", "--data", str(office.technician)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in merged.items() if value is not None},
    ) as console:
        assert console.stdout is not None
        assert console.stderr is not None
        try:
            assert json.loads(console.stdout.readline())["url"].startswith("http://127.0.0.1:")
            sentence, _, code = (console.stderr.readline() for _ in range(3))
            assert "No browser could be opened." in sentence
            assert "Code: E_BROWSER_NONE" in code
            assert console.poll() is None
        finally:
            console.send_signal(signal.SIGINT)
        _, remarks = console.communicate(timeout=10)
    assert "Traceback" not in remarks
