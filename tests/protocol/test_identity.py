"""Identity files: of their owner alone, whole or not at all."""

import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.certificates import Role, verify_chain
from protocol.errors import CertificateRefused, ErrorCode, SupportError
from protocol.identity import Identity, load_identity, save_identity
from protocol.private_files import PRIVATE_FILE_LIMIT_BYTES, write_private_file
from tests.support.organisation import acme, intruders, new_key


def code_of(path, **terms):
    with pytest.raises(SupportError) as refusal:
        load_identity(path, **terms)
    return refusal.value.code


@pytest.fixture
def device():
    return acme().device("reception-pc")


@pytest.fixture
def saved(tmp_path, device):
    path = tmp_path / "identity.pem"
    save_identity(device, path)
    return path


def test_an_identity_comes_back_as_it_was_saved(saved, device):
    loaded = load_identity(saved)
    assert (loaded.chain, loaded.root_der) == (device.chain, device.root_der)
    assert (loaded.role, loaded.subject_id, loaded.name) == (Role.DEVICE, device.subject_id, "reception-pc")
    assert loaded.organisation_id == acme().organisation_id
    peer = verify_chain(loaded.chain, loaded.root_der, roles={Role.DEVICE}, now=acme().now)
    assert peer.verify_signature(loaded.sign(b"nonce"), b"nonce")


def test_the_file_is_readable_by_its_owner_alone_whatever_the_umask(tmp_path, device):
    before = os.umask(0)
    try:
        save_identity(device, tmp_path / "identity.pem")
    finally:
        os.umask(before)
    assert (tmp_path / "identity.pem").stat().st_mode & 0o777 == 0o600


def test_saving_again_replaces_the_file_and_leaves_nothing_beside_it(saved):
    save_identity(acme().technician(), saved)
    assert load_identity(saved).role is Role.TECHNICIAN
    assert [path.name for path in saved.parent.iterdir()] == ["identity.pem"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_or_change_is_refused(saved, mode):
    saved.chmod(mode)
    assert code_of(saved) is ErrorCode.E_IDENTITY_OWNER


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root: only root can give a file away")
def test_a_file_of_another_user_is_refused(saved):
    os.chown(saved, 65534, -1)
    assert code_of(saved) is ErrorCode.E_IDENTITY_OWNER


def test_a_symbolic_link_is_refused(saved):
    link = saved.with_name("link.pem")
    link.symlink_to(saved)
    assert code_of(link) is ErrorCode.E_IDENTITY_OWNER


def test_a_folder_or_a_pipe_in_its_place_is_refused(tmp_path):
    assert code_of(tmp_path) is ErrorCode.E_IDENTITY_OWNER
    os.mkfifo(tmp_path / "pipe.pem", 0o600)
    assert code_of(tmp_path / "pipe.pem") is ErrorCode.E_IDENTITY_OWNER


def test_no_file_is_a_missing_identity(tmp_path):
    assert code_of(tmp_path / "identity.pem") is ErrorCode.E_IDENTITY_MISSING


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\n-----END"])
def test_a_file_that_is_not_an_identity_is_missing_one(tmp_path, content):
    write_private_file(tmp_path / "identity.pem", content)
    assert code_of(tmp_path / "identity.pem") is ErrorCode.E_IDENTITY_MISSING


def test_a_huge_file_is_not_read(tmp_path):
    write_private_file(tmp_path / "identity.pem", b"A" * (PRIVATE_FILE_LIMIT_BYTES + 1))
    assert code_of(tmp_path / "identity.pem") is ErrorCode.E_IDENTITY_MISSING


def test_a_key_of_another_kind_is_missing_one(saved):
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private_file(saved, pem + saved.read_bytes().partition(b"-----END PRIVATE KEY-----\n")[2])
    assert code_of(saved) is ErrorCode.E_IDENTITY_MISSING


def test_an_encrypted_identity_opens_with_its_passphrase_alone(tmp_path, device):
    path = tmp_path / "identity.pem"
    save_identity(device, path, passphrase=b"correct horse")
    assert b"ENCRYPTED" in path.read_bytes()
    assert load_identity(path, passphrase=b"correct horse").subject_id == device.subject_id
    assert code_of(path, passphrase=b"battery staple") is ErrorCode.E_PASSPHRASE
    assert code_of(path) is ErrorCode.E_PASSPHRASE


def test_a_passphrase_for_an_open_identity_is_not_needed(saved, device):
    assert load_identity(saved, passphrase=b"unused").subject_id == device.subject_id


def test_a_certificate_copied_without_its_key_is_no_identity(device):
    with pytest.raises(CertificateRefused):
        replace(device, key=new_key())


def test_a_root_or_nothing_at_all_is_no_chain(device):
    with pytest.raises(CertificateRefused):
        Identity(acme().root_key, (acme().root_der,), acme().root_der)
    with pytest.raises(CertificateRefused):
        Identity(device.key, (), device.root_der)


def test_the_key_does_not_show_in_a_printed_identity(device):
    assert "key" not in repr(device)


def test_the_organisation_is_that_of_the_root_and_not_of_the_leaf(device):
    moved = Identity(device.key, device.chain, intruders().root_der)
    assert moved.organisation_id == intruders().organisation_id


def test_a_folder_that_cannot_be_written_is_said_and_leaves_nothing(tmp_path, device):
    with pytest.raises(SupportError) as refusal:
        save_identity(device, tmp_path / "missing" / "identity.pem")
    assert refusal.value.code is ErrorCode.E_DATA_DISK


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_cut_or_changed_anywhere_is_refused_or_still_whole(saved, data):
    original = saved.read_bytes()
    try:
        cut = data.draw(st.integers(0, len(original) - 1))
        byte = data.draw(st.integers(0, 255))
        tail = data.draw(st.sampled_from([b"", original[cut + 1 :]]))
        write_private_file(saved, original[:cut] + bytes([byte]) + tail)
        try:
            assert load_identity(saved).role is Role.DEVICE
        except SupportError as refusal:
            assert refusal.code in ErrorCode
    finally:
        write_private_file(saved, original)
