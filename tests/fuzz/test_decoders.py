"""Any bytes to any decoder of somebody else's bytes: an error of our tree, and bounded memory (MSG-11)."""

import ast
import importlib
import pkgutil
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import agent
import protocol
import relay
import technician_client
from protocol.codec import Codec
from tests.fuzz.__main__ import CORPUS
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import (
    CODECS,
    DECODING_FILES,
    FRAMING_FILES,
    NUMBERS_OF_OUR_OWN,
    OWN_FILES,
    TARGETS,
    UPDATE_LISTS,
    feed,
)

ROOT = Path(__file__).parents[2]
MEMORY_LIMIT_BYTES = 24 << 20
"""The largest message is 2 MiB; no input of these sizes is worth more."""
NESTED = 100_000

# what a guess of random bytes would hardly find: structure that promises or nests more than it is
STRUCTURES = st.one_of(
    st.builds(lambda depth: b"\x91" * depth, st.integers(1, NESTED)),
    st.builds(lambda depth: b"[" * depth, st.integers(1, NESTED)),
    st.builds(lambda depth: b'{"a":' * depth, st.integers(1, NESTED)),
    st.sampled_from([bytes([kind]) + b"\xff" * 4 for kind in (0xDD, 0xDF, 0xC6, 0xDB)]),
    st.builds(lambda digits: b"1" * digits, st.integers(1, 200_000)),
    st.builds(
        lambda tag, rest: b"\x82\xa4type" + bytes([0xA0 | len(tag)]) + tag + rest,
        st.sampled_from([b"session.ready", b"consent.ask", b"control.log_in", b"input.events"]),
        st.binary(max_size=64),
    ),
    st.builds(
        lambda header, rest: struct.pack(">BHH", *header) + rest,
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 65535)), st.binary(max_size=64),
    ),
)  # fmt: skip
SNIPPETS = [
    b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59Z", b"2026-01-01T00:00:00", b"null", b"[]", b"{}", b"-1",
    b"1e400", b"NaN", b"\\ud800", b"\xed\xa0\x80", b"\xff", b"\xc0", b"\xcb\x7f\xf8" + bytes(6),
    b"\xcf" + b"\xff" * 8, b"9" * 5000,
]  # fmt: skip
ANYTHING = st.one_of(st.binary(max_size=512), STRUCTURES)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_msg_11_any_bytes_are_decoded_or_refused(name: str) -> None:
    target = TARGETS[name]()

    @settings(max_examples=25, database=None)
    @given(ANYTHING)
    @example(b"")
    @example(b"\x00")
    @example(b"\xff" * 64)
    def run(content: bytes) -> None:
        feed(target, content)

    run()


@st.composite
def changed(draw: st.DrawFn, name: str) -> bytes:
    """Valid bytes of this target with some of them changed, taken out, doubled, or of another message."""
    content = draw(st.sampled_from(seeds(name)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 16)))
        other = draw(st.sampled_from(seeds(name)))
        instead = draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(SNIPPETS),
                st.just(content[start:end] * 2),
                st.just(other[start : end + 8]),
            )
        )
        content = content[:start] + instead + content[end:]
    return content


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_msg_11_valid_bytes_that_were_changed_are_decoded_or_refused(name: str) -> None:
    target = TARGETS[name]()

    @settings(max_examples=25, database=None)
    @given(changed(name))
    def run(content: bytes) -> None:
        feed(target, content)

    run()


def test_every_codec_takes_its_own_seeds_and_every_target_has_some() -> None:
    assert {name for name in TARGETS if not seeds(name)} == set()
    for name in CODECS:
        target = TARGETS[name]()
        for content in seeds(name):
            target.decode(content)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_msg_11_what_was_found_once_stays_found(name: str) -> None:
    target = TARGETS[name]()
    for path in sorted((CORPUS / name).glob("*")):
        feed(target, path.read_bytes())


HUGE = [
    b"\x91" * NESTED,
    b"[" * NESTED,
    b"\xdd\xff\xff\xff\xff" + b"\x01" * 1000,
    b"\xdf\xff\xff\xff\xff" + b"\xa1a" * 1000,
    b"\x82\xa4type\xaasession.end\xa5cause\xdb\xff\xff\xff\xff",
    b"9" * 1_000_000,
    b"\x00" * (4 << 20),
]


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_msg_02_lengths_that_lie_and_msg_04_depth_without_end_cost_bounded_memory(name: str) -> None:
    target = TARGETS[name]()
    feed(target, b"")  # what is imported and made once is not the input's doing
    for content in HUGE:
        tracemalloc.start()
        try:
            feed(target, content)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < MEMORY_LIMIT_BYTES, f"{peak_bytes} bytes for {content[:12]!r}..."


def modules() -> list[str]:
    names = []
    for package in (agent, protocol, relay, technician_client):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not found.name.endswith(("__main__", "_picture")) and ".migrations" not in found.name:
                names.append(found.name)
    return names


def test_every_codec_of_the_product_has_a_target() -> None:
    there = set()
    for name in modules():
        source = ROOT / (name.replace(".", "/") + ".py")
        if source.exists() and "Codec(" in source.read_text("utf-8"):
            module = importlib.import_module(name)
            there |= {f"{name}:{word}" for word, value in vars(module).items() if isinstance(value, Codec)}
    # some modules import a codec of another one: it is the same object under its own name
    listed = set(CODECS.values())
    assert there == listed


def decoding_files() -> set[str]:
    """Files with a call of msgspec's or json's decoders."""
    found = set()
    for folder in ("agent", "protocol", "relay", "technician_client"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                if is_call and _is_decoder(ast.unparse(node.func)):
                    found.add(str(path.relative_to(ROOT)))
    return found


def _is_decoder(call: str) -> bool:
    return call.endswith(
        ("json.decode", "msgpack.decode", "json.loads", "json.Decoder", "msgpack.Decoder")
    ) or (call in ("_DECODER.decode", "self._decoder.decode", "_FROM_PAGE.decode"))


def test_every_file_that_decodes_is_fuzzed_or_reads_its_own_files_alone() -> None:
    not_bytes_of_others = {
        "technician_client/cli/terminal_text.py",  # codecs, shown-texts
        "technician_client/console/shown.py",  # codecs, shown-texts
    }
    assert decoding_files() - not_bytes_of_others == set(DECODING_FILES) | OWN_FILES


def cutting_files() -> set[str]:
    """Files that make numbers out of bytes."""
    found = set()
    for folder in ("agent", "protocol", "relay", "technician_client"):
        for path in (ROOT / folder).rglob("*.py"):
            calls = (
                node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
            )
            if any(isinstance(call.func, ast.Attribute) and call.func.attr in CUTTING for call in calls):
                found.add(str(path.relative_to(ROOT)))
    return found


CUTTING = {"from_bytes", "unpack", "unpack_from", "iter_unpack"}


def test_every_file_that_cuts_bytes_into_frames_is_fuzzed() -> None:
    assert cutting_files() == set(FRAMING_FILES) | set(NUMBERS_OF_OUR_OWN)
    assert set(FRAMING_FILES.values()) <= set(TARGETS)


def test_the_search_would_notice_a_new_decoder() -> None:
    assert _is_decoder("msgspec.json.decode")
    assert _is_decoder("msgspec.msgpack.Decoder")
    assert not _is_decoder("text.decode")


@pytest.mark.parametrize("part", UPDATE_LISTS)
def test_control_the_list_of_updates_is_read_to_its_end_also_when_it_was_signed_anew(part: str) -> None:
    for content in seeds(f"update-list.{part}"):
        assert TARGETS[f"update-list.{part}"]().decode(content) is not None
