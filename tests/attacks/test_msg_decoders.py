"""MSG-01 to 05, 08 to 10, 12 and 13: what a peer's bytes can be, for every family of messages."""

import ast
import itertools
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import protocol.messages
from protocol import code_life, consent, session
from protocol.channels import CHANNEL_TERMS, CONTROL_CHANNEL, CONTROL_TERMS, Channels, Kind
from protocol.codec import Codec
from protocol.envelope import open_envelope
from protocol.errors import DocumentRefused, ErrorCode, PeerViolation, SupportError, WrongState
from protocol.limits import FRAME_PAYLOAD_LIMIT_BYTES, PRE_LOGIN_MESSAGE_LIMIT_BYTES
from protocol.log_text import plain_text
from protocol.messages import control
from protocol.names import shown_name, shown_reason, shown_text
from protocol.policy import parse_policy
from protocol.status_list import parse_status
from technician_client.console.page_messages import decode_from_page
from tests.rules.test_layers import OURS
from tests.support.message_examples import FAMILIES, example, kinds

E = ErrorCode


every_family = pytest.mark.parametrize("codec", FAMILIES.values(), ids=FAMILIES)

CASES = [(name, codec, kind) for name, codec in FAMILIES.items() for kind in kinds(codec)]
every_message = pytest.mark.parametrize(
    ("codec", "kind"),
    [case[1:] for case in CASES],
    ids=[f"{name}-{kind.__name__}" for name, _, kind in CASES],
)


def code_of(codec: Codec[Any], encoded: bytes) -> ErrorCode | None:
    """With which code this is refused; nothing else may come out of a decoder."""
    try:
        codec.decode(encoded)
    except PeerViolation as refused:
        return refused.code
    return None


@every_message
def test_control_of_msg_05_the_example_of_each_message_is_accepted(
    codec: Codec[Any], kind: type[Any]
) -> None:
    assert code_of(codec, msgspec.msgpack.encode(example(msgspec.inspect.type_info(kind)))) is None


@every_family
def test_msg_01_nothing_one_byte_and_a_head_alone_are_refused(codec: Codec[Any]) -> None:
    for encoded in (b"", *(bytes([one]) for one in range(256)), b"\x81\xa4type", b"\x81\xa4type\xa0"):
        assert code_of(codec, encoded) in (E.E_MESSAGE_FORMAT, E.E_MESSAGE_UNKNOWN)


def test_msg_01_an_empty_message_is_whole_and_half_a_header_waits() -> None:
    channels = Channels()
    assert channels.receive(b"\x01\x00\x00\x00") == []
    [message] = channels.receive(b"\x00")
    assert (message.channel_no, message.content) == (CONTROL_CHANNEL, b"")


