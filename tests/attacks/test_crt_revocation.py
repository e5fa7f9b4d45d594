"""Who is not believed any more: revoked, withheld, out of date, too long-lived (THREATS.md 3.3).

Every case has its control: somebody who is not revoked gets in, or goes on, in the same run.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.desktop import ipc_messages as ipc
from protocol.certificates import Role, Scope
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.limits import TECHNICIAN_LIFETIME_DEFAULT_DAYS
from protocol.session import Ended, SendHeartbeat, SessionMachine
from protocol.trust import Trust
from protocol.trust_store import TrustStore
from technician_client.notices import SessionOver
from technician_client.opening import Wanted, establish
from technician_client.sessions import TechnicianSession
from tests.support.device_end import DeviceEnd, QuietAudit, attached, device_end
from tests.support.organisation import Organisation, acme
from tests.support.policies import signed_policy
from tests.support.statuses import DAY, revoked, signed_status

E = ErrorCode
VIEW = Grantable.SCREEN_VIEW
ADA, BOB = acme().technician("ada"), acme().technician("bob")


async def refusal(device: DeviceEnd, technician: Identity) -> str:
    """The code with which this technician is refused, which has to be the agent's own."""
    with pytest.raises(SupportError) as caught:
        await device.connect(technician)
    await asyncio.wait(list(device.runners)[-1:], timeout=5)
    [record] = [one for one in device.records()[-1:] if one.kind == "session.refused"]
    assert record.facts["code"] == caught.value.code
    return caught.value.code


async def cause(session: TechnicianSession, timeout_s: float = 5.0) -> str:
    """The cause with which the session ended, as the technician hears it."""
    async with asyncio.timeout(timeout_s):
        while True:
            notice = await session.notices.get()
            if isinstance(notice, SessionOver):
                return notice.code


