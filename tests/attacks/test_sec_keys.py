"""Keys on the disk: encrypted where a person can be asked, closed to other users where none can."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import CertificateRefused, ErrorCode
from protocol.identity import load_identity, save_identity
from protocol.key_file import is_locked
from technician_client.organisation import OrganisationFolder
from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess, running_relay
from tests.support.said import Said, said_here
from tests.support.terminal import at_terminal

pytestmark = pytest.mark.beside

CANARY = "canary battery staple 7"
NEXT = "another canary of the same 8"
ORGANISATION = "the passphrase of the organisation"


class Admin:
    """One data folder, with an organisation whose relay does not answer."""

    def __init__(self, folder: Path, relay_url: str = "http://127.0.0.1:9", *words: str) -> None:
        self.folder, self.data = folder, folder / "technician"
        init = ("org", "init", "--name", "Acme", "--relay", relay_url, *words)
        assert self.run(*init, *self.unlocked).status == 0

    @property
    def unlocked(self) -> tuple[str, str]:
        return ("--passphrase-file", self.file(ORGANISATION))

    @property
    def identity(self) -> Path:
        return self.data / "identity.pem"

    def file(self, passphrase: str) -> str:
        path = self.folder / passphrase.replace(" ", "-")
        path.write_text(passphrase + "\n")
        return str(path)

    def run(self, *words: str) -> Said:
        return said_here("alongside", *words, "--data", str(self.data))

    def add_ada(self, *words: str) -> Said:
        return self.run("org", "technician", "add", "Ada", "--this-computer", *self.unlocked, *words)

    def with_key(self, passphrase: str, *words: str) -> Said:
        return self.run("--key-passphrase-file", self.file(passphrase), *words)

    def opens(self, passphrase: str) -> bool:
        try:
            load_identity(self.identity, passphrase=passphrase.encode())
        except CertificateRefused as exc:
            assert exc.code is ErrorCode.E_PASSPHRASE
            return False
        return True


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    return Admin(tmp_path)


@pytest.mark.real
def test_sec_03_a_typed_passphrase_is_asked_once_and_shows_up_nowhere(admin: Admin) -> None:
    org = ("org", "technician")
    with at_terminal(
        "alongside", *org, "add", "Ada", "--this-computer", *admin.unlocked, "--data", str(admin.data)
    ) as person:
        person.answer("New passphrase of this key: ", CANARY)
        person.answer("The same again: ", CANARY)
        assert person.end() == 0, person.shown
    assert is_locked(admin.identity)
    with at_terminal("alongside", *org, "passphrase", "--data", str(admin.data)) as again:
        again.answer("Passphrase of your technician's key: ", CANARY)
        again.answer("New passphrase of your technician's key: ", NEXT)
        again.answer("The same again: ", NEXT)
        assert again.end() == 0, again.shown
    assert admin.opens(NEXT)
    assert not admin.opens(CANARY)
    written = [path.read_bytes() for path in admin.data.rglob("*") if path.is_file()]
    for seen in (*person.visible, person.shown, *again.visible, again.shown, *written):
        assert CANARY.encode() not in seen
        assert NEXT.encode() not in seen
    assert any(b"technician" in seen for seen in person.visible), "control: the command line was looked at"


@pytest.mark.real
def test_sec_01_at_a_terminal_the_admins_key_is_encrypted_without_being_asked_for(tmp_path: Path) -> None:
    data = tmp_path / "technician"
    init = ("org", "init", "--name", "Acme", "--relay", "http://127.0.0.1:9", "--data", str(data))
    with at_terminal("alongside", *init) as person:
        person.answer("New passphrase of the organisation: ", CANARY)
        person.answer("The same again: ", CANARY)
        assert person.end() == 0, person.shown
    folder = OrganisationFolder(data / "org")
    for file in (folder.root_key_file, folder.policy_identity_file, folder.admin_file):
        assert is_locked(file), file
        assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.real
def test_sec_01_every_key_of_the_organisation_gets_the_new_passphrase(admin: Admin) -> None:
    folder = OrganisationFolder(admin.data / "org")
    assert not is_locked(folder.admin_file), "nobody could be asked"
    change = ("org", "passphrase", *admin.unlocked, "--new-passphrase-file", admin.file(NEXT))
    assert admin.run(*change).status == 0
    assert is_locked(folder.admin_file)
    folder.unlock(NEXT.encode())
    admin.run(*change, "--no-passphrase")
    admin.add_ada().assert_fault(ErrorCode.E_PASSPHRASE)
    renew = ("org", "renew", "--passphrase-file", admin.file(NEXT))
    assert admin.run(*renew).status == 0


@pytest.mark.real
def test_sec_01_a_change_that_was_cut_in_the_middle_is_done_again(admin: Admin) -> None:
    folder = OrganisationFolder(admin.data / "org")
    signer = folder.policy_signer(ORGANISATION.encode())
    save_identity(signer, folder.policy_identity_file, passphrase=NEXT.encode())  # as far as it came
    change = ("org", "passphrase", *admin.unlocked, "--new-passphrase-file", admin.file(NEXT))
    assert admin.run(*change).status == 0
    folder.unlock(NEXT.encode())
    folder.policy_signer(NEXT.encode())


@pytest.mark.real
def test_sec_01_an_encrypted_key_is_not_replaced_by_an_open_one_unasked(admin: Admin) -> None:
    assert admin.add_ada("--new-passphrase-file", admin.file(CANARY)).status == 0
    before = admin.identity.read_bytes()
    admin.add_ada().assert_fault(ErrorCode.E_USAGE)
    assert admin.identity.read_bytes() == before
    open_one = admin.add_ada("--no-passphrase")
    assert "NOT encrypted" in open_one.remarks
    assert open_one.documents()[0]["is_locked"] is False


@pytest.mark.real
def test_sec_01_a_wrong_passphrase_changes_nothing(admin: Admin) -> None:
    assert admin.add_ada("--new-passphrase-file", admin.file(CANARY)).status == 0
    before = admin.identity.read_bytes()
    change = ("org", "technician", "passphrase", "--new-passphrase-file", admin.file(NEXT))
    admin.with_key("not the passphrase", *change).assert_fault(ErrorCode.E_PASSPHRASE)
    admin.run(*change).assert_fault(ErrorCode.E_PASSPHRASE)
    assert admin.identity.read_bytes() == before
    assert admin.with_key(CANARY, *change).status == 0
    assert admin.opens(NEXT)


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    with running_relay(tmp_path / "relay", workers=0) as running:
        yield running


@pytest.mark.real
def test_sec_01_a_locked_technician_and_a_locked_admin_work_with_their_passphrase(
    relay: RelayProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = Admin(tmp_path, relay.relay_url, "--claim-secret-file", relay.claim_secret_file)
    change = ("org", "passphrase", *admin.unlocked, "--new-passphrase-file", admin.file(ORGANISATION))
    assert admin.run(*change).status == 0
    admin.run("fleet", "list").assert_fault(ErrorCode.E_PASSPHRASE)
    assert admin.with_key(ORGANISATION, "fleet", "list").status == 0
    assert admin.run("org", "status", "renew", *admin.unlocked).status == 0, "given once is enough"
    assert admin.run("org", "show").status == 0, "what is public needs no key"
    admin.add_ada("--out", str(tmp_path / "ada")).assert_fault(ErrorCode.E_USAGE)
    out = ("org", "technician", "add", "Ada", "--out", str(tmp_path / "ada"))
    assert admin.run(*out, *admin.unlocked, "--new-passphrase-file", admin.file(CANARY)).status == 0
    seen = ("fleet", "list", "--data", str(tmp_path / "ada"))
    said_here("alongside", *seen).assert_fault(ErrorCode.E_PASSPHRASE)
    assert said_here("alongside", "--key-passphrase-file", admin.file(CANARY), *seen).status == 0
    said_here("alongside", *seen).assert_fault(ErrorCode.E_PASSPHRASE)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "alongside-passphrase").write_text(CANARY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert said_here("alongside", *seen).status == 0, "a unit's credential"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_sec_02_a_devices_key_that_others_could_read_is_not_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity.pem"
    save_identity(acme().device(), path)
    load_identity(path)
    path.chmod(mode)
    with pytest.raises(CertificateRefused) as refused:
        load_identity(path)
    assert refused.value.code is ErrorCode.E_IDENTITY_OWNER


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root: it gives a file to another user")
def test_sec_02_a_devices_key_of_another_user_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    save_identity(acme().device(), path)
    os.chown(path, 12345, 12345)
    with pytest.raises(CertificateRefused) as refused:
        load_identity(path)
    assert refused.value.code is ErrorCode.E_IDENTITY_OWNER
