"""The line that an administrator pastes: whatever the relay hands out, only the right script runs."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.platforms import SCRIPT_PATHS
from protocol.published import INDEX_DECODER, INDEX_NAME, RELEASE_PATH
from technician_client.install_lines import InstallLines, install_lines
from technician_client.release_bundle import read_published
from tests.support.powershell import nodes, parsed
from tests.support.relay_process import RelayProcess, running_relay
from tests.support.releases import SCRIPTS, made_release, new_root

pytestmark = [pytest.mark.real, pytest.mark.beside]

FINGERPRINT = "ab" * 32


@dataclass(frozen=True)
class Offer:
    """What a relay hands out, and the lines that were made for it."""

    relay: RelayProcess
    lines: InstallLines
    script: Path


@pytest.fixture(params=[("linux", "127.0.0.1"), ("linux", "::1"), ("macos", "127.0.0.1")])
def offer(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Offer]:
    platform, host = request.param
    made_release(new_root(tmp_path), tmp_path, platform=platform)
    folder = tmp_path / "release"
    arguments = ["--release", str(folder)]
    with running_relay(tmp_path / "relay", workers=0, arguments=arguments, host=host) as relay:
        index = read_published(folder)
        (script,) = (each for each in index.files if each.path == SCRIPT_PATHS[platform])
        made = install_lines(relay.relay_url, FINGERPRINT, index)[platform]
        yield Offer(relay, made, folder / "files" / script.sha256)


def pasted(folder: Path, line: str) -> "subprocess.CompletedProcess[str]":
    """What comes of the line in a shell, with a `sudo` that only says what it was to run."""
    (folder / "bin").mkdir(exist_ok=True)
    sudo = folder / "bin" / "sudo"
    sudo.write_text(f'#!/bin/sh\necho "$@" >>{folder}/ran\n')
    sudo.chmod(0o755)
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={"PATH": f"{folder}/bin:{os.environ['PATH']}", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_ins_03_rly_14_a_script_that_the_relay_changed_is_not_run(offer: Offer, tmp_path: Path) -> None:
    pasted(tmp_path, offer.lines.one_line)
    ran = (tmp_path / "ran").read_text()
    assert f"--fingerprint {FINGERPRINT} --relay {offer.relay.relay_url} --at-least 1.2.3" in ran, "control"
    (tmp_path / "ran").unlink()
    offer.script.write_text("#!/bin/sh\necho mine\n")
    done = pasted(tmp_path, offer.lines.one_line)
    assert "FAILED" in done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.glob("tmp.*")), "nothing is left behind"


def test_ins_03_step_by_step_the_second_step_says_no(offer: Offer, tmp_path: Path) -> None:
    take, check, _run = offer.lines.steps
    assert pasted(tmp_path, f"{take} && {check}").returncode == 0, "control"
    offer.script.write_text("#!/bin/sh\necho mine\n")
    assert pasted(tmp_path, take).returncode == 0
    assert pasted(tmp_path, check).returncode != 0


def test_ins_03_a_relay_that_hands_out_nothing_leaves_nothing(offer: Offer, tmp_path: Path) -> None:
    offer.script.unlink()
    pasted(tmp_path, offer.lines.one_line)
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.glob("tmp.*"))


def test_ins_03_the_lines_for_windows_check_before_they_run_and_hold_an_address_as_one_word(
    tmp_path: Path,
) -> None:
    made = made_release(new_root(tmp_path), tmp_path, platform="windows")
    address, quoted = "https://r.example/$(id)\u2019; a ' b", "'https://r.example/$(id)\u2019\u2019; a '' b"
    lines = install_lines(address, FINGERPRINT, read_published(tmp_path / "release"))["windows"]
    take, check, run = lines.steps
    assert take.startswith("Invoke-WebRequest ")
    assert f"'{made.script_sha256}') {{ throw " in check
    assert run.endswith(f"-Fingerprint {FINGERPRINT} -Relay {quoted}' -AtLeast 1.2.3")
    one_line = lines.one_line
    assert f"{quoted}{RELEASE_PATH}{made.script_sha256}'" in one_line
    places = [one_line.index(part) for part in ("Invoke-WebRequest", "Get-FileHash", "throw", "-File $f")]
    assert places == sorted(places)


def test_ins_03_the_lines_for_windows_can_be_parsed_and_give_options_that_the_script_has(
    tmp_path: Path,
) -> None:
    made_release(new_root(tmp_path), tmp_path, platform="windows")
    index = read_published(tmp_path / "release")
    lines = install_lines("https://r.example/a'b", FINGERPRINT, index)["windows"]
    for line in (*lines.steps, lines.one_line):
        assert not [node for node in nodes(parsed(line)) if node.is_broken], line
    script = (SCRIPTS / "windows" / "install.ps1").read_text("ascii")
    options = re.findall(r" -([A-Z]\w+) ", lines.steps[-1].partition("install.ps1")[2])
    assert options == ["Fingerprint", "Relay", "AtLeast"]
    assert all(f"[string]${option} = ''" in script for option in options)


def test_lines_hold_an_address_as_one_word_and_no_script_that_is_not_there(tmp_path: Path) -> None:
    made_release(new_root(tmp_path), tmp_path)
    index = read_published(tmp_path / "release")
    line = install_lines("https://relay.example/$(id)", FINGERPRINT, index)["linux"].one_line
    assert f"'https://relay.example/$(id){RELEASE_PATH}" in line
    bare = INDEX_DECODER.decode((tmp_path / "release" / INDEX_NAME).read_bytes())
    bare.files[:] = [each for each in bare.files if each.path != "/install.sh"]
    assert install_lines("https://relay.example", FINGERPRINT, bare) == {}
