"""INS: the Windows script on a pretended Windows. It was never run on a real one.

The script's own text runs, by `tests.support.powershell_script`; cmdlets, programs and .NET are those of
`tests.support.fake_windows`. What Windows does with an ACL, a service or a certificate is not shown here.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.succession import RootLine, root_fingerprint
from technician_client.organisation import Root
from technician_client.release_bundle import ReleaseTerms, create_release
from technician_client.release_script import one_script
from technician_client.release_wheels import read_wheels
from tests.support.fake_windows import (
    ADMINISTRATORS,
    DATA,
    PROGRAMS,
    SERVICE_SID,
    SYSTEM,
    Killed,
    Security,
    Windows,
)
from tests.support.releases import SCRIPTS, new_root, stub_wheels

pytestmark = pytest.mark.beside

SCRIPT = one_script(SCRIPTS, "windows").decode("ascii")
LISTED = "HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\AlongsideAgent"
STATE = f"{DATA}\\AlongsideAgent"
PREFIX = f"{PROGRAMS}\\Alongside"


@dataclass(frozen=True)
class Releases:
    """An organisation, and its bundles by version."""

    fingerprint: str
    bundles: dict[str, bytes]


def bundle(root: Root, folder: Path, version: str, days: int = 30, platform: str = "windows") -> bytes:
    folder.mkdir()
    now = datetime.now(UTC) - timedelta(days=40 if days < 30 else 0)
    wheels = read_wheels(stub_wheels(folder / "wheels", version))
    machine = "amd64" if platform == "windows" else "x86_64"
    terms = ReleaseTerms(RootLine(root.der), wheels, SCRIPTS, platform, machine, days, now)
    made = create_release(root, terms, folder / "release")
    return (folder / "release" / "files" / made.bundle_sha256).read_bytes()


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    folder = tmp_path_factory.mktemp("releases")
    root = new_root(folder)
    bundles = {version: bundle(root, folder / version, version) for version in ("1.2.3", "1.2.4", "1.10.0")}
    bundles["old"] = bundle(root, folder / "old", "1.2.3", days=29)
    bundles["linux"] = bundle(root, folder / "linux", "1.2.3", platform="linux")
    return Releases(root_fingerprint(root.der), bundles)


@pytest.fixture
def windows(tmp_path: Path) -> Windows:
    """A computer with a Python for all users, and a token."""
    made = Windows(tmp_path)
    with_python(made, "3.12", f"{PROGRAMS}\\Python312")
    made.path("C:\\token").write_text("right")
    return made


def with_python(windows: Windows, version: str, place: str) -> None:
    windows.registry[f"HKLM:\\SOFTWARE\\Python\\PythonCore\\{version}\\InstallPath"] = {"": f"{place}\\"}
    windows.path(f"{place}\\python.exe").parent.mkdir(parents=True)
    windows.path(f"{place}\\python.exe").touch()


def install(windows: Windows, releases: Releases, version: str = "1.2.3", **options: object) -> int:
    windows.said.clear()
    windows.path("C:\\bundle").write_bytes(releases.bundles[version])
    given = {"Fingerprint": releases.fingerprint, "Offline": "C:\\bundle", "TokenFile": "C:\\token"}
    return windows.run(SCRIPT, **(given | options))


def test_ins_04_it_makes_a_service_that_is_nobody_and_closes_its_folder(
    windows: Windows, releases: Releases
) -> None:
    assert install(windows, releases) == 0, windows.said
    (service,) = windows.services.values()
    here = windows.registry[LISTED]["InstallLocation"]
    assert here.startswith(f"{PREFIX}\\versions\\1.2.3-")
    words = f'"{here}\\Scripts\\python.exe" -I -m agent --windows-service AlongsideAgent --no-desktop '
    assert service.PathName.startswith(words)
    assert (service.StartName, service.Status) == ("NT SERVICE\\AlongsideAgent", "Running")
    assert service.settings["privs"] == ["SeChangeNotifyPrivilege"]
    closed = windows.security[STATE]
    assert (closed.owner, closed.is_protected) == (ADMINISTRATORS, True)
    assert {rule[:2] for rule in closed.rules} == {
        (SYSTEM, "FullControl"),
        (ADMINISTRATORS, "FullControl"),
        (SERVICE_SID, "Modify"),
    }
    assert windows.path(f"{STATE}\\identity.pem").exists()
    listed = windows.registry[LISTED]
    assert (listed["DisplayName"], listed["DisplayVersion"]) == ("Alongside agent", "1.2.3")
    assert listed["UninstallString"].endswith(f'-File "{PREFIX}\\install.ps1" -Uninstall')
    assert windows.path(f"{PREFIX}\\install.ps1").read_text() == SCRIPT
    assert not list(windows.path(PREFIX).glob(".work*"))
    assert "right" not in str(windows.argv) + str(windows.said), "the token is the agent's alone"


def test_ins_01_the_second_time_it_is_unchanged(windows: Windows, releases: Releases) -> None:
    assert install(windows, releases) == 0
    before = windows.state()
    assert install(windows, releases) == 0
    assert windows.said[-1] == "alongside: unchanged: version 1.2.3 is installed."
    assert windows.state() == before


def test_ins_01_newer_ones_go_over_it_and_the_one_before_stays(windows: Windows, releases: Releases) -> None:
    for version in ("1.2.3", "1.2.4", "1.10.0"):
        assert install(windows, releases, version) == 0, windows.said
    kept = sorted(each.name.partition("-")[0] for each in windows.path(f"{PREFIX}\\versions").iterdir())
    assert kept == ["1.10.0", "1.2.4"]
    assert "\\1.10.0-" in windows.services["AlongsideAgent"].PathName
    before = windows.state()
    assert install(windows, releases, "1.2.4") == 3, "10 is more than 2"
    assert "E_RELEASE_VERSION" in windows.said[-1]
    assert windows.state() == before


def test_ins_01_killed_before_any_step_the_next_run_ends_where_one_run_would_have(
    windows: Windows, releases: Releases, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert install(windows, releases) == 0
    wanted, count = windows.state(), len(windows.steps)
    assert count > 20
    for step in range(count):
        other = Windows(tmp_path_factory.mktemp("killed"))
        with_python(other, "3.12", f"{PROGRAMS}\\Python312")
        other.path("C:\\token").write_text("right")
        other.dies_at = step
        with pytest.raises(Killed):
            install(other, releases)
        other.dies_at = None
        assert install(other, releases) == 0, (step, other.said)
        assert other.state() == wanted, step


def test_ins_02_removal_keeps_what_happened_and_purging_leaves_nothing(
    windows: Windows, releases: Releases
) -> None:
    bare = windows.state()
    assert install(windows, releases) == 0
    windows.programs.running = [f"{PREFIX}\\versions\\x\\Scripts\\pythonw.exe", "C:\\Windows\\explorer.exe"]
    assert windows.run(SCRIPT, Uninstall=True) == 0, windows.said
    assert windows.programs.running == ["", "C:\\Windows\\explorer.exe"]
    assert windows.path(f"{STATE}\\identity.pem").exists()
    assert not windows.path(PREFIX).exists()
    assert windows.services == {}
    assert windows.run(SCRIPT, Uninstall=True, Purge=True) == 0
    after = windows.state()
    assert after["files"] == bare["files"]
    assert after["registry"] == bare["registry"]
    assert windows.run(SCRIPT, Uninstall=True, Purge=True) == 0
    assert windows.said[-1] == "alongside: unchanged: it is not installed."


def test_ins_02_purging_leaves_the_organisation_first(windows: Windows, releases: Releases) -> None:
    assert install(windows, releases) == 0
    assert windows.run(SCRIPT, Uninstall=True, Purge=True) == 0
    assert windows.steps.index("agent leave") < windows.steps.index(f"remove {PREFIX}")
    assert not windows.path(STATE).exists()


def test_ins_01_a_dry_run_says_it_and_does_nothing(windows: Windows, releases: Releases) -> None:
    windows.path("C:\\bundle").write_bytes(releases.bundles["1.2.3"])
    before = windows.state()
    windows.is_administrator = False
    assert install(windows, releases, DryRun=True) == 0, windows.said
    assert any("would install version 1.2.3" in text for text in windows.said)
    assert windows.state() == before
    windows.is_administrator = True
    assert install(windows, releases) == 0
    before = windows.state()
    assert windows.run(SCRIPT, Uninstall=True, Purge=True, DryRun=True) == 0
    assert windows.state() == before


def damaged(content: bytes) -> bytes:
    place = content.rindex(b"pip/__init__.py")
    return content[:place] + b"X" + content[place + 1 :]


REFUSALS: dict[str, tuple[Callable[[Windows, Releases], int], int]] = {
    "another organisation": (lambda w, r: install(w, r, Fingerprint="0" * 64), 5),
    "an altered bundle": (
        lambda w, r: install(w, Releases(r.fingerprint, {"1.2.3": damaged(r.bundles["1.2.3"])})),
        5,
    ),
    "another system": (lambda w, r: install(w, r, "linux"), 5),
    "too old": (lambda w, r: install(w, r, "old"), 3),
    "older than asked": (lambda w, r: install(w, r, AtLeast="1.2.10"), 3),
    "no bundle": (lambda w, r: install(w, r, Offline="C:\\nothing"), 6),
    "a relay that does not answer": (lambda w, r: install(w, r, Offline="", Relay="https://r.example"), 4),
    "a password on the command line": (
        lambda w, r: install(w, r, Proxy="http://a:b@p.example:1"),
        2,
    ),
    "half a fingerprint": (lambda w, r: install(w, r, Fingerprint="ab"), 2),
    "an address without brackets": (lambda w, r: install(w, r, Offline="", Relay="https://2001:db8::1"), 2),
    "two sources": (lambda w, r: install(w, r, Relay="https://r.example"), 2),
    "an option that is not known": (lambda w, r: install(w, r, Rest=["-Frobnicate"]), 2),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_ins_03_05_what_is_refused_leaves_no_version_no_service_and_no_entry(
    windows: Windows, releases: Releases, refusal: str
) -> None:
    attempt, status = REFUSALS[refusal]
    assert attempt(windows, releases) == status, windows.said
    assert windows.services == {}
    assert LISTED not in windows.registry
    assert not windows.path(STATE).exists()
    assert not windows.path(f"{PREFIX}\\versions").exists()
    assert not list(windows.path(PREFIX).glob(".work*"))


def test_ins_08_surroundings_that_will_not_do_are_said(windows: Windows, releases: Releases) -> None:
    windows.is_64_bit = False
    assert install(windows, releases) == 2
    windows.is_64_bit, windows.is_administrator = True, False
    assert install(windows, releases) == 3
    windows.is_administrator = True
    windows.registry = {key: values for key, values in windows.registry.items() if "Python" not in key}
    assert install(windows, releases) == 6
    with_python(windows, "3.11", "C:\\Users\\eve\\Python311")
    assert install(windows, releases) == 6, "a user could change that Python"
    assert windows.services == {}


def test_ins_04_a_folder_that_somebody_else_made_is_not_taken(windows: Windows, releases: Releases) -> None:
    windows.path(STATE).mkdir()
    windows.security[STATE] = Security(owner="S-1-5-21-1001")
    assert install(windows, releases) == 3
    assert "somebody else" in windows.said[-1]
    assert windows.security[STATE].owner == "S-1-5-21-1001"
    assert list(windows.path(STATE).iterdir()) == []
    assert windows.services["AlongsideAgent"].Status == "Stopped"


def test_ins_05_a_proxys_password_goes_to_the_agent_and_is_said_nowhere(
    windows: Windows, releases: Releases
) -> None:
    windows.path("C:\\proxy").write_text("http://me:s%20cret@p.example:3128\n")
    windows.relay["https://r.example/release/agent-windows-amd64.bundle"] = releases.bundles["1.2.3"]
    options = {"Offline": "", "Relay": "https://r.example/", "ProxyFile": "C:\\proxy"}
    assert install(windows, releases, **options) == 0, windows.said
    (request,) = windows.requests
    assert (request.Proxy.address, request.Proxy.Credentials) == ("http://p.example:3128", ("me", "s cret"))
    assert windows.path(f"{STATE}\\relay-proxy").read_text() == "http://me:s%20cret@p.example:3128\n"
    assert "cret" not in str(windows.argv) + str(windows.said)
    before = windows.state()
    assert install(windows, releases, **options) == 0
    assert windows.state() == before


def test_a_token_that_does_not_work_is_said_and_the_next_run_joins(
    windows: Windows, releases: Releases
) -> None:
    windows.path("C:\\token").write_text("wrong")
    assert install(windows, releases) == 7
    assert windows.services["AlongsideAgent"].Status == "Stopped"
    windows.path("C:\\token").write_text("right")
    assert install(windows, releases) == 0, windows.said
    assert windows.services["AlongsideAgent"].Status == "Running"


def test_a_service_that_does_not_stay_up_is_said(windows: Windows, releases: Releases) -> None:
    windows.programs.is_agent_well = False
    assert install(windows, releases) == 1
    assert "does not stay up" in windows.said[-1]
    windows.programs.is_agent_well = True
    assert install(windows, releases) == 0
    assert windows.said[-1] == "alongside: Version 1.2.3 is installed."


def test_ins_01_where_nobody_can_be_asked_it_installs_and_does_not_join(
    windows: Windows, releases: Releases
) -> None:
    assert install(windows, releases, TokenFile="") == 0
    assert any("Not joined" in text for text in windows.said)
    assert windows.services["AlongsideAgent"].Status == "Stopped"
    assert install(windows, releases) == 0, "the next run, with a token, joins and starts"
    assert windows.services["AlongsideAgent"].Status == "Running"


POLICY = "HKLM:\\SOFTWARE\\Policies\\Alongside\\Install"
STARTUP = (SCRIPTS.parent / "deploy" / "gpo" / "startup.ps1").read_text("ascii")
DETECT = (SCRIPTS.parent / "deploy" / "intune" / "detect.ps1").read_text("ascii")


@pytest.fixture
def share(windows: Windows, releases: Releases) -> Windows:
    """The same computer in a domain whose policy installs the agent from a folder."""
    windows.path("C:\\share").mkdir()
    windows.path("C:\\share\\install.ps1").write_text(SCRIPT)
    windows.path("C:\\share\\agent-windows-amd64.bundle").write_bytes(releases.bundles["1.2.3"])
    windows.registry[POLICY] = {
        "Install": 1,
        "Folder": "C:\\share",
        "ScriptSha256": hashlib.sha256(SCRIPT.encode()).hexdigest().upper(),
        "Fingerprint": releases.fingerprint,
        "TokenFile": "C:\\token",
    }
    return windows


def start_up(windows: Windows) -> int:
    return int(windows.function(STARTUP, "Start-Policy"))


def test_ins_01_group_policy_installs_updates_and_removes_at_the_next_start(
    share: Windows, releases: Releases
) -> None:
    assert start_up(share) == 0, share.said
    assert share.services["AlongsideAgent"].Status == "Running"
    share.path("C:\\share\\agent-windows-amd64.bundle").write_bytes(releases.bundles["1.2.4"])
    assert start_up(share) == 0
    assert share.registry[LISTED]["DisplayVersion"] == "1.2.4"
    assert [each.name for each in share.path("C:\\Windows\\Temp").iterdir()] == ["one.ps1"]
    share.registry[POLICY] = {"Install": 0}
    assert start_up(share) == 0
    assert share.services == {}
    assert share.path(f"{STATE}\\identity.pem").exists()
    assert start_up(share) == 0, "and again it has nothing to do"


def test_ins_03_a_script_on_the_share_that_the_policy_does_not_name_is_not_run(share: Windows) -> None:
    share.path("C:\\share\\install.ps1").write_text(SCRIPT + "# mine\n")
    assert start_up(share) == 5
    assert share.argv == []
    assert list(share.path("C:\\Windows\\Temp").iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "status"), [("Folder", 2), ("ScriptSha256", 2), ("Fingerprint", 2), ("Install", 0)]
)
def test_a_policy_that_is_not_complete_installs_nothing(share: Windows, missing: str, status: int) -> None:
    del share.registry[POLICY][missing]
    assert start_up(share) == status
    assert share.argv == []


def test_without_the_policy_a_start_changes_nothing(windows: Windows) -> None:
    before = windows.state()
    assert start_up(windows) == 0
    assert windows.state() == before


def test_intune_finds_a_whole_version_with_its_service_and_nothing_less(
    windows: Windows, releases: Releases
) -> None:
    def found(at_least: str = "0.0.0") -> str:
        return str(windows.function(DETECT, "Get-InstalledVersion", at_least))

    assert found() == ""
    assert install(windows, releases, "1.2.4") == 0
    assert (found(), found("1.2.4"), found("1.2.10")) == ("1.2.4", "1.2.4", "")
    kept = windows.services.pop("AlongsideAgent")
    assert found() == "", "no service"
    windows.services["AlongsideAgent"] = kept
    windows.path(windows.registry[LISTED]["InstallLocation"] + "\\.complete").unlink()
    assert found() == "", "half a version"
