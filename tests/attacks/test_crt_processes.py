"""Certificates at the real programs: relay, agent and two technicians, each a process of its own."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.aio.log_in import connect_control, log_in
from protocol.errors import ErrorCode, SupportError
from protocol.identity import Identity
from protocol.succession import RootLine
from protocol.trust_store import open_stored_status
from tests.support.office import Office, open_office
from tests.support.organisation import intruders, new_key
from tests.support.running_session import ConsolePage
from tests.support.said import Said, command, said_here

pytestmark = [pytest.mark.real, pytest.mark.beside]

E = ErrorCode
WAIT_S = 15.0


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One relay, organisation and device for this module."""
    with open_office(tmp_path_factory.mktemp("office")) as opened:
        yield opened


def until(found: Callable[[], Any], what: str) -> Any:
    """Wait for a fact of the outside world, and return it."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        if seen := found():
            return seen
        time.sleep(0.02)
    raise AssertionError(f"no {what}")


def records(data: Path, kind: str) -> list[dict[str, Any]]:
    """The audit records of this kind, oldest first."""
    lines = (data / "audit.jsonl").read_bytes().splitlines()
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


def ends(office: Office, actor: str) -> list[dict[str, Any]]:
    """The records of the ends of this technician's sessions at the agent."""
    return [one for one in records(office.agent, "session.ended") if one["actor"] == actor]


