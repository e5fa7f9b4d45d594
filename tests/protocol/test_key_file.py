"""Keys as PEM: opened by their passphrase alone, also those from before the stretching."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from protocol.errors import CertificateRefused, ErrorCode
from protocol.key_file import SCRYPT_LOG2_N_LIMIT, key_pem, open_key

PASSPHRASE = b"correct horse battery"


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def locked(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key_pem(key, PASSPHRASE)


def refusal_of(pem: bytes, passphrase: bytes | None) -> ErrorCode:
    with pytest.raises(CertificateRefused) as refused:
        open_key(pem, passphrase, where="key.pem")
    return refused.value.code


def test_a_locked_key_opens_with_its_passphrase_and_no_other(key, locked):
    opened = open_key(locked, PASSPHRASE, where="key.pem")
    assert opened.private_numbers() == key.private_numbers()
    for wrong in (PASSPHRASE + b" ", PASSPHRASE[:-1], b"", None):
        assert refusal_of(locked, wrong) is ErrorCode.E_PASSPHRASE


def test_two_files_of_one_key_and_passphrase_share_no_salt(key, locked):
    assert key_pem(key, PASSPHRASE).splitlines()[0] != locked.splitlines()[0]


def test_the_passphrase_itself_does_not_open_the_pem(locked):
    """Else guessing it would cost 2048 rounds of PBKDF2 instead of scrypt."""
    with pytest.raises(ValueError, match="password"):
        load_pem_private_key(locked, PASSPHRASE)


def test_a_file_from_before_the_stretching_opens(key):
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE))
    assert open_key(pem, PASSPHRASE, where="key.pem").private_numbers() == key.private_numbers()
    assert refusal_of(pem, b"wrong") is ErrorCode.E_PASSPHRASE


@pytest.mark.parametrize("log2_n", [0, SCRYPT_LOG2_N_LIMIT + 1, 99])
def test_a_cost_that_is_none_of_ours_is_refused_before_memory_is_taken(locked, log2_n):
    _, _, rest = locked.partition(b"\n")
    salt = b"0" * 32
    with pytest.raises(ValueError, match="scrypt cost"):
        open_key(b"Alongside-Stretch: scrypt %d %s\n" % (log2_n, salt) + rest, PASSPHRASE, where="key.pem")


def test_an_open_key_needs_no_passphrase_and_ignores_one(key):
    pem = key_pem(key, None)
    assert b"ENCRYPTED" not in pem
    assert open_key(pem, b"unused", where="key.pem").private_numbers() == key.private_numbers()
