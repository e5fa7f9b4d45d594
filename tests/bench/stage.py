"""Two displays of the same size, the device's and the viewer's, and Chromium on the latter."""

import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.actors import ActorFailed, running, until_said
from tests.bench.link_terms import LinkTerms
from tests.bench.usage import Roles, TcpPort, family
from tests.support.xvfb import Xvfb, start_xvfb

SIZE = (1920, 1080)
FAR_HOST = "127.0.0.2"  # where a shaped link listens, on the same ports
CHROMIUM_ARGUMENTS = (
    "--no-sandbox", "--test-type", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-features=Translate",
    "--force-device-scale-factor=1", "--window-position=0,0", f"--window-size={SIZE[0]},{SIZE[1]}", "--kiosk",
    "--autoplay-policy=no-user-gesture-required", "--password-store=basic",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """`scope` ends what is put into it when the stage is left."""

    source: Xvfb
    viewer: Xvfb
    folder: Path
    link: LinkTerms | None
    scope: ExitStack
    browser_arguments: tuple[str, ...] = ()

    def chromium(self, url: str) -> int:
        """Chromium alone on the viewer's display; its pid."""
        profile = self.folder / "chromium"
        words = [_needed("chromium"), *CHROMIUM_ARGUMENTS, *self.browser_arguments]
        words += [f"--user-data-dir={profile}", f"--app={url}"]
        environment = self.viewer.environment
        return self.scope.enter_context(running(words, self.folder / "chromium.log", environment)).pid

    def start(self, name: str, words: list[str], environment: Mapping[str, str] | None = None) -> int:
        """A program for as long as the stage stands; its pid."""
        words = [_needed(words[0]), *words[1:]]
        return self.scope.enter_context(running(words, self.folder / f"{name}.log", environment)).pid

    def shape(self, *ports: int) -> str:
        """The host behind which these ports of 127.0.0.1 are, with the link's terms in between."""
        if self.link is None:
            return "127.0.0.1"
        pairs = [
            word for port in ports for word in ("--from", f"{FAR_HOST}:{port}", "--to", f"127.0.0.1:{port}")
        ]
        log = self.folder / "shaper.log"
        if self.link.has_packets:
            words = [word for port in ports for word in ("--port", str(port))]
            link = [sys.executable, "-m", "tests.bench.packet_link", "--link", str(self.link)]
            self.start("shaper", [*link, "--at", FAR_HOST, *words])
            until_said(log, "ready", 10)
            return FAR_HOST
        words = [sys.executable, "-m", "tests.bench.shaper", "--link", str(self.link), *pairs]
        self.start("shaper", words)
        until_said(log, "ready", 10)
        return FAR_HOST


@dataclass(frozen=True, slots=True)
class Running:
    """A product on its stage: who is who, and where its bytes are counted."""

    name: str
    stage: Stage
    roles: Roles
    tcp: TcpPort | None
    agent_roles: tuple[str, ...] = field(default=("agent",))


@contextmanager
def stage(folder: Path, link: LinkTerms | None, browser_arguments: tuple[str, ...] = ()) -> Iterator[Stage]:
    """Both displays; everything started on them ends first."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        start_xvfb(SIZE) as source,
        start_xvfb(SIZE, has_openbox=True) as viewer,
        ExitStack() as scope,
    ):
        yield Stage(source, viewer, folder, link, scope, browser_arguments)


def with_displays(stage: Stage, roles: Roles) -> Roles:
    """The product's roles and the two X servers."""

    def all_roles() -> dict[str, list[int]]:
        return {**roles(), "X source": [stage.source.pid], "X viewer": [stage.viewer.pid]}

    return all_roles


def families(**pids: int) -> Roles:
    """Roles that are whole trees of processes."""
    return lambda: {role.replace("_", " "): family(pid) for role, pid in pids.items()}


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _needed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ActorFailed(f"{program} is not installed (see --install)")
    return path