@contextmanager
def console(data: Path) -> Iterator[ConsolePage]:
    """A technician's own process, and its page as a browser would hold it."""
    words = command("alongside", "console", "--no-browser", "--json", "--data", str(data))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield ConsolePage(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


@dataclass
class Technicians:
    """The organisation's side of things: who is made, renewed, revoked."""

    office: Office

    def add(self, name: str, *words: str) -> Path:
        """A technician with a data folder of their own."""
        folder = self.office.folder / f"data-{name.lower()}"
        assert self._org("technician", "add", name, "--out", str(folder), *words).status == 0
        return folder

    def revoke(self, who: str) -> dict[str, Any]:
        """What the command says."""
        said = self._org("technician", "revoke", who)
        assert said.status == 0, said
        return said.documents()[0]

    def recover(self, kit: Path, data: Path | None = None) -> Said:
        """A successor root by this kit."""
        words = ("org", "recover", "--kit", str(kit), "--passphrase-file", self.office.passphrase_file)
        return said_here("alongside", *words, "--data", str(data or self.office.technician))

    def _org(self, *words: str) -> Said:
        return self.office.alongside("org", *words, "--passphrase-file", self.office.passphrase_file)


def test_crt_04_a_revoked_technicians_running_session_ends_and_no_other_begins(office: Office) -> None:
    people = Technicians(office)
    eve, bob = people.add("Eve"), people.add("Bob")
    path = f"/api/session?device={office.device_id}"
    with ExitStack() as stack:
        pages = [stack.enter_context(console(data)) for data in (eve, bob)]
        sockets = [stack.enter_context(page.socket(path)) for page in pages]
        until(
            lambda: {"eve", "bob"} <= {one["actor"] for one in records(office.agent, "session.ready")},
            "sessions",
        )
        assert people.revoke("Eve")["is_published"]
        [ended] = until(lambda: ends(office, "eve"), "end of the session")
        assert ended["facts"]["cause"] == E.E_CERT_REVOKED
        heard = until(lambda: _over(sockets[0].recv(WAIT_S)), "word to the technician")
        assert heard["cause"] == E.E_CERT_REVOKED
        [said_so] = until(lambda: records(eve, "session.ended"), "the technician's own record")
        assert said_so["facts"]["cause"] == E.E_CERT_REVOKED
        with pages[0].socket(path) as again:
            assert until(lambda: _over(again.recv(WAIT_S)), "refusal")["cause"] == E.E_CERT_REVOKED
        refused = until(lambda: records(office.agent, "session.refused"), "record of the refusal")
        assert refused[-1]["facts"]["code"] == E.E_CERT_REVOKED
        assert not ends(office, "bob"), "the other session goes on"


def _over(message: str | bytes) -> dict[str, Any] | None:
    document: dict[str, Any] = json.loads(message) if isinstance(message, str) else {}
    return document if document.get("type") == "over" else None


def test_a_revoked_id_is_not_used_again_and_the_list_says_so(office: Office) -> None:
    people = Technicians(office)
    people.add("Mallory")
    people.revoke("mallory")
    again = people._org("technician", "add", "Mallory", "--out", str(office.folder / "again"))
    again.assert_fault(E.E_USAGE)
    people._org("technician", "revoke", "mallory").assert_fault(E.E_USAGE)
    people._org("technician", "renew", "Mallory", "--this-computer").assert_fault(E.E_USAGE)
    [listed] = office.alongside("org", "technician", "list").documents()
    standing = {one["technician_id"]: one["is_revoked"] for one in listed["technicians"]}
    assert (standing["mallory"], standing["ada"]) == (True, False)
    [shown] = office.alongside("org", "status", "show").documents()
    assert ("technician", "mallory") in {(one["role"], one["subject"]) for one in shown["revoked"]}


def test_renewing_a_technician_keeps_id_and_scope_and_makes_a_new_key(office: Office) -> None:
    people = Technicians(office)
    first = people.add("Rita", "--groups", "laptops", "--grantables", "screen.view")
    before = (first / "identity.pem").read_bytes()
    assert people._org("technician", "renew", "Rita", "--days", "1", "--out", str(first)).status == 0
    assert (first / "identity.pem").read_bytes() != before
    rows = [
        one
        for one in office.alongside("org", "technician", "list").documents()[0]["technicians"]
        if one["technician_id"] == "rita"
    ]
    assert [(one["groups"], one["grantables"]) for one in rows] == [(["laptops"], ["screen.view"])] * 2
    assert rows[1]["days_left"] <= 1 < rows[0]["days_left"]


def test_a_revoked_policy_signer_is_replaced_and_the_devices_get_a_policy_of_the_new_one(
    office: Office,
) -> None:
    before = len(records(office.agent, "policy.accepted"))
    words = ("policy", "policy", "--passphrase-file", office.passphrase_file)
    assert office.alongside("org", "revoke", *words).status == 0
    until(lambda: len(records(office.agent, "policy.accepted")) > before, "the new policy at the agent")
    stored = until(lambda: _revoked_at(office.agent, office), "the list at the agent")
    assert "policy" in stored
    bob = Technicians(office).add("Boris")
    with console(bob) as page, page.socket(f"/api/session?device={office.device_id}"):
        until(
            lambda: "boris" in {one["actor"] for one in records(office.agent, "session.ready")}, "a session"
        )


def _revoked_at(data: Path, office: Office) -> set[str]:
    roots = RootLine(office.organisation().root_der)
    status, _ = open_stored_status((data / "status.dsse").read_bytes(), roots)
    return {one.subject for one in status.revoked if one.role == "policy"}


def test_crt_15_after_a_recovery_only_the_new_roots_people_get_in_and_the_devices_stay(
    tmp_path: Path,
) -> None:
    with open_office(tmp_path) as office:
        people, path = Technicians(office), f"/api/session?device={office.device_id}"
        eve, old_token = people.add("Eve"), office.token()[0]
        kit, copy = office.technician / "org" / "recovery-kit.json", tmp_path / "copy"
        shutil.copytree(office.technician, copy)
        kit = kit.rename(tmp_path / "kit.json")
        with console(eve) as page, page.socket(path) as socket:
            until(lambda: records(office.agent, "session.ready"), "a session")
            assert people.recover(kit).documents()[0]["is_published"]
            [followed] = until(lambda: records(office.agent, "root.succeeded"), "the agent at the new root")
            assert followed["facts"]["generation"] == 1
            assert until(lambda: _over(socket.recv(WAIT_S)), "end")["cause"] == E.E_CERT_CHAIN
            with page.socket(path) as again:
                refused = until(lambda: _over(again.recv(WAIT_S)), "end")["cause"]
                assert refused in (E.E_CERT_CHAIN, E.E_LINK_LOST), "the relay's own log-in is over too"
        assert people._org("technician", "renew", "Eve", "--out", str(eve)).status == 0
        with console(eve) as page, page.socket(path):
            until(lambda: len(records(office.agent, "session.ready")) == 2, "a session under the new root")
        for token, status in ((old_token, E.E_TOKEN_REVOKED), (office.token()[0], "")):
            said = said_here("alongside-agent", "join", token, "--data", str(tmp_path / f"new{status}"))
            assert said.documents()[0].get("error", {}).get("code", "") == status
        rival = people.recover(copy / "org" / "recovery-kit.json", data=copy)
        rival.assert_fault(E.E_ROOT_FORK)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda pin, _: pin.unlink(), E.E_IDENTITY_MISSING),
        (lambda pin, _: pin.write_bytes(b""), E.E_IDENTITY_MISSING),
        (lambda pin, _: pin.chmod(0o644), E.E_IDENTITY_OWNER),
        (lambda pin, _: os.chown(pin, 12345, -1), E.E_IDENTITY_OWNER),
        (lambda pin, _: (pin.unlink(), pin.mkdir()), E.E_IDENTITY_OWNER),
        (lambda pin, _: (pin.rename(pin.with_name("aside")), pin.symlink_to("aside")), E.E_IDENTITY_OWNER),
        (lambda pin, root: pin.write_bytes(_with_root(pin.read_bytes(), root)), E.E_CERT_ORG),
    ],
    ids=["missing", "empty", "readable by others", "another owner", "a folder", "a link", "another root"],
)
@pytest.mark.parametrize("program", ["alongside-agent", "alongside"])
def test_crt_16_without_its_pin_no_program_starts_or_trusts_what_it_meets_first(
    office: Office, tmp_path: Path, program: str, spoil: Callable[[Path, bytes], object], code: ErrorCode
) -> None:
    if code is E.E_IDENTITY_OWNER and os.geteuid() != 0 and spoil.__code__.co_names[:1] == ("os",):
        pytest.skip("only root can give a file away; run as root")
    organisation = office.organisation()
    identity = organisation.device() if program == "alongside-agent" else organisation.technician()
    data = office.data_of(identity, tmp_path / "data")
    words = ("run", "--no-desktop") if program == "alongside-agent" else ("fleet", "list")
    spoil(data / "identity.pem", intruders().root_der)
    before = sorted(path.name for path in data.iterdir())
    said_here(program, *words, "--data", str(data)).assert_fault(code)
    after = sorted(path.name for path in data.iterdir() if path.name not in ("audit.jsonl", "run"))
    assert after == before, "nothing was trusted on first use"


def _with_root(pem: bytes, root_der: bytes) -> bytes:
    """The identity file with another organisation's root as its pin."""
    begin = b"-----BEGIN CERTIFICATE-----"
    head, _, _ = pem.rpartition(begin)
    return head + x509.load_der_x509_certificate(root_der).public_bytes(Encoding.PEM)


async def test_crt_17_a_certificate_without_its_key_opens_nothing(office: Office) -> None:
    ada = office.organisation().technician("ada")
    with pytest.raises(SupportError) as refused:
        Identity(new_key(), ada.chain, ada.root_der)
    assert refused.value.code is E.E_CERT_FORMAT
    thief = Identity(ada.key, ada.chain, ada.root_der)
    object.__setattr__(thief, "key", new_key())  # what a thief's own program would not check
    for identity, code in ((thief, E.E_LOGIN_SIGNATURE), (ada, "")):
        wire = await connect_control(office.relay.relay_url)
        try:
            if code:
                with pytest.raises(SupportError) as caught:
                    await log_in(wire, identity, office.relay.relay_id)
                assert caught.value.code == code
            else:
                await log_in(wire, identity, office.relay.relay_id)
        finally:
            await wire.close()
