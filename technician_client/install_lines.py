"""What to type on a new device so that it gets the agent: lines that check the script before they run it.

The relay is not trusted with the script: its hash comes from this admin's own release, and what was fetched
is run only if it has that hash. The script then checks the bundle against the organisation's fingerprint.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote

from protocol.platforms import SCRIPT_PATHS, Platform
from protocol.published import RELEASE_PATH, PublishedIndex

# all of them end a word in single quotes ([CodeGeneration]::EscapeSingleQuotedStringContent)
_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")


@dataclass(frozen=True, slots=True)
class InstallLines:
    """For one system: `steps` one after the other, with time to look at the script, or all in `one_line`."""

    steps: tuple[str, ...]
    one_line: str


@dataclass(frozen=True, slots=True)
class _Terms:
    relay_url: str
    fingerprint: str
    version: str
    sha256: str

    @property
    def address(self) -> str:
        return self.relay_url + RELEASE_PATH + self.sha256


def install_lines(relay_url: str, fingerprint: str, index: PublishedIndex) -> Mapping[Platform, InstallLines]:
    """By system, for every install script of this release. None of the lines holds the join token."""
    scripts = {each.path: each.sha256 for each in index.files}
    found: dict[Platform, InstallLines] = {}
    for platform, path in SCRIPT_PATHS.items():
        if path in scripts:
            terms = _Terms(relay_url.rstrip("/"), fingerprint, index.version, scripts[path])
            found[platform] = _for_powershell(terms) if platform == "windows" else _for_shell(terms, platform)
    return found


def _for_shell(terms: _Terms, platform: Platform) -> InstallLines:
    # a Mac has no sha256sum before macOS 14, and a bash of its own
    check, shell = ("shasum -a 256 -c", "/bin/bash") if platform == "macos" else ("sha256sum -c", "bash")
    name = SCRIPT_PATHS[platform].removeprefix("/")
    take = f"curl -fsSL {quote(terms.address)} -o"
    words = f"--fingerprint {terms.fingerprint} --relay {quote(terms.relay_url)} --at-least {terms.version}"
    return InstallLines(
        steps=(
            f"{take} {name}",
            f"echo '{terms.sha256}  {name}' | {check}",
            f"sudo {shell} {name} {words}",
        ),
        one_line=f'f="$(mktemp)" && {take} "$f" && echo "{terms.sha256}  $f" | {check}'
        f' && sudo {shell} "$f" {words}; rm -f "$f"',
    )


def _for_powershell(terms: _Terms) -> InstallLines:
    """For a PowerShell 5.1 that runs as administrator.

    In one line the file lies where a process of the same user without those rights cannot exchange it
    between check and run: in a folder of the system, and owned by the administrators.
    """
    take = f"Invoke-WebRequest -UseBasicParsing -Uri {_word(terms.address)} -OutFile"
    run = "powershell -NoProfile -ExecutionPolicy Bypass -File"
    words = f"-Fingerprint {terms.fingerprint} -Relay {_word(terms.relay_url)} -AtLeast {terms.version}"
    wrong = "throw 'This is not the script of your organisation. Do not run it.'"
    name = SCRIPT_PATHS["windows"].removeprefix("/")
    return InstallLines(
        steps=(
            f"{take} {name}",
            f"if ((Get-FileHash -Algorithm SHA256 {name}).Hash -ne '{terms.sha256}') {{ {wrong} }}",
            f"{run} .\\{name} {words}",
        ),
        one_line="$f = \"$([Environment]::GetFolderPath('Windows'))\\Temp\\$([guid]::NewGuid()).ps1\";"
        f" try {{ {take} $f -ErrorAction Stop;"
        f" if ((Get-FileHash -Algorithm SHA256 $f).Hash -ne '{terms.sha256}') {{ {wrong} }};"
        f" {run} $f {words} }} finally {{ Remove-Item -Force $f -ErrorAction Ignore }}",
    )


def _word(text: str) -> str:
    """One literal word of PowerShell."""
    return "'" + _QUOTES.sub(r"\1\1", text) + "'"
