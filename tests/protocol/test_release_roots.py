"""A release counts under the root whose key has the organisation's fingerprint, whatever a root says."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.certificates import RootTerms, make_root, organisation_of_root
from protocol.envelope import pre_authentication_encoding
from protocol.errors import DocumentRefused, ErrorCode
from protocol.release import RELEASE_TYPE, open_release, release_roots
from tests.support.organisation import acme, der


def test_crt_15_a_self_made_successor_root_that_names_our_organisation_signs_no_release() -> None:
    claims = RootTerms("0" * 64, 1, acme().organisation_id, "1" * 64)
    root, key = make_root("Acme", now=acme().now, terms=claims)
    assert organisation_of_root(der(root))[0] == acme().organisation_id, "it says so of itself"
    manifest = b"{}"
    signed = key.sign(pre_authentication_encoding(RELEASE_TYPE, manifest), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(DocumentRefused) as caught:
        open_release(
            manifest, signed, release_roots(root.public_bytes(Encoding.PEM), b"[]", acme().organisation_id)
        )
    assert caught.value.code is ErrorCode.E_RELEASE_SIGNATURE
    # the control: the same manifest under the true root passes the root and signature, and fails on its form
    true = acme().root_key.sign(
        pre_authentication_encoding(RELEASE_TYPE, manifest), ec.ECDSA(hashes.SHA256())
    )
    with pytest.raises(DocumentRefused) as other:
        open_release(
            manifest,
            true,
            release_roots(acme().root.public_bytes(Encoding.PEM), b"[]", acme().organisation_id),
        )
    assert other.value.code is ErrorCode.E_RELEASE_FORMAT