LIES = [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\x81\xa4type\xdb", b"\xc9"]


@every_family
def test_msg_02_a_length_that_is_not_there_is_refused_before_anything_is_allocated(codec: Codec[Any]) -> None:
    code_of(codec, b"\xc1")  # what is made once
    for lie, length in itertools.product(LIES, (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF)):
        tracemalloc.start()
        assert code_of(codec, lie + length.to_bytes(4, "big") + b"x" * 16) is not None
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 64 << 10


def test_msg_02_a_frame_that_announces_too_much_is_refused_before_it_comes() -> None:
    for kind, length in itertools.product((Kind.PART, Kind.END), (FRAME_PAYLOAD_LIMIT_BYTES + 1, 0xFFFF)):
        with pytest.raises(PeerViolation) as refused:
            Channels().receive(struct.pack(">BHH", kind, CONTROL_CHANNEL, length))
        assert refused.value.code is E.E_MESSAGE_SIZE


@every_family
def test_msg_03_one_byte_more_than_the_limit_is_refused_unread(codec: Codec[Any]) -> None:
    assert code_of(codec, b"\xc1" * codec.limit_bytes) is E.E_MESSAGE_FORMAT
    assert code_of(codec, b"\xc1" * (codec.limit_bytes + 1)) is E.E_MESSAGE_SIZE


def test_msg_03_before_the_log_in_the_limit_is_16_kib() -> None:
    assert control.PRE_LOGIN_CODEC.limit_bytes == PRE_LOGIN_MESSAGE_LIMIT_BYTES == 16 << 10


@pytest.mark.parametrize("terms", [CONTROL_TERMS, *CHANNEL_TERMS.values()], ids=["control", *CHANNEL_TERMS])
def test_msg_03_each_channel_takes_a_message_of_its_limit_and_not_a_byte_more(terms: Any) -> None:
    def receive(message: bytes) -> list[bytes]:
        receiver = Channels()
        receiver.open(7, terms)
        got: list[bytes] = []
        for at in range(0, len(message), FRAME_PAYLOAD_LIMIT_BYTES):
            piece = message[at : at + FRAME_PAYLOAD_LIMIT_BYTES]
            kind = Kind.END if at + len(piece) == len(message) else Kind.PART
            got += [one.content for one in receiver.receive(struct.pack(">BHH", kind, 7, len(piece)) + piece)]
        return got

    largest = b"m" * terms.message_limit_bytes
    assert receive(largest) == [largest]
    with pytest.raises(PeerViolation) as refused:
        receive(largest + b"m")
    assert refused.value.code is E.E_MESSAGE_SIZE


BOMBS = [b"\x91" * 100_000, b"\x81\xa1a" * 30_000, b"\xdc\xff\xff" + b"\x90" * 65_535,
         b"\x81\xa4type" + b"\x91" * 10_000]  # fmt: skip
JSON_BOMBS = [
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b"[" + b"1" * 60_000 + b"]",
    b"9" * 100_000,
    b"1e" + b"9" * 50_000,
    b"{" + b",".join(b'"%d":0' % number for number in range(8000)) + b"}",
    b'"' + b"\\ud800" * 9000 + b'"',
]


@every_family
def test_msg_04_depth_breadth_and_huge_numbers_are_refused_like_anything_else(codec: Codec[Any]) -> None:
    for bomb in (*BOMBS, b"\x91" * codec.limit_bytes, b"\x81\xa4type" * (codec.limit_bytes // 6)):
        assert code_of(codec, bomb) is not None


def _open(document: bytes) -> object:
    from datetime import UTC, datetime

    return open_envelope(document, "x", b"", roles=[], now=datetime.now(UTC))


READERS: dict[str, Callable[[bytes], object]] = {
    "policy": parse_policy,
    "status list": parse_status,
    "envelope": _open,
    "page": lambda document: decode_from_page(document.decode("latin-1")),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_msg_04_documents_are_refused_whatever_their_depth_and_numbers(
    reader: Callable[[bytes], object],
) -> None:
    for bomb in JSON_BOMBS:
        with pytest.raises(SupportError):
            reader(bomb)


NUMBERS = {
    msgspec.inspect.IntType: (True, 1.0, -0.0, "1", float("nan"), None, 1 << 63),
    msgspec.inspect.FloatType: (True, float("nan"), float("inf"), float("-inf"), 1e300, "1", None),
    msgspec.inspect.BoolType: (0, 1, "true", 1.0),
    msgspec.inspect.StrType: (1, None, b"bytes", ["x"]),
    msgspec.inspect.BytesType: ("text", 1, [1]),
}


@every_message
def test_msg_05_a_value_of_another_type_is_never_made_fit(codec: Codec[Any], kind: type[Any]) -> None:
    described = msgspec.inspect.type_info(kind)
    assert isinstance(described, msgspec.inspect.StructType)
    good = example(described)
    for field in described.fields:
        for wrong in NUMBERS.get(type(field.type), ()):
            if wrong == 1 << 63 and type(wrong) is int and getattr(field.type, "le", None) is None:
                continue  # Python has no end of whole numbers, and nobody allocates by these
            encoded = msgspec.msgpack.encode(good | {field.encode_name: wrong})
            assert code_of(codec, encoded) is not None, (field.name, wrong)


def test_msg_05_a_member_that_is_there_twice_makes_no_policy_and_no_status_list() -> None:
    for parse in (parse_policy, parse_status):
        with pytest.raises(DocumentRefused):
            parse(b'{"version":1,"version":2}')


@every_message
def test_msg_08_text_that_is_no_unicode_is_refused(codec: Codec[Any], kind: type[Any]) -> None:
    described = msgspec.inspect.type_info(kind)
    assert isinstance(described, msgspec.inspect.StructType)
    good = example(described)
    for field in described.fields:
        if isinstance(field.type, msgspec.inspect.StrType):
            encoded = msgspec.msgpack.encode(good | {field.encode_name: "@@@@"})
            for bad in (b"\xff\xfe\xfd\xfc", b"\xed\xa0\x80a", b"\xc0\x80ab", b"\xf8\x88\x80\x80"):
                assert code_of(codec, encoded.replace(b"@@@@", bad)) is not None


SHOWERS = [shown_name, shown_reason, lambda text: shown_text(text, 256), plain_text]


@pytest.mark.parametrize("show", SHOWERS)
def test_msg_08_what_hides_or_turns_text_around_is_not_shown(show: Callable[[str], str]) -> None:
    for (
        hidden
    ) in "\x00\x07\x1b\x7f\x9b\u061c\u200b\u200e\u202a\u202e\u2066\u2069\ufeff\U000e0001\ud800\u2028":
        shown = show(f"a{hidden}b")
        assert hidden not in shown
        assert shown.startswith("a")
        assert shown.endswith("b")


def test_msg_08_a_letter_with_a_megabyte_of_marks_is_cut() -> None:
    assert len(shown_name("a" + "\u0301" * (1 << 20))) <= 64


@every_message
def test_msg_09_an_unknown_field_and_an_unknown_type_are_refused(codec: Codec[Any], kind: type[Any]) -> None:
    good = example(msgspec.inspect.type_info(kind))
    assert code_of(codec, msgspec.msgpack.encode(good | {"is_admin": True})) is E.E_MESSAGE_FORMAT
    unknown = code_of(codec, msgspec.msgpack.encode(good | {"type": "control.superuser"}))
    assert unknown is E.E_MESSAGE_UNKNOWN
    if len(kinds(codec)) == 1:
        return  # without its type, too, nothing else can be meant
    untyped = {name: value for name, value in good.items() if name != "type"}
    assert code_of(codec, msgspec.msgpack.encode(untyped)) is not None


ENDS = [name for name in FAMILIES if name.startswith("protocol.")]


@pytest.mark.parametrize("name", ENDS)
def test_msg_10_each_family_takes_its_own_messages_and_no_other(name: str) -> None:
    codec, own = FAMILIES[name], set(kinds(FAMILIES[name]))
    for _, _, kind in CASES:
        encoded = msgspec.msgpack.encode(example(msgspec.inspect.type_info(kind)))
        if len(encoded) <= codec.limit_bytes:
            assert (code_of(codec, encoded) is None) is (kind in own), kind


TABLES = {session: session.TRANSITIONS, consent: consent.TRANSITIONS, code_life: code_life.TRANSITIONS}
PAGE = (Path(protocol.messages.__file__).parents[1] / "PROTOCOL.md").read_text()


@pytest.mark.parametrize("module", TABLES, ids=lambda module: module.__name__)
def test_msg_10_the_machines_allow_what_the_specification_says_and_nothing_else(module: Any) -> None:
    table = TABLES[module]
    states = type(next(iter(table))[0])
    inputs = type(next(iter(table))[1])
    for state, given in itertools.product(states, inputs):
        after = table.get((state, given))
        rows = [line for line in PAGE.splitlines() if line.startswith(f"| {state.name} | {given.name} |")]
        assert (
            (f"| {state.name} | {given.name} | {after.name} |" in rows)
            if after
            else (
                not rows
                or any((state.name, given.name) == (s.name, g.name) for t in TABLES.values() for s, g in t)
            )
        )


def test_msg_10_the_session_changes_nothing_on_what_is_not_in_the_table() -> None:
    calls: dict[Any, Callable[[session.SessionMachine], object]] = {
        session.Input.PAIRED: lambda machine: machine.paired(0.0),
        session.Input.HANDSHAKE_DONE: lambda machine: machine.handshake_done(),
        session.Input.ACCEPTED: lambda machine: machine.accepted(0.0),
    }
    for state, (given, call) in itertools.product(session.State, calls.items()):
        machine = session.SessionMachine(now_s=0.0)
        machine.state = state
        if (state, given) in session.TRANSITIONS:
            call(machine)
            assert machine.state is session.TRANSITIONS[state, given]
            continue
        with pytest.raises(WrongState):
            call(machine)
        assert machine.state is state


RISKY_IMPORTS = {"pickle", "marshal", "shelve", "dill", "yaml", "jsonpickle", "xml", "jinja2", "mako", "imp"}
RISKY_CALLS = {"eval", "exec", "compile", "__import__"}


def _names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((one.name.partition(".")[0], node.lineno) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0], node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RISKY_CALLS:
            yield node.func.id, node.lineno


@pytest.mark.parametrize("path", OURS, ids=str)
def test_msg_12_nothing_turns_bytes_into_code(path: Path) -> None:
    assert not [
        name for name in _names(ast.parse(path.read_text())) if name[0] in RISKY_IMPORTS | RISKY_CALLS
    ]


# its templates are our own sentences and the translations that are shipped with them
TRANSLATING = "agent/desktop/language.py"


@pytest.mark.parametrize(
    "path", [path for path in OURS if not path.as_posix().endswith(TRANSLATING)], ids=str
)
def test_msg_13_no_text_of_anybody_is_a_template(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in {"from_string", "format_map", "safe_substitute", "substitute"}, (
                node.lineno
            )
            if node.func.attr == "format" and ast.unparse(node.func.value) != "msgspec.json":
                assert isinstance(node.func.value, ast.Constant), f"{path}:{node.lineno}"


def test_msg_05_json_that_is_none_is_no_message_of_the_page() -> None:
    decode_from_page('{"type":"seen","sequence":1}')
    for value in ("NaN", "Infinity", "-Infinity", "true", "1.0", "1e400", "-0", "9" * 5000, '"1"', "null"):
        with pytest.raises(PeerViolation):
            decode_from_page('{"type":"seen","sequence":' + value + "}")
