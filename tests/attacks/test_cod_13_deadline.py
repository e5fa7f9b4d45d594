"""Right or wrong, quick or slow: an answer to a code leaves at a fixed time (THREATS.md 3.2, COD-13).

The clock is the test's: it moves when the agent waits, and when the arithmetic is said to have taken a while.
The real times are measured by `python -m tests.bench.codes`.
"""

import asyncio

import pytest

from agent.pairing import PairingTerms, pair_as_device
from protocol.errors import ErrorCode, PeerViolation, Refused
from protocol.limits import CODE_REPLY_S
from protocol.messages.pairing import PAIRING_CODEC, InPairing, PairingConfirmation, PairingElement
from protocol.pairing import Binding, TechnicianPairing
from tests.support.virtual_time import VirtualLoop, run_virtually

SECRET, OTHER = "1234567890", "1234567891"
BINDING = Binding("0417", b"technician's certificate", b"device's certificate", b"x" * 32)


class Guess:
    """One guess that takes a while to compare."""

    secret = SECRET

    def __init__(self) -> None:
        self.failures: list[ErrorCode] = []

    def failed(self, code: ErrorCode) -> None:
        """Noted."""
        self.failures.append(code)


class Technician:
    """The control channel, and behind it somebody who says `secret`; notes when each answer left."""

    def __init__(self, secret: str, element: bytes = b"") -> None:
        self._pairing = TechnicianPairing(secret, BINDING)
        self._waiting: list[InPairing] = [PairingElement(element or self._pairing.element())]
        self.began_s = 0.0
        self.answered_s: list[float] = []
        self.sizes: list[int] = []

    async def receive(self) -> bytes:
        """The next message."""
        return PAIRING_CODEC.encode(self._waiting.pop(0))

    async def send(self, message: bytes) -> None:
        """An answer leaves now."""
        self.answered_s.append(asyncio.get_running_loop().time() - self.began_s)
        self.sizes.append(len(message))
        answer = PAIRING_CODEC.decode(message)
        if isinstance(answer, PairingElement):
            self._waiting.append(PairingConfirmation(self._pairing.confirm(answer.element)))


def answered(technician: Technician, took_s: float, guess: Guess) -> BaseException | None:
    """What came of a pairing in which the arithmetic took so long."""

    def take() -> Guess:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.spend(took_s)
        return guess

    async def pairing() -> BaseException | None:
        technician.began_s = asyncio.get_running_loop().time()
        try:
            terms = PairingTerms(BINDING, take)  # it needs no desk
            await pair_as_device(technician, terms)  # nor a real channel
        except (Refused, PeerViolation) as exc:
            return exc
        return None

    return run_virtually(pairing())


@pytest.mark.parametrize("took_s", [0.0, 0.01, 0.1, CODE_REPLY_S - 0.001])
def test_cod_13_right_and_wrong_answers_leave_at_the_same_time_and_in_the_same_size(took_s: float) -> None:
    right, wrong = Technician(SECRET), Technician(OTHER)
    assert answered(right, took_s, Guess()) is None
    refused = answered(wrong, took_s, Guess())
    assert isinstance(refused, Refused)
    assert refused.code is ErrorCode.E_CODE_WRONG
    assert right.answered_s == pytest.approx([CODE_REPLY_S, 2 * CODE_REPLY_S])
    assert wrong.answered_s == pytest.approx(right.answered_s)
    assert wrong.sizes == right.sizes


def test_cod_13_arithmetic_that_took_too_long_waits_for_the_next_step() -> None:
    late = Technician(SECRET)
    assert answered(late, CODE_REPLY_S * 1.3, Guess()) is None
    assert late.answered_s == pytest.approx([2 * CODE_REPLY_S, 3 * CODE_REPLY_S])


def test_cod_13_a_bad_element_is_refused_no_sooner() -> None:
    loop_ended: list[float] = []
    guess = Guess()
    bad = Technician(SECRET, element=b"A" + bytes([1] + [0] * 31))
    guess.failed = lambda code: loop_ended.append(asyncio.get_running_loop().time() - bad.began_s)
    assert isinstance(answered(bad, 0.01, guess), PeerViolation)
    assert loop_ended == pytest.approx([CODE_REPLY_S])
