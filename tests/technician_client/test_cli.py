"""`alongside` as a program, against a real relay process."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from protocol.join_token import join, read_token
from protocol.platforms import PLATFORMS
from protocol.succession import RootLine
from technician_client.release_bundle import ReleaseTerms, create_release
from technician_client.release_wheels import read_wheels
from tests.support.relay_process import RelayProcess, log_in_client, running_relay
from tests.support.releases import SCRIPTS, new_root, stub_wheels

pytestmark = [pytest.mark.real, pytest.mark.beside]

PASSPHRASE = "correct horse battery"


class CommandLine:
    """Runs `alongside` with one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "technician"
        self.passphrase_file = folder / "passphrase"
        self.passphrase_file.write_text(PASSPHRASE + "\n")

    def run(self, *words: str, data: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from technician_client.cli import main; main()", *words]
        command += ["--data", str(data or self.data)]
        return subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
        )

    def json(self, *words: str, data: Path | None = None) -> Any:
        ended = self.run(*words, "--json", data=data)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def refused(self, *words: str, status: int, data: Path | None = None) -> str:
        """The code of the error; exit status and absence of a traceback are checked."""
        ended = self.run(*words, "--json", data=data)
        assert "Traceback" not in ended.stderr, ended.stderr
        assert ended.returncode == status, ended.stderr
        error = json.loads(ended.stdout)["error"]
        assert error["sentence"]
        assert error["remedy"]
        assert f"Code: {error['code']}" in ended.stderr
        return str(error["code"])

    @property
    def unlocked(self) -> list[str]:
        return ["--passphrase-file", str(self.passphrase_file)]

    def init(self, relay_url: str, *words: str) -> Any:
        return self.json("org", "init", "--name", "Acme", "--relay", relay_url, *self.unlocked, *words)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with running_relay(tmp_path_factory.mktemp("relay") / "data", workers=0) as running:
        yield running


