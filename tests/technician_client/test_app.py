"""Our own identity is judged before the relay sees it."""

from datetime import UTC, datetime, timedelta

import pytest

from protocol.certificates import Role
from protocol.errors import ErrorCode, SupportError
from protocol.identity import save_identity
from technician_client.app import checked_identity, fleet_link, technician_app
from technician_client.config import TechnicianConfig
from technician_client.relay_address import RelayAddress, write_relay
from tests.support.organisation import Organisation, acme

pytestmark = pytest.mark.beside

LAST_MONTH = datetime.now(UTC) - timedelta(days=31)


def test_an_expired_certificate_is_named_with_its_day_and_the_command_that_helps():
    old = Organisation(now=LAST_MONTH).technician()
    with pytest.raises(SupportError) as caught:
        checked_identity(old, Role.TECHNICIAN)
    assert caught.value.code == ErrorCode.E_CERT_EXPIRED
    assert f"{old.not_after:%Y-%m-%d}" in caught.value.detail
    assert "alongside org technician add" in caught.value.detail


def test_an_identity_of_another_role_is_not_used():
    with pytest.raises(SupportError) as caught:
        checked_identity(acme().device(), Role.TECHNICIAN)
    assert caught.value.code == ErrorCode.E_CERT_ROLE


async def test_an_identity_that_others_can_read_is_not_used(tmp_path):
    config = TechnicianConfig(tmp_path)
    save_identity(acme().technician(), config.identity_file)
    config.identity_file.chmod(0o644)
    with pytest.raises(SupportError) as caught:
        async with technician_app(config):
            pass
    assert caught.value.code == ErrorCode.E_IDENTITY_OWNER


@pytest.mark.real
async def test_the_console_hears_who_we_are_and_that_the_relay_is_away(tmp_path):
    config = TechnicianConfig(tmp_path)
    save_identity(acme().technician(), config.identity_file)
    write_relay(config, RelayAddress("http://127.0.0.1:1"))
    async with technician_app(config) as app:
        with app.watch() as news:
            state = await news.get()
        assert not app.link_state().is_connected
        assert state == app.link_state()
        assert app.link_state().code == ErrorCode.E_RELAY_UNREACHABLE
        assert (app.myself().technician, app.myself().organisation) == ("Ada", "Acme")
        assert 6.9 < app.myself().certificate_days_left <= 7
        assert not app.catalogue().entries


@pytest.mark.real
async def test_without_the_organisations_keys_the_fleet_is_asked_as_the_technician(tmp_path):
    config = TechnicianConfig(tmp_path)
    save_identity(acme().technician(), config.identity_file)
    write_relay(config, RelayAddress("http://127.0.0.1:1"))
    async with fleet_link(config) as link:
        with pytest.raises(SupportError) as caught:
            await link.devices()
    assert caught.value.code == ErrorCode.E_RELAY_UNREACHABLE