async def test_crt_04_a_revoked_technician_gets_no_session_and_nobody_is_asked(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        async with await device.connect(ADA):
            pass
        await device.over()
        device.hand_over(signed_status(acme(), revoked(ADA)))
        assert await refusal(device, ADA) == E.E_CERT_REVOKED
        assert desktop.orders == []
        async with await device.connect(BOB) as session:
            assert (await session.ask([VIEW])).granted
    assert device.kinds().count("session.refused") == 1
    assert device.kinds().count("status.accepted") == 1


async def test_crt_04_a_list_that_comes_in_a_session_ends_it_with_code_and_record(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        ada, bob = await device.connect(ADA), await device.connect(BOB)
        assert (await ada.ask([VIEW])).granted
        await ada.open_channel(VIEW)
        await desktop.order(ipc.StartScreen)
        device.hand_over(signed_status(acme(), revoked(ADA)))
        assert await cause(ada) == E.E_CERT_REVOKED
        assert ada.held() == {}
        await desktop.order(ipc.HideIndicator)
        assert (await bob.ask([VIEW])).granted
        [ended] = [one for one in device.records() if one.kind == "session.ended"]
        assert (ended.session_id, ended.actor) == (ada.session_id, "ada")
        assert ended.facts["cause"] == E.E_CERT_REVOKED
        lost = [one.session_id for one in device.records() if one.kind == "grant.ended"]
        assert lost == [ada.session_id]
        await bob.end()


async def test_crt_04_a_technician_leaves_a_device_that_was_revoked(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path / "device") as device:
        trust = Trust(acme().root_der)
        session_id, wire = device.offer()
        await (await establish(wire, Wanted(session_id, device.device_id, ADA, QuietAudit(), trust))).end()
        TrustStore(trust, tmp_path).accept(signed_status(acme(), revoked(device.identity)), datetime.now(UTC))
        session_id, wire = device.offer()
        with pytest.raises(SupportError) as caught:
            await establish(wire, Wanted(session_id, device.device_id, ADA, QuietAudit(), trust))
        assert caught.value.code is E.E_CERT_REVOKED


async def test_crt_04_a_policy_of_a_revoked_signer_allows_nothing_until_another_signs(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device:
        device.publish(signed_policy(acme(), version=1))
        await (await device.connect(BOB)).end()
        await device.over()
        successor = acme().person(Role.POLICY, "policy-2")
        device.hand_over(signed_status(acme(), revoked(acme().policy_signer()), signer=successor))
        assert await refusal(device, BOB) == E.E_POLICY_SIGNATURE


async def test_crt_05_a_relay_that_brings_old_or_other_lists_brings_nobody_back(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        device.hand_over(signed_status(acme(), revoked(ADA), version=2))
        old, other = signed_status(acme(), version=1), signed_status(acme(), version=2)
        over = signed_status(acme(), version=3, issued=datetime.now(UTC) - 9 * DAY, lifetime=DAY)
        takes_back = signed_status(acme(), version=4)
        for envelope in (old, other, over, takes_back, b"garbage"):
            device.hand_over(envelope)
        codes = [one.facts["code"] for one in device.records() if one.kind == "status.refused"]
        assert codes == [
            E.E_STATUS_VERSION, E.E_STATUS_FORK, E.E_STATUS_EXPIRED, E.E_STATUS_VERSION, E.E_POLICY_SIGNATURE,
        ]  # fmt: skip
        assert await refusal(device, ADA) == E.E_CERT_REVOKED
        assert desktop.orders == []
        await (await device.connect(BOB)).end()


async def test_crt_05_a_relay_that_withholds_newer_lists_is_bounded_by_the_lists_own_end(
    tmp_path: Path,
) -> None:
    start = datetime.now(UTC) - DAY
    async with device_end(acme(), tmp_path) as device:
        device.hand_over(signed_status(acme(), issued=start, lifetime=DAY + timedelta(seconds=1)))
        session = await device.connect(BOB)
        status = device.policies.trust.status
        assert status is not None
        await asyncio.sleep(max(0.0, (status.expires_at_utc - datetime.now(UTC)).total_seconds()))
        assert await refusal(device, ADA) == E.E_STATUS_EXPIRED
        answer = await session.ask([VIEW])
        assert answer.refused == {VIEW: E.E_STATUS_EXPIRED}
        device.hand_over(signed_status(acme(), version=2))
        await (await device.connect(ADA)).end()
        await session.end()


async def test_crt_05_a_flood_of_old_lists_neither_fills_the_log_nor_drowns_the_alarm(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device:
        intake = device.status_intake()
        intake(signed_status(acme(), revoked(ADA), version=2))
        old = signed_status(acme(), version=1)
        for _ in range(200):
            intake(old)
        intake(signed_status(acme(), version=2))
        kinds = [one.facts.get("code") for one in device.records() if one.kind == "status.refused"]
        assert len(kinds) <= 21
        assert kinds[-1] == E.E_STATUS_FORK


@pytest.mark.parametrize(
    ("policy_days", "life", "code"),
    [
        (None, timedelta(days=TECHNICIAN_LIFETIME_DEFAULT_DAYS), ""),
        (None, timedelta(days=TECHNICIAN_LIFETIME_DEFAULT_DAYS + 1), E.E_CERT_LIFETIME),
        (1, timedelta(hours=24), ""),
        (1, timedelta(hours=25), E.E_CERT_LIFETIME),
        (30, timedelta(days=31), E.E_CERT_LIFETIME),
    ],
)
async def test_crt_13_the_agent_itself_caps_how_long_a_technicians_certificate_may_live(
    tmp_path: Path, policy_days: int | None, life: timedelta, code: str
) -> None:
    technician = acme().technician(lifetime=life)
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        if policy_days is not None:
            device.publish(signed_policy(acme(), technician_lifetime_days_limit=policy_days))
        if code:
            assert await refusal(device, technician) == code
        else:
            await (await device.connect(technician)).end()
        assert desktop.orders == []


async def test_crt_14_cmd_14_a_technician_reaches_only_the_groups_of_the_signed_scope(tmp_path: Path) -> None:
    laptops = acme().technician(scope=Scope(frozenset({"laptops"}), frozenset({"*"})))
    for group, code in (("laptops", ""), ("kiosks", E.E_CERT_SCOPE)):
        folder = tmp_path / group
        folder.mkdir()
        async with device_end(acme(), folder, group) as device, attached(device) as desktop:
            if code:
                assert await refusal(device, laptops) == code
                assert desktop.orders == []
            else:
                await (await device.connect(laptops)).end()


async def test_crt_14_cmd_14_a_scope_without_a_capability_never_reaches_the_person(tmp_path: Path) -> None:
    viewer = acme().technician(scope=Scope(frozenset({"*"}), frozenset({VIEW.value})))
    async with (
        device_end(acme(), tmp_path) as device,
        attached(device) as desktop,
        await device.connect(viewer) as session,
    ):
        refused = (await session.ask([Grantable.INPUT_CONTROL])).refused
        assert refused == {Grantable.INPUT_CONTROL: E.E_POLICY_CAPABILITY}
        assert desktop.all_of(ipc.ShowPrompt) == []
        assert (await session.ask([VIEW])).granted


async def test_crt_07_a_certificate_that_ends_in_a_session_ends_the_session(tmp_path: Path) -> None:
    short = acme().technician("short", now=datetime.now(UTC), lifetime=timedelta(seconds=2))
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        async with await device.connect(short) as session, await device.connect(BOB) as other:
            assert (await session.ask([VIEW])).granted
            assert await cause(session) == E.E_CERT_EXPIRED
            await desktop.order(ipc.HideIndicator)
            assert (await other.ask([VIEW])).granted
        await device.over()
    causes = {one.actor: one.facts["cause"] for one in device.records() if one.kind == "session.ended"}
    assert causes == {"short": E.E_CERT_EXPIRED, "bob": "technician_left"}


@settings(max_examples=100)
@given(st.lists(st.floats(0.01, 30.0), max_size=40), st.floats(1.0, 300.0))
def test_crt_07_whatever_is_heard_the_end_of_the_certificate_ends_the_session(
    pauses: list[float], ends_s: float
) -> None:
    """The machine knows the monotonic clock alone: no wall clock that jumps can reach it."""
    machine = SessionMachine(now_s=0.0)
    machine.paired(0.0)
    machine.handshake_done()
    machine.accepted(0.0, ends_s)
    now_s = 0.0
    for pause_s in [*pauses, 301.0]:
        deadline_s = machine.deadline_s
        if deadline_s is None:
            break
        assert deadline_s <= ends_s
        now_s = min(now_s + pause_s, ends_s)
        machine.heard(now_s)
        effects = machine.tick(now_s)
        for effect in effects:
            if isinstance(effect, SendHeartbeat):
                machine.answered(effect.beat_no)
        if now_s >= ends_s:
            assert effects == [Ended(E.E_CERT_EXPIRED)]
    assert machine.cause == E.E_CERT_EXPIRED


async def test_crt_15_a_relay_that_brings_a_rival_successor_is_an_alarm_and_changes_nothing(
    tmp_path: Path,
) -> None:
    before = Organisation("Acme")
    after, step = before.successor()
    _, rival = before.successor()
    async with device_end(before, tmp_path) as device:
        ada = await device.connect(before.technician("ada"))
        device.succeed(step)
        assert await cause(ada) == E.E_CERT_CHAIN
        device.succeed(rival)
        device.succeed(step)
        [alarm] = [one for one in device.records() if one.kind == "root.refused"]
        assert alarm.facts["code"] == E.E_ROOT_FORK
        again = TrustStore(Trust(before.root_der), tmp_path)
        again.load()
        assert again.trust.roots.newest == after.root_der, "it is kept over a restart"


async def test_crt_15_versions_are_counted_anew_under_a_successor_root(tmp_path: Path) -> None:
    """A thief of the former signer's key could have published the last version there is."""
    before = Organisation("Acme")
    after, step = before.successor()
    async with device_end(before, tmp_path) as device:
        device.publish(signed_policy(before, version=2**31 - 1))
        device.hand_over(signed_status(before, version=2**31 - 1))
        device.succeed(step)
        bob = after.technician("bob")
        trust = Trust(before.root_der, [step])
        session_id, wire = device.offer()
        with pytest.raises(SupportError) as caught:
            await establish(wire, Wanted(session_id, device.device_id, bob, QuietAudit(), trust))
        assert caught.value.code is E.E_POLICY_SIGNATURE, "not the former policy, and no way round one"
        device.publish(signed_policy(after, version=1))
        device.hand_over(signed_status(after, version=1))
        session_id, wire = device.offer()
        await (await establish(wire, Wanted(session_id, device.device_id, bob, QuietAudit(), trust))).end()
        assert (device.policies.version, device.statuses.version) == (1, 1)
