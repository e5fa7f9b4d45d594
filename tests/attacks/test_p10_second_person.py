"""P10: a command that takes two people runs for nobody alone, and for no other request than was approved.

Each approval is judged at both places: by the service (`CommandsCapability`) and, from signed documents
alone, by the exec worker (`approve_order`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from agent.exec.approval import approve_order
from protocol.approval import APPROVAL_TYPE, Approval
from protocol.audit import AuditKind
from protocol.certificates import Scope
from protocol.envelope import sign_envelope
from protocol.errors import ErrorCode, SupportError
from protocol.identity import Identity
from protocol.limits import APPROVAL_LIFETIME_S, CLOCK_SKEW_S
from protocol.messages.commands import RunCommand
from protocol.trust import Trust
from protocol.trust_store import open_status
from tests.support.approved_commands import (
    CommandBench,
    OrderTerms,
    Outcome,
    entry,
    request_for,
    signed_policy,
    utc_now,
)
from tests.support.organisation import acme, intruders
from tests.support.statuses import revoked, signed_status

pytestmark = pytest.mark.beside

E = ErrorCode
DEVICE = acme().device()
BEN = acme().technician("ben")
SIZE = {"size": {"type": "integer", "description": "Bytes", "minimum": 0, "maximum": 9}}
MINUTE = timedelta(minutes=1)
LIFE = timedelta(seconds=APPROVAL_LIFETIME_S)


def two_person_entry(witness: Path, **terms: object) -> dict[str, object]:
    """A command that leaves a file where it ran."""
    return entry("drastic", "/usr/bin/truncate", "-s", "{size}", str(witness), parameters=SIZE, **terms)


@dataclass
class Given:
    """One request of Ada's for `drastic`, and what the second person signed; tests bend one member."""

    request: RunCommand
    signer: Identity = BEN
    members: dict[str, object] = field(default_factory=dict)
    payload_type: str = APPROVAL_TYPE

    def approval(self) -> bytes:
        """In its envelope, signed."""
        now = utc_now()
        meant = Approval(
            request_id=self.request.request_id,
            command_id=self.request.command_id,
            entry_sha256=self.request.entry_sha256,
            parameters=self.request.parameters,
            device_id=DEVICE.subject_id,
            technician_id="ada",
            issued_at_utc=now,
            expires_at_utc=now + LIFE,
        )
        bent = msgspec.structs.replace(meant, **self.members)
        return sign_envelope(self.payload_type, msgspec.json.encode(bent), self.signer)

    def sent(self) -> RunCommand:
        """As the device hears it."""
        return msgspec.structs.replace(self.request, approval=self.approval())


Bend = Callable[[Given], None]


def members(**changed: object) -> Bend:
    """Another text was signed."""
    return lambda given: given.members.update(changed)


def signed_by(signer: Identity) -> Bend:
    """Somebody else signed it."""
    return lambda given: setattr(given, "signer", signer)


def dated(begins: timedelta, life: timedelta = LIFE) -> Bend:
    """Given at another time, for so long."""
    return lambda given: given.members.update(
        issued_at_utc=utc_now() + begins, expires_at_utc=utc_now() + begins + life
    )


def long_lived() -> Identity:
    """A technician whose certificate lives for longer than the policy lets one."""
    return acme().technician("cleo", lifetime=timedelta(days=29))


NARROW = Scope(frozenset({"warehouse"}), frozenset({"*"}))
LOOKING = Scope(frozenset({"*"}), frozenset({"screen.view"}))

BENT: dict[str, tuple[Bend, ErrorCode]] = {
    "the technician who asks": (signed_by(acme().technician("ada")), E.E_APPROVAL_PERSON),
    "an admin of the same id": (signed_by(acme().admin("ada")), E.E_APPROVAL_PERSON),
    "a technician of other groups": (signed_by(acme().technician("ben", scope=NARROW)), E.E_APPROVAL_PERSON),
    "a technician who may not run": (signed_by(acme().technician("ben", scope=LOOKING)), E.E_APPROVAL_PERSON),
    "a certificate of too long a life": (signed_by(long_lived()), E.E_CERT_LIFETIME),
    "another organisation": (signed_by(intruders().technician("ben")), E.E_CERT_ORG),
    "the device itself": (signed_by(DEVICE), E.E_CERT_ROLE),
    "the policy's signer": (signed_by(acme().policy_signer()), E.E_CERT_ROLE),
    "another device": (members(device_id=acme().device("other-pc").subject_id), E.E_APPROVAL_REQUEST),
    "another technician's request": (members(technician_id="cleo"), E.E_APPROVAL_REQUEST),
    "another request id": (members(request_id="r-" + "a" * 26), E.E_APPROVAL_REQUEST),
    "another command": (members(command_id="harmless"), E.E_APPROVAL_REQUEST),
    "another version of the entry": (members(entry_sha256="0" * 64), E.E_APPROVAL_REQUEST),
    "another parameter": (members(parameters={"size": "2"}), E.E_APPROVAL_REQUEST),
    "no parameter": (members(parameters={}), E.E_APPROVAL_REQUEST),
    "ended a moment ago": (dated(-LIFE - MINUTE), E.E_APPROVAL_EXPIRED),
    "not begun, beyond the skew": (dated(timedelta(seconds=CLOCK_SKEW_S) + MINUTE), E.E_APPROVAL_EXPIRED),
    "good for longer than it may be": (dated(-MINUTE, LIFE + 2 * MINUTE), E.E_APPROVAL_EXPIRED),
    "an envelope of another kind": (
        lambda given: setattr(given, "payload_type", "application/vnd.alongside.policy+json"),
        E.E_POLICY_SIGNATURE,
    ),
}  # fmt: skip


