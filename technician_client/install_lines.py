"""What to type on a new device so that it gets the agent: lines that check the script before they run it.

The relay is not trusted with the script: its hash comes from this admin's own release, and what was fetched
is run only if it has that hash. The script then checks the bundle against the organisation's fingerprint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote

from protocol.published import RELEASE_PATH, PublishedIndex

_SYSTEM_OF = {"/install.sh": "linux"}


@dataclass(frozen=True, slots=True)
class InstallLines:
    """For one system: `steps` one after the other, with time to look at the script, or all in `one_line`."""

    steps: tuple[str, ...]
    one_line: str


def install_lines(relay_url: str, fingerprint: str, index: PublishedIndex) -> Mapping[str, InstallLines]:
    """By system, for every install script of this release. None of the lines holds the join token."""
    relay_url = relay_url.rstrip("/")
    scripts = {each.path: each.sha256 for each in index.files}
    return {
        system: _for_shell(relay_url, fingerprint, index.version, scripts[path])
        for path, system in _SYSTEM_OF.items()
        if path in scripts
    }


def _for_shell(relay_url: str, fingerprint: str, version: str, sha256: str) -> InstallLines:
    take = f"curl -fsSL {quote(relay_url + RELEASE_PATH + sha256)} -o"
    words = f"--fingerprint {fingerprint} --relay {quote(relay_url)} --at-least {version}"
    return InstallLines(
        steps=(
            f"{take} install.sh",
            f"echo '{sha256}  install.sh' | sha256sum -c",
            f"sudo bash install.sh {words}",
        ),
        one_line=f'f="$(mktemp)" && {take} "$f" && echo "{sha256}  $f" | sha256sum -c --quiet'
        f' && sudo bash "$f" {words}; rm -f "$f"',
    )
