"""One schedule from its seed to its verdict."""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from protocol.errors import SupportError
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.ids import DeviceId, SessionId
from protocol.tunnel import HandshakeDone, Plaintext, Tunnel, TunnelEnd, TunnelEvent
from technician_client.opening import Wanted, establish
from technician_client.sessions import TechnicianSession
from tests.simulate import clocks
from tests.simulate.cast import CANARY, Cast, cast
from tests.simulate.device import SimulatedDevice, Surroundings
from tests.simulate.loop import PROGRAM, START_S, Stuck, VirtualLoop
from tests.simulate.network import Link, Network
from tests.simulate.oracle import Oracle, Violation
from tests.simulate.plan import HEALED_AT_S, Event, Mode, Plan, Timed, Visit, Who, draw
from tests.simulate.records import PlayedTunnel
from tests.simulate.technicians import REQUEST_IDS, HonestHands, RogueHands, is_stated
from tests.support.audit_sink import RecordingSink

SESSION_LONGEST_S = 420.0
RECOVERY_BOUND_S = 90.0
WATCH_EVERY_S = 1.0
WIND_UP_S = 30.0
ALLOWED_IN = (Who.HONEST, Who.ROGUE, Who.SHORT_LIVED)


@dataclass(slots=True)
class Outcome:
    """What a schedule did, and what it broke ("" is nothing)."""

    seed: int
    mode: Mode
    violation: str = ""
    trace: list[str] = field(default_factory=list)
    actions: int = 0
    prompts: int = 0
    sessions: int = 0
    ready: int = 0
    worked: int = 0
    is_tls: bool = False
    virtual_s: float = 0.0
    steps: int = 0
    recovered_after_s: float | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for two runs that went the same way."""
        return hashlib.sha256("\n".join([*self.trace, self.violation]).encode()).hexdigest()


class WatchedTunnel:
    """A tunnel whose plain bytes the oracle sees."""

    def __init__(self, inner: Tunnel, oracle: Oracle, *, is_device: bool) -> None:
        self._inner = inner
        self._oracle = oracle
        self._is_device = is_device
        self._exporter = b""
        self.start, self.outgoing, self.close = inner.start, inner.outgoing, inner.close

    def feed(self, received: bytes) -> list[TunnelEvent]:
        """See `Tunnel.feed`."""
        events = self._inner.feed(received)
        for event in events:
            match event:
                case HandshakeDone():
                    self._exporter = event.exporter
                case Plaintext(content):
                    self._oracle.unsealed(self._exporter, content, is_device=self._is_device)
        return events

    def send(self, plaintext: bytes) -> None:
        """See `Tunnel.send`."""
        self._inner.send(plaintext)
        self._oracle.sealed(self._exporter, plaintext, is_device=self._is_device)


class World:
    """Everything of one schedule. Make it, `play` it, throw it away."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.outcome = Outcome(plan.seed, plan.mode, is_tls=plan.is_tls)
        self.loop = VirtualLoop()
        self.cast: Cast = cast()
        self.oracle = Oracle(self.loop.time, self._broke)
        self._context = copy_context()
        self.network = Network(self.loop, plan, self._context, self.note)
        self.network.canaries = [CANARY] if plan.is_tls else []
        self._links: dict[str, Link] = {}
        self._session_chance = plan.random("session ids")
        self._share_chance = plan.random("shares")
        self._technician_offset_s = 0.0
        self._visits = 0
        self._over: asyncio.Future[None] | None = None
        first = self.cast.first_policy[plan.is_unattended].envelope
        self.devices = [
            SimulatedDevice(
                self._around(folder, number), self.cast.devices[number], f"device-{number}", first
            )
            for number in range(2 if any(visit.is_misrouted for visit in plan.visits) else 1)
        ]
        self.oracle.is_unattended_possible = plan.is_unattended

    def _around(self, folder: Path, number: int) -> Surroundings:
        return Surroundings(
            loop=self.loop,
            oracle=self.oracle,
            folder=folder,
            chance=self.plan.random(f"device {number}"),
            wall=lambda: self._wall(self.devices[number].clock_offset_s),
            link_of=self._links.__getitem__,
            note=self.note,
            person_answers_always=self.plan.mode is Mode.LIVENESS,
        )

    # -- the whole -----------------------------------------------------------------------------------

    def play(self) -> Outcome:
        """Run it; the outcome says whether anything was broken."""
        clocks.NOW.wall = self._program_wall
        clocks.NOW.monotonic_s = self.loop.time
        clocks.NOW.make_tunnel = self._make_tunnel
        clocks.NOW.fault = lambda text: self._broke(f"a fault of ours: {text}")
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._play())
        except Violation as exc:
            self._broke(str(exc))
        except Stuck as exc:
            self._broke(f"P20: {exc}")
        finally:
            self.oracle.is_closed = True
            asyncio.set_event_loop(None)
            self.loop.close()
        self.outcome.steps = self.loop.steps
        self._sum_up()
        return self.outcome

    async def _play(self) -> None:
        self._over = self.loop.create_future()
        for device in self.devices:
            device.start()
        for timed in self.plan.events:
            self.loop.call_later(timed.at_s, self._happen, timed, context=self._context)
        if self.plan.kill_at_step:
            self.loop.at_step[self.plan.kill_at_step] = lambda: self._kill(self.devices[0], 0.5)
        visits = [self.loop.create_task(self._visit(visit)) for visit in self.plan.visits]
        watching = self.loop.create_task(self._watch())
        working = asyncio.gather(*visits)
        await asyncio.wait([working, self._over], return_when=asyncio.FIRST_COMPLETED)
        if self.plan.mode is Mode.LIVENESS and not self.outcome.violation:
            await self._recover()
        watching.cancel()
        if not self.outcome.violation:
            await self._wind_up()
        for task in (*visits, watching, working):
            task.cancel()
        await asyncio.gather(*visits, watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            now_s = self.loop.time()
            for link in self.network.links:
                if link.device.is_open:
                    self.oracle.silence("agent", now_s - link.device.heard_at_s)
                if link.technician.is_open and link.is_technician_honest:
                    self.oracle.silence("technician", now_s - link.technician.heard_at_s)
            if self.network.leaked:
                self.oracle.broken("P1: a relay read what was inside the tunnel")

    async def _wind_up(self) -> None:
        """Everything is ended as a service ends it: nothing may be left."""
        self.network.is_healed = True  # what ends them is not killed while it does
        for device in self.devices:
            device.can_be_killed_in_commands = False
        try:
            async with asyncio.timeout(WIND_UP_S):
                for device in self.devices:
                    await device.end_all("finished")
        except TimeoutError:
            self._broke("P20: sessions do not end")
        await asyncio.sleep(1.0)
        for device in self.devices:
            if device.desktop is not None and not device.desktop.is_dead and device.desktop.has_input_left_on:
                self._broke("P4: input is still let through after every session has ended")
            if device.sessions is not None and device.sessions.status():
                self._broke("P4: a session is left")
            device.start_again()
        if not any(timed.event is Event.AUDIT_FAILS for timed in self.plan.events):
            with suppress(Violation):  # it is reported already
                self.oracle.nothing_is_left_open()
        for failure in (*self.loop.failures, *self.loop.unheard()):
            self._broke(f"a fault of ours: {failure!r}")

    def _sum_up(self) -> None:
        outcome, oracle = self.outcome, self.oracle
        outcome.actions, outcome.prompts = oracle.actions, oracle.prompts
        outcome.sessions = len(oracle.sessions)
        outcome.ready = sum(view.technician_id != "" for view in oracle.sessions.values())
        outcome.virtual_s = self.loop.time() - START_S

    # -- sessions ------------------------------------------------------------------------------------

    async def _visit(self, visit: Visit) -> None:
        await asyncio.sleep(visit.at_s)
        self._visits += 1
        program = f"technician.{self._visits}"
        await self._open(visit, self.cast.technicians[visit.who], program)

    async def open_for(self, identity: Identity, device: SimulatedDevice) -> TechnicianSession:
        """A session of somebody with a right certificate, over a network that is whole."""
        link = self._paired(Visit(0.0, Who.HONEST, is_misrouted=False), identity, device)
        await asyncio.sleep(0.02)
        return await self._session(link, identity, device.device_id)

    async def _open(self, visit: Visit, identity: Identity, program: str) -> None:
        """A relay pairs a technician and a device, and both work until it is over."""
        device = self.devices[1 if visit.is_misrouted else 0]
        link = self._paired(visit, identity, device)
        self.note(f"{program} ({visit.who}) opens link {link.number}")
        await asyncio.sleep(0.02)
        if self.loop.is_dead(program):
            return
        work = (
            self._rogue(link, identity, device)
            if visit.who is Who.ROGUE
            else self._honest(link, identity, device)
        )
        task = self.loop.start(program, work)
        task.add_done_callback(lambda _done: self._closed_itself(link), context=self._context)
        await asyncio.wait([task], timeout=SESSION_LONGEST_S)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=5.0)

    def _paired(self, visit: Visit, identity: Identity, device: SimulatedDevice) -> Link:
        session_id = SessionId("s-" + "".join(self._session_chance.choices("abcdefghijklmnop", k=26)))
        link = self._links[session_id] = self.network.open(session_id)
        link.is_technician_honest = visit.who is not Who.ROGUE
        may_be_admitted = visit.who in ALLOWED_IN
        ends_utc = x509.load_der_x509_certificate(identity.chain[0]).not_valid_after_utc
        self.oracle.opened(
            session_id,
            may_be_admitted=may_be_admitted,
            certificate_ends_s=lambda: (
                self.loop.time() + (ends_utc - self._wall(device.clock_offset_s)).total_seconds()
            ),
        )
        device.offer(session_id, lambda code: self._declined(link, code))
        return link

    def _declined(self, link: Link, code: str) -> None:
        self.note(f"link {link.number} declined: {code}")
        link.cut()

    def _closed_itself(self, link: Link) -> None:
        self.note(f"link {link.number}: the technician is gone")
        link.technician.die()

    async def _honest(self, link: Link, identity: Identity, device: SimulatedDevice) -> None:
        wanted_id = self.devices[0].device_id
        hands = HonestHands(self.plan.random(f"hands {link.number}"), self.oracle, self.cast.entries)
        try:
            async with await self._session(link, identity, wanted_id) as live:
                self.oracle.reached(link.session_id, wanted_id, device.device_id)
                await hands.work(live)
        except SupportError as exc:
            self.note(f"link {link.number} ended for the technician: {exc.code}")
            if not is_stated(exc.code):
                self.oracle.broken(f"P20: a session ended with {exc.code!r}, which nobody documents")
        self.outcome.worked += hands.worked

    async def _session(self, link: Link, identity: Identity, device_id: DeviceId) -> TechnicianSession:
        wanted = Wanted(SessionId(link.session_id), device_id, identity, RecordingSink())
        return await establish(link.technician, wanted)

    async def _rogue(self, link: Link, identity: Identity, device: SimulatedDevice) -> None:
        ids = REQUEST_IDS[self.devices.index(device)]
        hands = RogueHands(self.plan.random(f"rogue {link.number}"), identity, self.cast.entries, ids)
        with suppress(SupportError):
            await hands.work(link.technician, self._make_tunnel)

    # -- what goes wrong -----------------------------------------------------------------------------

    def _happen(self, timed: Timed) -> None:
        if self.network.is_healed:
            return
        device = self.devices[0]
        self.note(f"{timed.event} ({timed.amount:.2f})")
        match timed.event:
            case Event.RESTART_AGENT:
                self._kill(device, timed.amount)
            case Event.KILL_AGENT_AT_STEP:
                device.can_be_killed_in_commands = True
                step = self.loop.steps + 1 + int(timed.amount * 60)
                self.loop.at_step[step] = lambda: self._kill(device, timed.amount)
            case Event.KILL_TECHNICIAN:
                self.loop.kill("technician.1")
                for link in self.network.links[:1]:
                    link.technician.die()
            case Event.DESKTOP_DIES:
                if device.desktop is not None:
                    device.desktop.die()
                self.loop.call_later(timed.amount, device.attach_desktop, context=self._context)
            case Event.CLOCK_JUMPS:
                device.clock_offset_s += timed.amount
                self._technician_offset_s -= timed.amount / 2
            case Event.AUDIT_FAILS:
                device.audit.fails_until_s = self.loop.time() + timed.amount
            case Event.OFFER_ID_AGAIN:
                if device.session_ids:
                    device.offer(device.session_ids[-1], lambda code: self.note(f"declined again: {code}"))
            case Event.END_ALL:
                self.loop.start(device.program, device.end_all("finished"))
            case _:
                is_genuine = timed.event is not Event.POLICY_FORGED
                device.take_policy(self.cast.policies[timed.event], is_genuine=is_genuine)

    def _kill(self, device: SimulatedDevice, for_s: float) -> None:
        if device.sessions is not None and not self.network.is_healed:
            device.kill()
            self.loop.call_later(for_s, device.start_again, context=self._context)

    # -- liveness ------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Everything is whole again: a technician must be able to ask, and be given what is allowed."""
        await asyncio.sleep(max(0.0, START_S + HEALED_AT_S - self.loop.time()))
        device = self.devices[0]
        self.network.heal()
        self.note("healed")
        device.can_be_killed_in_commands = False
        device.clock_offset_s = self._technician_offset_s = 0.0
        device.audit.fails_until_s = 0.0
        device.person.is_willing = True
        device.start_again()
        device.attach_desktop()
        device.take_policy(self.cast.last_policy.envelope, is_genuine=True)
        healed_s = self.loop.time()
        recovery = Recovery(self, device)
        try:
            async with asyncio.timeout(RECOVERY_BOUND_S):
                await recovery.until_it_works()
        except TimeoutError:
            self._broke(
                f"P20: {RECOVERY_BOUND_S:.0f} s after everything was whole again: {recovery.last_refusal}"
            )
        else:
            self.outcome.recovered_after_s = recovery.granted_s - healed_s

    # -- clocks, tunnels, notes ----------------------------------------------------------------------

    def _wall(self, offset_s: float) -> datetime:
        return self.cast.now + timedelta(seconds=self.loop.time() - START_S + offset_s)

    def _program_wall(self) -> datetime:
        program = PROGRAM.get()
        for number, device in enumerate(self.devices):
            if program.startswith(f"device-{number}"):
                return self._wall(device.clock_offset_s)
        return self._wall(self._technician_offset_s)

    def _make_tunnel(self, end: TunnelEnd, identity: Identity, roots: Sequence[bytes] = ()) -> Tunnel:
        inner = (
            Tunnel(end, identity, roots)
            if self.plan.is_tls
            else PlayedTunnel(end, identity, self._share_chance.randbytes)
        )
        return WatchedTunnel(inner, self.oracle, is_device=end is TunnelEnd.DEVICE)

    def note(self, text: str) -> None:
        """One line of the trace."""
        self.outcome.trace.append(f"{self.loop.time() - START_S:9.3f} s  {text}")

    def _broke(self, text: str) -> None:
        if self.outcome.violation:
            return
        self.outcome.violation = text
        self.note(f"VIOLATION {text}")
        if self._over is not None and not self._over.done():
            self._over.set_result(None)


