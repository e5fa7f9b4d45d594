"""What the tunnel costs: `python -m tests.bench.tunnel --handshakes 500 --messages 5000 --json`.

Processor time of this process, with both ends in it and nothing between them: one handshake of both
together (with our own check of the chains after it), and one message of 32 KiB that one end seals and
the other one opens.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime

from protocol.certificates import Role
from protocol.identity import Identity
from protocol.trust import Trust
from protocol.tunnel import HandshakeDone, Tunnel, TunnelEnd
from tests.bench.figures import spread
from tests.support.organisation import acme

MESSAGE_BYTES = 32 << 10
HANDSHAKE_TARGET_MS = 10.0
MESSAGE_TARGET_MS = 0.15
EXPECTED = {TunnelEnd.TECHNICIAN: Role.DEVICE, TunnelEnd.DEVICE: Role.TECHNICIAN}


def _pump(ends: dict[TunnelEnd, Tunnel]) -> dict[TunnelEnd, HandshakeDone]:
    done: dict[TunnelEnd, HandshakeDone] = {}
    for _ in range(4):
        for kind, other in (
            (TunnelEnd.TECHNICIAN, TunnelEnd.DEVICE),
            (TunnelEnd.DEVICE, TunnelEnd.TECHNICIAN),
        ):
            for flight in ends[kind].outgoing():
                for event in ends[other].feed(flight):
                    if isinstance(event, HandshakeDone):
                        done[other] = event
    return done


def _handshake(identities: dict[TunnelEnd, Identity], trust: Trust) -> dict[TunnelEnd, Tunnel]:
    ends = {kind: Tunnel(kind, identity) for kind, identity in identities.items()}
    for end in ends.values():
        end.start()
    done = _pump(ends)
    for kind, role in EXPECTED.items():
        trust.verify(list(done[kind].peer_chain), roles={role}, now=datetime.now(UTC))
    return ends


def measured(handshakes: int, messages: int) -> dict[str, object]:
    """Both, in milliseconds of processor time."""
    identities = {TunnelEnd.DEVICE: acme().device(), TunnelEnd.TECHNICIAN: acme().technician()}
    trust = Trust(acme().root_der)
    handshake_ms = []
    for _ in range(handshakes):
        began_s = time.process_time()
        ends = _handshake(identities, trust)
        handshake_ms.append((time.process_time() - began_s) * 1000)
    content = bytes(MESSAGE_BYTES)
    device, technician = ends[TunnelEnd.DEVICE], ends[TunnelEnd.TECHNICIAN]
    message_ms = []
    for _ in range(messages):
        began_s = time.process_time()
        device.send(content)
        opened = [event for record in device.outgoing() for event in technician.feed(record)]
        message_ms.append((time.process_time() - began_s) * 1000)
        assert sum(len(event.content) for event in opened) == MESSAGE_BYTES
    return {
        "handshake_cpu_ms": asdict(spread(handshake_ms)),
        "message_32_kib_cpu_ms": asdict(spread(message_ms)),
        "targets_ms": {"handshake": HANDSHAKE_TARGET_MS, "message": MESSAGE_TARGET_MS},
    }


def main() -> int:
    """The command; exit status 1 if a median is above its target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--handshakes", type=int, default=500)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--json", action="store_true", help="one line of JSON on standard output")
    given = parser.parse_args()
    found = measured(given.handshakes, given.messages)
    print(json.dumps(found, indent=None if given.json else 2))
    handshake, message = found["handshake_cpu_ms"], found["message_32_kib_cpu_ms"]
    assert isinstance(handshake, dict)
    assert isinstance(message, dict)
    return int(handshake["median"] > HANDSHAKE_TARGET_MS or message["median"] > MESSAGE_TARGET_MS)


if __name__ == "__main__":
    sys.exit(main())