@pytest.fixture(scope="module")
def claimed(relay: RelayProcess, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """An organisation that has claimed the relay, with a technician on this computer."""
    line = CommandLine(tmp_path_factory.mktemp("claimed"))
    made = line.init(relay.relay_url, "--claim-secret-file", relay.claim_secret_file)
    assert made["is_claimed"]
    assert made["relay_id"] == relay.relay_id
    line.json("org", "technician", "add", "Ada Lovelace", "--this-computer", *line.unlocked)
    return line


@pytest.fixture
def unclaimed(tmp_path: Path) -> CommandLine:
    """An organisation without a relay that answers."""
    line = CommandLine(tmp_path)
    line.init("http://127.0.0.1:9")
    return line


class TestOrganisation:
    def test_its_keys_are_private_and_the_root_is_encrypted(self, unclaimed):
        org = unclaimed.data / "org"
        for file in org.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file
        for name in ("root-key.pem", "policy-identity.pem"):
            assert "ENCRYPTED" in (org / name).read_text()
        assert unclaimed.data.stat().st_mode & 0o077 == 0

    def test_a_second_one_in_the_same_folder_is_refused(self, unclaimed):
        words = ["org", "init", "--name", "B", "--relay", "http://127.0.0.1:9", *unclaimed.unlocked]
        before = (unclaimed.data / "org" / "root.pem").read_bytes()
        assert unclaimed.refused(*words, status=2) == "E_USAGE"
        assert (unclaimed.data / "org" / "root.pem").read_bytes() == before

    def test_the_wrong_passphrase_is_refused(self, unclaimed):
        wrong = unclaimed.folder / "wrong"
        wrong.write_text("something else\n")
        words = ["org", "technician", "add", "Ada", "--this-computer", "--passphrase-file", str(wrong)]
        assert unclaimed.refused(*words, status=5) == "E_PASSPHRASE"
        assert not (unclaimed.data / "identity.pem").exists()

    def test_without_a_terminal_nobody_is_asked_for_the_passphrase(self, unclaimed):
        words = ["org", "technician", "add", "Ada", "--this-computer"]
        assert unclaimed.refused(*words, status=2) == "E_USAGE"

    @pytest.mark.parametrize("url", ["relay.example", "ftp://relay.example", "http://relay.example"])
    def test_an_address_that_cannot_be_a_relays_is_refused_before_keys_are_made(self, tmp_path, url):
        line = CommandLine(tmp_path)
        words = ["org", "init", "--name", "Acme", "--relay", url, *line.unlocked]
        assert line.refused(*words, status=2) == "E_CONFIG"
        assert not (line.data / "org").exists()

    def test_a_wrong_claim_secret_is_refused_and_the_keys_stay(self, relay, claimed, tmp_path):
        line = CommandLine(tmp_path)
        line.init(relay.relay_url)
        (tmp_path / "secret").write_text("wrong-secret\n")
        words = ["org", "claim", "--claim-secret-file", str(tmp_path / "secret")]
        assert line.refused(*words, status=3) in {"E_CLAIM_SECRET", "E_ORG_CLAIMED"}
        assert not line.json("org", "show")["is_claimed"]

    def test_renewing_makes_new_keys_that_the_relay_accepts(self, claimed):
        before = (claimed.data / "org" / "admin-identity.pem").read_bytes()
        claimed.json("org", "renew", *claimed.unlocked)
        assert (claimed.data / "org" / "admin-identity.pem").read_bytes() != before
        assert claimed.json("policy", "publish")["is_published"]


class TestTechnicians:
    def test_one_for_another_computer_gets_a_data_folder_that_works(self, claimed, tmp_path):
        made = claimed.json("org", "technician", "add", "Bob", "--out", str(tmp_path), *claimed.unlocked)
        assert made["technician_id"] == "bob"
        assert {path.name for path in tmp_path.iterdir()} == {"identity.pem", "relay.json"}
        assert claimed.json("fleet", "list", data=tmp_path)["devices"] is not None

    def test_everyone_who_was_issued_is_listed(self, claimed):
        rows = claimed.json("org", "technician", "list")["technicians"]
        ada = next(row for row in rows if row["technician_id"] == "ada-lovelace")
        assert 6 < ada["days_left"] <= 7

    def test_a_longer_life_than_the_policy_allows_is_refused(self, claimed, tmp_path):
        words = ["org", "technician", "add", "Eve", "--days", "20", "--out", str(tmp_path), *claimed.unlocked]
        assert claimed.refused(*words, status=5) == "E_CERT_LIFETIME"
        assert not list(tmp_path.iterdir())

    def test_an_unknown_grantable_is_refused(self, claimed, tmp_path):
        words = ["org", "technician", "add", "Eve", "--grantables", "screen.hide", "--out", str(tmp_path)]
        assert claimed.refused(*words, *claimed.unlocked, status=2) == "E_USAGE"

    def test_a_technician_is_no_admin(self, claimed, tmp_path):
        claimed.json("org", "technician", "add", "Carl", "--out", str(tmp_path), *claimed.unlocked)
        assert claimed.refused("fleet", "token", "list", status=6, data=tmp_path) == "E_IDENTITY_MISSING"


class TestFleet:
    async def test_a_device_joins_is_listed_approved_and_removed(self, relay, claimed, tmp_path):
        file = tmp_path / "token"
        made = claimed.json("fleet", "token", "create", "--bulk", "--out", str(file), *claimed.unlocked)
        assert file.stat().st_mode & 0o077 == 0
        device = join(
            read_token(file.read_text(), now=datetime.now(UTC)), "reception-pc", now=datetime.now(UTC)
        )
        client = await log_in_client(relay, device)
        await client.close()

        def standing() -> str:
            return str(claimed.json("fleet", "show", device.subject_id)["status"])

        assert standing() == "pending"
        claimed.json("fleet", "approve", device.subject_id[:8])
        assert standing() == "approved"
        (token,) = [
            row for row in claimed.json("fleet", "token", "list")["tokens"] if row["serial"] == made["serial"]
        ]
        assert (token["uses"], token["is_bulk"], token["is_revoked"]) == (1, True, False)
        assert claimed.refused("fleet", "remove", device.subject_id, status=2) == "E_USAGE"
        assert standing() == "approved"
        claimed.json("fleet", "remove", device.subject_id, "--yes")
        assert standing() == "removed"

    def test_a_revoked_token_is_listed_as_such(self, claimed):
        made = claimed.json("fleet", "token", "create", *claimed.unlocked)
        assert made["token"].startswith("alongside-join-")
        claimed.json("fleet", "token", "revoke", made["serial"][:10])
        rows = claimed.json("fleet", "token", "list")["tokens"]
        assert next(row for row in rows if row["serial"] == made["serial"])["is_revoked"]

    def test_a_token_comes_with_lines_for_every_system_that_the_release_has_a_script_for(
        self, claimed, tmp_path
    ):
        root, now = new_root(tmp_path), datetime.now(UTC)
        wheels = read_wheels(stub_wheels(tmp_path / "wheels"))
        hashes = {}
        words = ["fleet", "token", "create", "--release", str(tmp_path / "release"), *claimed.unlocked]
        for platform in PLATFORMS:
            terms = ReleaseTerms(RootLine(root.der), wheels, SCRIPTS, platform, "x86_64", 30, now)
            hashes[platform] = create_release(root, terms, tmp_path / "release").script_sha256
            made = claimed.run(*words, "--json")
            assert made.returncode == 0, made.stderr
            install = json.loads(made.stdout)["install"]
            assert set(install) == set(hashes)
            missing = " and ".join(each for each in PLATFORMS if each not in hashes)
            assert (f"no install script for {missing};" in made.stderr) == bool(missing)
        for platform, sha256 in hashes.items():
            take, check, run = install[platform]["steps"]
            assert f"/release/{sha256}" in take
            assert sha256 in check
            assert sha256 not in run
            assert made.stderr.index(check) < made.stderr.index(install[platform]["one_line"])
            assert install[platform]["one_line"].count(sha256) == 2
        assert "alongside-join-" not in made.stderr, "no line holds the token"

    def test_before_the_relay_is_claimed_there_are_no_tokens(self, unclaimed):
        assert unclaimed.refused("fleet", "token", "create", *unclaimed.unlocked, status=2) == "E_CONFIG"

    def test_an_unreachable_relay_is_one_sentence(self, unclaimed):
        assert unclaimed.refused("fleet", "list", status=4) == "E_RELAY_UNREACHABLE"

    def test_an_organisation_the_relay_does_not_serve_is_refused(self, relay, claimed, tmp_path):
        line = CommandLine(tmp_path)
        line.init(relay.relay_url)
        assert line.refused("fleet", "list", status=5) == "E_ORG_UNKNOWN"


class TestPolicy:
    def test_what_is_set_signed_and_published_reaches_a_technician(self, claimed, tmp_path):
        claimed.json("policy", "set-consent", "lab", "unattended")
        assert claimed.refused("policy", "sign", *claimed.unlocked, status=2) == "E_USAGE"
        diff = claimed.json("policy", "diff")["changes"]
        assert [(each["weight"], each["about"]) for each in diff] == [("wider", "group lab")]
        signed = claimed.json("policy", "sign", "--yes", *claimed.unlocked)
        assert signed["changes"] == diff
        assert signed["groups"]["lab"] == "unattended"
        assert claimed.json("policy", "publish")["version"] == signed["version"]
        assert claimed.json("policy", "diff")["changes"] == []
        claimed.json("org", "technician", "add", "Dora", "--out", str(tmp_path), *claimed.unlocked)
        listed = claimed.json("run", "any", "--list", data=tmp_path)["commands"]
        assert {"disk-usage", "ping"} <= {row["command_id"] for row in listed}
        assert claimed.json("policy", "show", data=tmp_path)["version"] == signed["version"]

    def test_each_signature_raises_the_version(self, unclaimed):
        versions = [unclaimed.json("policy", "sign", *unclaimed.unlocked)["version"] for _ in range(2)]
        assert versions == [2, 3]

    def test_a_fault_in_the_document_is_named_by_its_place_and_not_signed(self, unclaimed):
        file = unclaimed.data / "org" / "policy.json"
        document = json.loads(file.read_text())
        document["groups"]["default"] = "unseen"
        file.write_text(json.dumps(document))
        ended = unclaimed.run("policy", "check")
        assert ended.returncode == 2
        assert "groups" in ended.stderr
        assert unclaimed.refused("policy", "sign", *unclaimed.unlocked, status=2) == "E_POLICY_FORMAT"
        assert unclaimed.json("policy", "show")["version"] == 1

    def test_a_document_of_another_organisation_is_not_signed(self, unclaimed):
        file = unclaimed.data / "org" / "policy.json"
        document = json.loads(file.read_text())
        file.write_text(json.dumps(document | {"organisation_id": "0" * 64}))
        assert unclaimed.refused("policy", "sign", *unclaimed.unlocked, status=2) == "E_POLICY_FORMAT"


class TestSessions:
    def test_without_an_identity_the_remedy_is_said(self, tmp_path):
        line = CommandLine(tmp_path)
        assert line.refused("diagnose", "any", status=6) == "E_IDENTITY_MISSING"

    def test_an_unknown_device_is_refused(self, claimed):
        assert claimed.refused("diagnose", "nobody", status=3) == "E_DEVICE_UNKNOWN"

    async def test_a_device_that_is_away_is_said_to_be_away(self, relay, claimed):
        made = claimed.json("fleet", "token", "create", *claimed.unlocked)
        device = join(read_token(made["token"], now=datetime.now(UTC)), "away-pc", now=datetime.now(UTC))
        client = await log_in_client(relay, device)
        await client.close()
        assert claimed.refused("diagnose", device.subject_id, status=4) == "E_DEVICE_AWAY"

    def test_an_unknown_command_is_refused_before_anybody_is_asked(self, claimed):
        assert claimed.refused("run", "nobody", "no-such-command", status=3) == "E_COMMAND_UNKNOWN"

    def test_a_forbidden_value_is_refused_before_anybody_is_asked(self, claimed):
        assert claimed.refused("run", "nobody", "ping", "host=-x", status=2) == "E_COMMAND_PARAMETER"


class TestConsole:
    def test_its_address_is_the_first_line_and_an_interrupt_ends_it(self, claimed):
        command = [sys.executable, "-c", "from technician_client.cli import main; main()", "console"]
        command += ["--no-browser", "--json", "--data", str(claimed.data)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as console:
            assert console.stdout is not None
            assert console.stderr is not None
            url = json.loads(console.stdout.readline())["url"]
            assert url.startswith("http://127.0.0.1:")
            console.send_signal(signal.SIGINT)
            assert console.wait(10) == 130
            assert "Traceback" not in console.stderr.read()

    def test_a_kiosk_without_a_device_is_refused(self, claimed):
        assert claimed.refused("console", "--kiosk", status=2) == "E_USAGE"


class TestAudit:
    def test_what_the_admin_did_is_recorded_and_the_chain_holds(self, claimed):
        kinds = [row["kind"] for row in claimed.json("audit", "show")["records"]]
        assert kinds[:3] == ["organisation.made", "relay.claimed", "policy.published"]
        report = verified(claimed, claimed.data / "audit.jsonl")
        assert report.returncode == 0

    def test_a_changed_record_is_found_and_named(self, unclaimed):
        file = unclaimed.data / "audit.jsonl"
        file.write_bytes(file.read_bytes().replace(b"Acme", b"Acmf"))
        report = verified(unclaimed, file)
        assert report.returncode == 5
        assert "record 1" in report.stderr
        assert "E_AUDIT_CHAIN" in report.stderr


def verified(line: CommandLine, file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from technician_client.cli import main; main()", "audit", "verify"]
    return subprocess.run([*command, str(file)], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["org"],
        ["org", "init"],
        ["org", "claim"],
        ["org", "renew"],
        ["org", "technician", "add"],
        ["fleet", "token", "create"],
        ["fleet", "remove"],
        ["policy", "sign"],
        ["policy", "set-consent"],
        ["connect"],
        ["console"],
        ["diagnose"],
        ["run"],
        ["audit", "verify"],
    ],
)
def test_every_command_explains_itself(words):
    command = [sys.executable, "-c", "from technician_client.cli import main; main()", *words, "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0
    assert "Usage: " in ended.stdout
