"""A real relay that serves a real organisation, with a technician and one joined device; no desktop."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from protocol.certificates import organisation_of_root
from protocol.identity import Identity, save_identity
from technician_client.organisation import OrganisationFolder, Root
from tests.support.organisation import Organisation
from tests.support.relay_process import RelayProcess
from tests.support.said import Said, command, said_here
from tests.support.tls_server import ServerFiles

PASSPHRASE = "a passphrase for tests"


def organisation_with(root: Root) -> Organisation:
    """An organisation of the tests that issues with a real root."""
    taken = Organisation()
    taken.root, taken.root_key, taken.root_der = root.certificate, root.key, root.der
    taken.organisation_id, taken.display_name = organisation_of_root(root.der)
    return taken


@dataclass(frozen=True, slots=True)
class Office:
    """Folders and facts; `device_id` is the device of the agent in `agent`."""

    folder: Path
    relay: RelayProcess
    device_id: str = ""
    authority: Path | None = None

    @property
    def technician(self) -> Path:
        """The technician's and the admin's --data."""
        return self.folder / "technician"

    @property
    def agent(self) -> Path:
        """The agent's --data."""
        return self.folder / "agent"

    @property
    def passphrase_file(self) -> str:
        """The organisation's passphrase."""
        return str(self.folder / "passphrase")

    def alongside(self, *words: str) -> Said:
        """The technician's command line, in this process."""
        return said_here("alongside", *words, "--data", str(self.technician))

    def join(self, token: str, data: Path) -> Said:
        """A device that keeps its identity there."""
        words = ("--relay-ca", str(self.authority)) if self.authority else ()
        return said_here("alongside-agent", "join", token, *words, "--data", str(data))

    def token(self, *words: str) -> tuple[str, str]:
        """A fresh join token and its serial."""
        made = self.alongside("fleet", "token", "create", *words, "--passphrase-file", self.passphrase_file)
        assert made.status == 0, made
        [document] = made.documents()
        return document["token"], document["serial"]

    def organisation(self) -> Organisation:
        """The organisation's real root in the hands of a test, which can issue anything with it."""
        return organisation_with(OrganisationFolder(self.technician / "org").unlock(PASSPHRASE.encode()))

    def data_of(self, identity: Identity, folder: Path) -> Path:
        """A fresh data folder with this identity and our relay."""
        folder.mkdir(mode=0o700)
        save_identity(identity, folder / "identity.pem")
        address = {"url": self.relay.relay_url, "relay_id": self.relay.relay_id}
        (folder / "relay.json").write_text(json.dumps(address))
        return folder


@contextmanager
def open_office(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    arguments: Sequence[str] = (),
    tls: ServerFiles | None = None,
    name: str = "",
) -> Iterator[Office]:
    """Relay claimed, technician enrolled, agent joined and running without a display.

    `host`: the relay's address. `arguments`: more of what it is started with. `tls`: what it shows; with it
    everybody knows it by `name`, if there is one.
    """
    words = ("--tls-cert", str(tls.certificate), "--tls-key", str(tls.key)) if tls else ()
    with RelayProcess(folder / "relay", host=host, arguments=(*words, *arguments)) as relay:
        if name:
            relay.relay_url = f"https://{name}:{relay.control_port}"
        office = Office(folder, relay, authority=tls.authority if tls else None)
        (folder / "passphrase").write_text(PASSPHRASE + "\n")
        _done(
            office.alongside(
                *("org", "init", "--name", "Office", "--relay", relay.relay_url),
                *("--claim-secret-file", relay.claim_secret_file),
                *("--passphrase-file", office.passphrase_file),
                *(("--tls-ca", str(tls.authority)) if tls else ()),
            )
        )
        _done(
            office.alongside(
                *("org", "technician", "add", "Ada", "--this-computer"),
                *("--passphrase-file", office.passphrase_file),
            )
        )
        token, _ = office.token()
        joined = _done(office.join(token, office.agent))
        with _running_agent(office.agent):
            yield replace(office, device_id=joined.documents()[0]["device_id"])


def _done(said: Said) -> Said:
    assert said.status == 0, said
    return said


@contextmanager
def _running_agent(data: Path) -> Iterator[None]:
    words = command("alongside-agent", "run", "--data", str(data), "--json")
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    with (
        (data / "log").open("wb") as log,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, env=environment) as agent,
    ):
        assert agent.stdout is not None
        try:
            ready = json.loads(agent.stdout.readline())
            assert ready["link"] == "connected", ready
            yield
        finally:
            agent.send_signal(signal.SIGINT)
            agent.wait(10)
    assert agent.returncode == 0
    assert b"Traceback" not in (data / "log").read_bytes()
