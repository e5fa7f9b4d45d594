"""`python -m tests.fuzz.local_socket --seconds 3600`: another user's noise on the service's socket (IPC-06).

The service is real; a process of a user who may have a desktop here connects again and again, and sends valid
messages with bytes changed, taken out, doubled or of another message, behind lengths that are right or wrong.
Run as root. The exit status is 1 when the service ended, wrote a traceback or does not answer.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from agent.desktop import ipc_messages as ipc
from protocol.version import PROTOCOL_VERSION
from tests.fuzz.seeds import seeds
from tests.support.agent_commands import RunningAgent, call, joined_folder, running_agent
from tests.support.other_user import OTHER_UID, as_other_user, reachable_folder

# standard library alone: it runs as another user. Prints how many connections there were, how many answers.
_NOISE = """
import json, random, socket, sys, time
path, seconds, limit, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
given = json.load(sys.stdin)
hellos, later = ([bytes.fromhex(each) for each in given[name]] for name in ("hellos", "later"))
chance = random.Random(seed)
def changed(content):
    for _ in range(chance.randrange(4)):
        start = chance.randrange(len(content) + 1)
        end = start + chance.randrange(17)
        other = chance.choice(hellos + later)
        content = content[:start] + chance.choice([
            b"", chance.randbytes(8), content[start:end] * 2, other[start:end + 8], b"\\xff" * 5,
            b"\\x91" * 3000,
        ]) + content[end:]
    return content
def framed(content):
    length = len(content) if chance.random() < 0.9 else chance.randrange(1 << 32)
    return length.to_bytes(4, "big") + content
connections = answers = 0
until = time.monotonic() + seconds
while time.monotonic() < until and connections < limit:
    sent = framed(changed(chance.choice(hellos)))
    sent += b"".join(framed(changed(chance.choice(later))) for _ in range(chance.randrange(5)))
    connections += 1
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(30)
        one.connect(path)
        try:
            one.sendall(sent)
            one.shutdown(socket.SHUT_WR)
            while one.recv(65536):
                answers += 1
        except (BrokenPipeError, ConnectionResetError):
            pass
print(connections)
print(answers)
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What was sent, and what is wrong afterwards."""

    connections: int
    answers: int
    grown_mib: float
    complaints: list[str]


def shared_socket(data: Path) -> Path:
    """Where other users' desktop processes connect to the service with this data folder."""
    return data.parent / "seats" / "agent.sock"


def prepare(folder: Path) -> Path:
    """The data folder of a joined device whose relay does not answer; one other user is named on it."""
    data = joined_folder(folder)
    (data / "agent.toml").write_text(f'seat_users = "{OTHER_UID}"\nseats_socket = "{shared_socket(data)}"\n')
    return data


def make_noise(path: Path, *, seconds: float, limit: int, seed: int) -> tuple[int, int]:
    """As the other user, for so long or so many connections: how many, and pieces of answers."""
    # a code that is asked for waits for a relay: it would take up the user's connections
    waits = ipc.HELLO_CODEC.encode(ipc.HelpAsked())
    hello = ipc.HELLO_CODEC.encode(ipc.DesktopHello(PROTOCOL_VERSION, "x11:9", "ben", 1))
    hellos = [hello, *(each for each in seeds("local.hello") if each != waits)]
    told = {
        "hellos": [each.hex() for each in hellos],
        "later": [each.hex() for each in seeds("local.from-desktop")],
    }
    words = (str(path), str(seconds), str(limit), str(seed))
    connections, answers = as_other_user(
        _NOISE, *words, stdin=json.dumps(told).encode(), timeout_s=seconds + 120
    )
    return int(connections), int(answers)


def measure(*, seconds: float, limit: int, seed: int) -> Result:
    """Start the service, send noise, and look whether it is as before."""
    with reachable_folder() as folder:
        data = prepare(folder)
        with running_agent(data, "--no-desktop") as agent:
            make_noise(shared_socket(data), seconds=seconds, limit=100, seed=seed + 1)  # what it imports late
            before_bytes = psutil.Process(agent.process.pid).memory_info().rss
            connections, answers = make_noise(shared_socket(data), seconds=seconds, limit=limit, seed=seed)
            complaints = what_is_wrong(agent, data)
            grown_mib = 0.0
            if agent.process.poll() is None:
                grown_mib = (psutil.Process(agent.process.pid).memory_info().rss - before_bytes) / 2**20
    return Result(connections, answers, round(grown_mib, 1), complaints)


def what_is_wrong(agent: RunningAgent, data: Path) -> list[str]:
    """In words."""
    if agent.process.poll() is not None:
        return [f"the service ended with {agent.process.poll()}"]
    log = agent.log_file.read_text()
    said = [f"the log has {word!r}" for word in ("Traceback", "local.failed") if word in log]
    if call("status", data=data)["link"] != "connecting":
        said.append("the owner's question was not answered as before")
    return said


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.local_socket", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    given = parser.parse_args()
    found = measure(seconds=given.seconds, limit=1 << 62, seed=given.seed)
    print(json.dumps(asdict(found)), file=sys.stdout if given.json else sys.stderr)
    return 1 if found.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