@dataclass
class Scene:
    """A device whose policy has `drastic`, and the file that shows that it ran."""

    witness: Path
    bench: CommandBench

    def given(self) -> Given:
        """A fresh request with a good approval."""
        assert self.bench.in_force is not None
        found = self.bench.in_force.policy.catalogue.find("drastic")
        return Given(request_for(found, {"size": "1"}))

    async def outcome(self, request: RunCommand) -> Outcome:
        """What the device says to it."""
        self.bench.send(request)
        return await self.bench.outcome(request)

    def worker_says(self, request: RunCommand) -> str:
        """The exec worker's own judgement of the same request, from an order of a deceived service."""
        assert self.bench.in_force is not None
        terms = OrderTerms(DEVICE, self.bench.in_force, request)
        try:
            return approve_order(terms.order(), utc_now()).approver_id
        except SupportError as exc:
            return str(exc.code)


@pytest.fixture(params=["high risk", "by its entry"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    """Both reasons for which a command takes two people."""
    terms = {"risk": "high"} if request.param == "high risk" else {"needs_second_person": True}
    witness = tmp_path / "ran"
    in_force = signed_policy(acme(), [two_person_entry(witness, **terms)])
    return Scene(witness, CommandBench(DEVICE, in_force))


@pytest.mark.real
@pytest.mark.parametrize("approver", [BEN, acme().admin("olga")], ids=["a technician", "an admin"])
async def test_p10_control_what_another_approved_runs_once_and_names_both(
    scene: Scene, approver: Identity
) -> None:
    given = scene.given()
    given.signer = approver
    request = given.sent()
    assert scene.worker_says(request) == approver.subject_id
    async with scene.bench:
        outcome = await scene.outcome(request)
        assert outcome.ended is not None, outcome
        assert scene.witness.exists()
        scene.witness.unlink()
        again = scene.bench.outcomes[request.request_id] = Outcome()
        assert (await scene.outcome(request)).code == E.E_STATE, "an approval is for one run"
        assert again.started is None
    assert not scene.witness.exists()
    [started] = [facts for kind, facts, _ in scene.bench.audit.records if kind is AuditKind.COMMAND_STARTED]
    assert started["approved_by"] == approver.subject_id


@pytest.mark.parametrize("bent", BENT)
async def test_p10_an_approval_that_is_not_for_exactly_this_is_refused_by_service_and_worker(
    scene: Scene, bent: str
) -> None:
    bend, code = BENT[bent]
    given = scene.given()
    bend(given)
    request = given.sent()
    assert scene.worker_says(request) == code
    async with scene.bench:
        assert (await scene.outcome(request)).code == code
    assert scene.bench.audit.kinds == [AuditKind.COMMAND_REQUESTED, AuditKind.COMMAND_REFUSED]
    assert not scene.witness.exists()


async def test_p10_nobody_runs_it_alone(scene: Scene) -> None:
    request = scene.given().request
    assert scene.worker_says(request) == E.E_APPROVAL_MISSING
    async with scene.bench:
        assert (await scene.outcome(request)).code == E.E_APPROVAL_MISSING
    assert AuditKind.COMMAND_STARTED not in scene.bench.audit.kinds
    assert not scene.witness.exists()


async def test_p10_no_bit_of_an_approval_can_be_turned(scene: Scene) -> None:
    given = scene.given()
    whole = given.approval()
    for position in range(0, len(whole), 7):
        turned = bytes([*whole[:position], whole[position] ^ 1, *whole[position + 1 :]])
        said = scene.worker_says(msgspec.structs.replace(given.request, approval=turned))
        assert said in (BEN.subject_id, *(code for code in E)), said
        is_hint = said == BEN.subject_id  # the one member that nothing depends on: who is said to have signed
        assert not is_hint or b'"keyid"' in whole[max(0, position - 20) : position + 20], position


@pytest.mark.real
async def test_p10_a_revoked_second_person_approves_nothing(scene: Scene) -> None:
    trust = Trust(acme().root_der)
    trust.status = open_status(signed_status(acme(), revoked(BEN)), trust, now=utc_now())
    scene.bench.surroundings = replace(scene.bench.surroundings, trust=trust)
    async with scene.bench:
        assert (await scene.outcome(scene.given().sent())).code == E.E_CERT_REVOKED
        other = scene.given()
        other.signer = acme().technician("cleo")
        assert (await scene.outcome(other.sent())).refused is None, "the control: somebody who was not"
