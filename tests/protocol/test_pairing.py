"""Two ends and one code: they agree on everything they are bound to, or not at all."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, Refused, WrongState
from protocol.limits import CODE_REPLY_S
from protocol.pairing import Binding, DevicePairing, Step, TechnicianPairing, reply_at_s
from protocol.readback import readback_digits

BINDING = Binding("0417", b"technician's certificate", b"device's certificate", b"x" * 32)


def pair(
    technician: TechnicianPairing, device: DevicePairing
) -> tuple[TechnicianPairing, DevicePairing, bytes | None]:
    answer = device.answer(technician.element())
    return technician, device, device.check(technician.confirm(answer))


def test_the_same_secret_and_binding_pair() -> None:
    technician, device, own = pair(TechnicianPairing("1", BINDING), DevicePairing("1", BINDING))
    assert own is not None
    technician.check(own)
    assert technician.step is device.step is Step.DONE


@pytest.mark.parametrize(
    "other",
    [
        replace(BINDING, nameplate="0418"),
        replace(BINDING, technician_leaf=b"relay's certificate"),
        replace(BINDING, device_leaf=b"relay's certificate"),
        replace(BINDING, exporter=b"y" * 32),
        replace(BINDING, technician_leaf=BINDING.device_leaf, device_leaf=BINDING.technician_leaf),
    ],
    ids=["nameplate", "technician", "device", "exporter", "swapped"],
)
def test_the_right_secret_in_another_binding_does_not_pair(other: Binding) -> None:
    _, device, own = pair(TechnicianPairing("1", BINDING), DevicePairing("1", other))
    assert own is None
    assert device.step is Step.FAILED


def test_the_technician_notices_a_device_that_does_not_hold_the_code() -> None:
    technician, _, own = pair(TechnicianPairing("1", BINDING), DevicePairing("2", BINDING))
    assert own is None
    with pytest.raises(Refused) as refused:
        technician.check(b"\0" * 32)
    assert refused.value.code is ErrorCode.E_CODE_WRONG


def test_nothing_can_be_done_twice_or_out_of_order() -> None:
    technician, device = TechnicianPairing("1", BINDING), DevicePairing("1", BINDING)
    with pytest.raises(WrongState):
        device.check(b"\0" * 32)
    with pytest.raises(WrongState):
        technician.check(b"\0" * 32)
    element = technician.element()
    with pytest.raises(WrongState):
        technician.element()
    device.answer(element)
    with pytest.raises(WrongState):
        device.answer(element)


@given(st.floats(0, 1e6), st.floats(0, 30))
def test_an_answer_leaves_on_the_grid_and_not_before_it_is_done(received_s: float, took_s: float) -> None:
    at_s = reply_at_s(received_s, received_s + took_s)
    assert at_s >= received_s + min(took_s, CODE_REPLY_S) - 1e-6
    steps = (at_s - received_s) / CODE_REPLY_S
    assert round(steps) >= 1
    assert abs(steps - round(steps)) < 1e-3


def test_an_answer_that_is_done_at_any_time_within_the_step_leaves_at_its_end() -> None:
    times = {reply_at_s(100.0, 100.0 + took_ms / 1000) for took_ms in range(1, 250)}
    assert times == {100.0 + CODE_REPLY_S}


def test_read_back_digits_are_four_and_of_this_tunnel_alone() -> None:
    digits = {readback_digits(bytes([number]) * 32) for number in range(64)}
    assert all(len(each) == 4 and each.isdecimal() for each in digits)
    assert len(digits) > 60
    assert readback_digits(b"x" * 32) == readback_digits(b"x" * 32)
