"""The code and its pairing attacked without any network (THREATS.md 3.2)."""

import unicodedata
from collections import Counter
from dataclasses import replace

import pytest
from spake2.parameters.ed25519 import ParamsEd25519

from protocol.errors import ErrorCode, PeerViolation, Refused
from protocol.pairing import Binding, DevicePairing, TechnicianPairing
from protocol.support_code import NAMEPLATE_DIGITS, SECRET_DIGITS, SupportCode, draw_code
from tests.support.code_ends import typed

BINDING = Binding("0417", b"technician's certificate", b"device's certificate", b"x" * 32)
SECRET = "1234567890"
Q = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
CODES = 20_000
CANDIDATES = 24


def element_bytes(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


# order 8 and 4 and 2 and 1 of edwards25519 (RFC 7748 and the list of ed25519-donna's small subgroup)
LOW_ORDER = [
    element_bytes(1),
    element_bytes(Q - 1),
    element_bytes(0),
    element_bytes(0, 1),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]
NOT_CANONICAL = [element_bytes(Q), element_bytes(Q + 1), element_bytes(1, 1), b"\xff" * 32]
OFF_CURVE = [element_bytes(2), element_bytes(7)]
WRONG_LENGTH = [b"", b"\x01", element_bytes(1)[:31], element_bytes(1) + b"\0"]


def a_good_element() -> bytes:
    return TechnicianPairing(SECRET, BINDING).element()[1:]


@pytest.mark.parametrize("content", [*LOW_ORDER, *NOT_CANONICAL, *OFF_CURVE, *WRONG_LENGTH], ids=bytes.hex)
def test_cod_08_an_element_that_is_none_is_refused_by_both_ends_before_a_key_is_made(content: bytes) -> None:
    device = DevicePairing(SECRET, BINDING)
    with pytest.raises(PeerViolation) as refused:
        device.answer(b"A" + content)
    assert refused.value.code is ErrorCode.E_HANDSHAKE
    technician = TechnicianPairing(SECRET, BINDING)
    technician.element()
    with pytest.raises(PeerViolation):
        technician.confirm(b"B" + content)
    assert device._key == technician._key == b""


def test_cod_08_a_second_spelling_of_a_good_element_is_refused() -> None:
    good = a_good_element()
    with pytest.raises(PeerViolation):
        DevicePairing(SECRET, BINDING).answer(b"A" + good + b"\0")
    y = int.from_bytes(good, "little") & (2**255 - 1)
    if y < 19:  # only then there is another spelling in 255 bits
        raise AssertionError("a random element is never that small")
    DevicePairing(SECRET, BINDING).answer(b"A" + good)  # the control


def test_cod_08_a_good_element_plus_a_small_one_is_refused() -> None:
    group = ParamsEd25519.group
    element = group.bytes_to_element(a_good_element())
    from spake2.ed25519_basic import bytes_to_unknown_group_element

    small = bytes_to_unknown_group_element(LOW_ORDER[4])
    mixed = element.add(small).to_bytes()
    with pytest.raises(PeerViolation):
        DevicePairing(SECRET, BINDING).answer(b"A" + mixed)


def test_cod_08_our_own_message_sent_back_is_refused() -> None:
    technician = TechnicianPairing(SECRET, BINDING)
    own = technician.element()
    with pytest.raises(PeerViolation):
        technician.confirm(own)
    again = TechnicianPairing(SECRET, BINDING)
    own = again.element()
    with pytest.raises(PeerViolation):
        again.confirm(b"B" + own[1:])


def test_cod_08_our_own_confirmation_sent_back_is_refused() -> None:
    technician, device = TechnicianPairing(SECRET, BINDING), DevicePairing(SECRET, BINDING)
    confirmation = technician.confirm(device.answer(technician.element()))
    with pytest.raises(Refused):
        technician.check(confirmation)


def test_cod_07_a_recorded_pairing_tells_nothing_about_any_candidate() -> None:
    """Who replays a transcript against candidates gets no match, the right one included: its keys are gone.

    That elements hide the secret is SPAKE2's own theorem; this looks for a slip of ours beside it.
    """
    technician, device = TechnicianPairing(SECRET, BINDING), DevicePairing(SECRET, BINDING)
    element = technician.element()
    answer = device.answer(element)
    confirmation = technician.confirm(answer)
    own = device.check(confirmation)
    assert own is not None
    wire = element + answer + confirmation + own
    assert SECRET.encode() not in wire
    for number in range(CANDIDATES):
        candidate = SECRET if number == 0 else f"{number:010d}"
        replayed = DevicePairing(candidate, BINDING)
        assert replayed.answer(element) != answer
        assert replayed.check(confirmation) is None


def test_cod_07_the_nameplate_is_drawn_independently_of_the_secret() -> None:
    """Chi-square over (last digit of the nameplate, first digit of the secret): 81 degrees of freedom."""
    pairs = Counter((code.nameplate[-1], code.secret[0]) for code in (draw_code() for _ in range(CODES)))
    expected = CODES / 100
    chi_square = sum(
        (pairs[(str(a), str(b))] - expected) ** 2 / expected for a in range(10) for b in range(10)
    )
    assert chi_square < 190  # 99 degrees of freedom in all: beyond 1e-7 of chance


def test_cod_11_the_secret_has_thirty_bits_and_no_digit_is_preferred() -> None:
    assert 10**SECRET_DIGITS >= 2**30
    codes = [draw_code() for _ in range(CODES)]
    assert all(
        len(code.nameplate) == NAMEPLATE_DIGITS and len(code.secret) == SECRET_DIGITS for code in codes
    )
    assert len({code.secret for code in codes}) >= CODES - 2
    for place in range(SECRET_DIGITS):
        counts = Counter(code.secret[place] for code in codes)
        expected = CODES / 10
        chi_square = sum((counts[str(digit)] - expected) ** 2 / expected for digit in range(10))
        assert chi_square < 50  # 9 degrees of freedom: beyond 1e-7 of chance


def test_cod_14_a_technicians_end_cannot_be_made_a_device() -> None:
    """Two ends that both typed a code never pair, and an element of the own side is refused."""
    one, other = TechnicianPairing(SECRET, BINDING), TechnicianPairing(SECRET, BINDING)
    element = other.element()
    one.element()
    with pytest.raises(PeerViolation):
        one.confirm(element)
    relabelled = TechnicianPairing(SECRET, BINDING)
    relabelled.element()
    relabelled.confirm(b"B" + element[1:])
    with pytest.raises(Refused):
        relabelled.check(b"\0" * 32)


@pytest.mark.parametrize(
    "change",
    [{"technician_leaf": b"m"}, {"device_leaf": b"m"}, {"exporter": b"m" * 32}, {"nameplate": "0418"}],
    ids=lambda change: next(iter(change)),
)
def test_cod_10_a_relay_between_two_tunnels_pairs_with_nobody(change: dict[str, bytes | str]) -> None:
    """It passes the messages on; each end is bound to the tunnel that it sees."""
    technician = TechnicianPairing(SECRET, BINDING)
    device = DevicePairing(SECRET, replace(BINDING, **change))
    assert device.check(technician.confirm(device.answer(technician.element()))) is None


CODE = SupportCode("0417", "9876543210")
SHOWN = CODE.shown()
DIGITS = SHOWN.replace(" ", "")


@pytest.mark.parametrize(
    "entered",
    [
        SHOWN,
        DIGITS,
        f"  {SHOWN}\n",
        f"code: {SHOWN}",
        f"CODE:{DIGITS}",
        f"Support code {SHOWN}",
        "-".join(SHOWN.split()),
        "\u2013".join(SHOWN.split()),
        "\u00a0".join(SHOWN.split()),
        "\u200b".join(DIGITS),
        ".".join(SHOWN.split()),
        "".join(chr(ord(digit) + 0xFEE0) for digit in DIGITS),
        "\uff43\uff4f\uff44\uff45\uff1a" + "".join(chr(ord(digit) + 0xFEE0) for digit in DIGITS),
        "".join(chr(ord(digit) - ord("0") + 0x0660) for digit in DIGITS),
        unicodedata.normalize("NFD", f"code: {SHOWN}"),
        unicodedata.normalize("NFKD", f"code: {SHOWN}"),
        "\ufeff" + SHOWN,
    ],
)
def test_cod_16_every_way_to_enter_a_code_gives_the_same_one(entered: str) -> None:
    assert typed(entered) == SHOWN


@pytest.mark.parametrize(
    "entered",
    [
        "",
        "code:",
        DIGITS[:-1],
        DIGITS + "0",
        DIGITS[:-1] + "x",
        f"{SHOWN} extra",
        "O" + DIGITS[1:],
        "9" * 5000,
    ],
)
def test_cod_16_what_is_no_code_is_refused_before_anything_is_sent(entered: str) -> None:
    assert typed(entered) == ErrorCode.E_CODE_FORMAT
