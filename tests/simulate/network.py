"""A relay and the network around it: a session's socket, whose messages it may treat as it likes."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field

from protocol.errors import ErrorCode, PeerViolation, Unreachable
from protocol.limits import SESSION_MESSAGE_LIMIT_BYTES
from tests.simulate.loop import VirtualLoop
from tests.simulate.plan import MessageFault, Plan, Wrong, faults_of_link

CAPACITY_MESSAGES = 32
"""What a relay and two kernels hold of one direction; then the sender waits."""
HOLD_LONGEST_S = 40.0
KEPT_MESSAGES = 16


@dataclass(slots=True)
class Direction:
    """Messages on their way to one end."""

    is_from_device: bool
    latency_s: float
    faults: list[MessageFault]
    on_the_way: deque[tuple[float, bytes]] = field(default_factory=deque)
    sent: int = 0
    held_until_s: float = 0.0
    last_due_s: float = 0.0
    kept: list[bytes] = field(default_factory=list)
    waiting: bytes | None = None  # reordered: goes after the next one


class SimulatedWire:
    """Implements `protocol.aio.wire.Wire` for one end of a link."""

    def __init__(self, link: "Link", *, is_device: bool) -> None:
        self._link = link
        self._is_device = is_device
        self._arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self.is_closed = False
        self.is_taken = False
        self.heard_at_s = asyncio.get_running_loop().time()

    async def send(self, message: bytes) -> None:
        """See `Wire.send`."""
        await self._room.wait()
        if self.is_closed:
            raise Unreachable("closed", code=ErrorCode.E_LINK_LOST)
        if len(message) > SESSION_MESSAGE_LIMIT_BYTES:
            raise PeerViolation("over the limit of a session's socket", code=ErrorCode.E_MESSAGE_SIZE)
        self._link.take(message, is_from_device=self._is_device)

    async def receive(self) -> bytes:
        """See `Wire.receive`."""
        self.is_taken = True
        message = None if self.is_closed and self._arrived.empty() else await self._arrived.get()
        if message is None:
            self.is_closed = True
            self._room.set()
            raise Unreachable("closed", code=ErrorCode.E_LINK_LOST)
        return message

    async def close(self) -> None:
        """See `Wire.close`."""
        if not self.is_closed:
            self.is_closed = True
            self._room.set()
            self._arrived.put_nowait(None)
            self._link.closed_by(is_device=self._is_device)

    @property
    def is_open(self) -> bool:
        """Whether a program holds it."""
        return self.is_taken and not self.is_closed

    def die(self) -> None:
        """The program at this end was killed: its kernel closes the socket."""
        if not self.is_closed:
            self.is_closed = True
            self._link.closed_by(is_device=self._is_device)

    def deliver(self, message: bytes | None) -> None:
        """For `Link`: this came; None is the end."""
        if message is not None:
            self.heard_at_s = asyncio.get_running_loop().time()
        self._arrived.put_nowait(message)

    def has_room(self, is_so: bool) -> None:
        """For `Link`: whether the way from this end takes more."""
        if is_so or self.is_closed:
            self._room.set()
        else:
            self._room.clear()


class Link:
    """One session's socket pair, and what is done to it."""

    def __init__(self, network: "Network", number: int, session_id: str) -> None:
        self._network = network
        self._loop = network.loop
        self.number = number
        self.session_id = session_id
        self.is_over = False
        self.is_technician_honest = True
        chance = network.plan.random(f"latency {number}")
        faults = faults_of_link(network.plan, number)
        self._directions = {
            side: Direction(
                side,
                chance.choice([0.001, 0.02, 0.08, 0.15]) * chance.uniform(0.7, 1.3),
                [fault for fault in faults if fault.is_from_device is side],
            )
            for side in (True, False)
        }
        self.device = SimulatedWire(self, is_device=True)
        self.technician = SimulatedWire(self, is_device=False)

    def take(self, message: bytes, *, is_from_device: bool) -> None:
        """One end sends this."""
        way = self._directions[is_from_device]
        number, way.sent = way.sent, way.sent + 1
        self._network.saw(message)
        if len(way.kept) < KEPT_MESSAGES:
            way.kept.append(message)
        going: list[tuple[float, bytes]] = [(0.0, message)]
        for fault in way.faults:
            if fault.at_message == number and not self._network.is_healed:
                self._network.note(f"link {self.number} {_arrow(is_from_device)} {number}: {fault.wrong}")
                going = self._treat(way, fault, going)
        if way.waiting is not None and going:
            going.append((0.0, way.waiting))
            way.waiting = None
        for delay_s, each in going:
            self._send_on(way, each, delay_s)

    def closed_by(self, *, is_device: bool) -> None:
        """One end closed: what is under way is delivered, then the other end hears of it."""
        way = self._directions[is_device]
        due_s = max(self._loop.time() + way.latency_s, way.last_due_s, way.held_until_s)
        other = self.technician if is_device else self.device
        self._later(due_s, lambda: self._end(other))

    def cut(self) -> None:
        """Both ends hear that it is over; nothing that is under way arrives."""
        if not self.is_over:
            self.is_over = True
            for way in self._directions.values():
                way.on_the_way.clear()
            self._end(self.device)
            self._end(self.technician)

    def release(self) -> None:
        """The network is healed: what was held goes on."""
        for way in self._directions.values():
            way.held_until_s = 0.0
            way.waiting = None
            way.on_the_way = deque((min(due_s, self._loop.time()), each) for due_s, each in way.on_the_way)
            way.last_due_s = self._loop.time()
            self._pump(way)

    def _end(self, wire: SimulatedWire) -> None:
        self.is_over = True
        wire.deliver(None)

    def _treat(
        self, way: Direction, fault: MessageFault, going: list[tuple[float, bytes]]
    ) -> list[tuple[float, bytes]]:
        whole = b"".join(each for _, each in going)
        place = int(fault.amount * max(1, len(whole)))
        match fault.wrong:
            case Wrong.DROP:
                return []
            case Wrong.DELAY:
                return [(fault.amount * 3.0, each) for _, each in going]
            case Wrong.REORDER:
                way.waiting = whole
                return []
            case Wrong.DUPLICATE:
                return going * 2
            case Wrong.CORRUPT:
                changed = bytearray(whole)
                if changed:
                    changed[place % len(changed)] ^= 1 << (place % 8)
                return [(0.0, bytes(changed))]
            case Wrong.TRUNCATE:
                return [(0.0, whole[:place])]
            case Wrong.INJECT:
                noise = self._network.plan.random(f"noise {self.number} {fault.at_message}").randbytes(
                    place % 400
                )
                return [(0.0, noise), *going]
            case Wrong.REPLAY | Wrong.REFLECT | Wrong.SPLICE:
                return [*going, *((0.0, each) for each in self._old(way, fault))]
            case _:
                self._disturb(way, fault)
                return going

    def _old(self, way: Direction, fault: MessageFault) -> list[bytes]:
        """Messages that were said elsewhere or before."""
        if fault.wrong is Wrong.REPLAY:
            said = way.kept
        elif fault.wrong is Wrong.REFLECT:
            said = self._directions[not way.is_from_device].kept
        else:
            others = [link for link in self._network.links if link is not self]
            said = others[-1]._directions[way.is_from_device].kept if others else []
        return said[int(fault.amount * len(said)) :][:4]

    def _disturb(self, way: Direction, fault: MessageFault) -> None:
        now_s = self._loop.time()
        until_s = now_s + fault.amount * HOLD_LONGEST_S
        match fault.wrong:
            case Wrong.CUT:
                self._later(now_s, self.cut)
            case Wrong.HALF_CUT:
                self._later(now_s, lambda: self._end(self.device if way.is_from_device else self.technician))
            case Wrong.HOLD:
                way.held_until_s = until_s
            case Wrong.HOLD_BOTH:
                for each in self._directions.values():
                    each.held_until_s = until_s

    def _send_on(self, way: Direction, message: bytes, delay_s: float) -> None:
        due_s = max(self._loop.time() + way.latency_s + delay_s, way.last_due_s)
        way.last_due_s = due_s
        way.on_the_way.append((due_s, message))
        self._update_room(way)
        self._later(due_s, lambda: self._pump(way))

    def _pump(self, way: Direction) -> None:
        now_s = self._loop.time()
        if way.held_until_s > now_s:
            self._later(way.held_until_s, lambda: self._pump(way))
            return
        target = self.technician if way.is_from_device else self.device
        while way.on_the_way and way.on_the_way[0][0] <= now_s + 1e-9:
            _, message = way.on_the_way.popleft()
            if not self.is_over:
                target.deliver(message)
        self._update_room(way)

    def _update_room(self, way: Direction) -> None:
        sender = self.device if way.is_from_device else self.technician
        sender.has_room(len(way.on_the_way) < CAPACITY_MESSAGES)

    def _later(self, at_s: float, act: Callable[[], None]) -> None:
        self._loop.call_at(at_s, act, context=self._network.context)


class Network:
    """All links of one schedule. `context` is that of no program: a killed end's messages still arrive."""

    def __init__(self, loop: VirtualLoop, plan: Plan, context: Context, note: Callable[[str], None]) -> None:
        self.loop = loop
        self.plan = plan
        self.context = context
        self.note = note
        self.links: list[Link] = []
        self.is_healed = False
        self.canaries: list[bytes] = []
        self.leaked: list[bytes] = []

    def open(self, session_id: str) -> Link:
        """A relay pairs two sockets."""
        link = Link(self, len(self.links), session_id)
        self.links.append(link)
        return link

    def saw(self, message: bytes) -> None:
        """A relay reads everything that it can read."""
        self.leaked += [canary for canary in self.canaries if canary in message]

    def heal(self) -> None:
        """From now on nothing is done to any message."""
        self.is_healed = True
        for link in self.links:
            link.release()


def _arrow(is_from_device: bool) -> str:
    return "device->technician" if is_from_device else "technician->device"
