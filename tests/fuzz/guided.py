"""One target under atheris; `python -m tests.fuzz` starts this. Only our own modules are instrumented."""

import sys

import atheris

with atheris.instrument_imports(
    include=["protocol", "agent", "relay", "technician_client"], enable_loader_override=False
):
    from tests.fuzz.targets import TARGETS, feed

    TARGET = TARGETS[sys.argv[1]]()
    feed(TARGET, b"")  # whatever it imports is imported now, and instrumented


def one(content: bytes) -> None:
    """What libFuzzer calls."""
    feed(TARGET, content)


if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()
