"""The verifier as tests call it: against acme's root, at the time acme was made, for every role."""

import pytest

from protocol.certificates import Role, verify_chain
from protocol.errors import CertificateRefused
from tests.support.organisation import acme


def verify(chain, organisation=None, *, roles=tuple(Role), now=None, lifetime_limit=None):
    """Who it is, or CertificateRefused."""
    organisation = organisation or acme()
    return verify_chain(
        chain,
        organisation.root_der,
        roles=roles,
        now=now or organisation.now,
        lifetime_limit=lifetime_limit,
    )


def code_of(chain, organisation=None, **terms):
    """The code with which it is refused; fails where it is accepted."""
    with pytest.raises(CertificateRefused) as refusal:
        verify(chain, organisation, **terms)
    return refusal.value.code