class Recovery:
    """Grace, who was not there before, tries until she is given what she asks for."""

    def __init__(self, world: World, device: SimulatedDevice) -> None:
        self._world = world
        self._device = device
        self._tries = 0
        self.last_refusal = "she was never refused"
        self.granted_s = 0.0

    async def until_it_works(self) -> None:
        """Returns when a command that she asked for has run."""
        while True:
            self._tries += 1
            hands = HonestHands(
                self._world.plan.random(f"grace {self._tries}"), self._world.oracle, self._world.cast.entries
            )
            try:
                async with await self._world.open_for(self._world.cast.grace, self._device) as live:
                    await self._work(live, hands)
            except SupportError as exc:
                self.last_refusal = exc.code
            if hands.worked:
                return
            await asyncio.sleep(1.0)

    async def _work(self, live: TechnicianSession, hands: HonestHands) -> None:
        for wanted in (Grantable.INPUT_CONTROL, Grantable.COMMANDS_RUN):
            answer = await live.ask([wanted], length_s=600)
            if answer.refused:
                self.last_refusal = " ".join(sorted(set(answer.refused.values())))
                return
        self.granted_s = self._world.loop.time()
        await hands.use(live, Grantable.COMMANDS_RUN)


def play(seed: int, mode: Mode, folder: Path) -> Outcome:
    """One seed, in a process where `clocks.simulated` is in force."""
    return play_plan(draw(seed, mode), folder)


def play_plan(plan: Plan, folder: Path) -> Outcome:
    """The same for a plan that was drawn already."""
    return World(plan, folder).play()
