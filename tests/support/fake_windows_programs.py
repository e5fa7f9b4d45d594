"""The cmdlets and programs of a pretended Windows (`tests.support.fake_windows`) that the script starts."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.support.dotnet import DotnetError, NotKnown

if TYPE_CHECKING:
    from tests.support.fake_windows import Windows
    from tests.support.powershell_script import Given

NAME = "AlongsideAgent"


@dataclass
class Service:
    """As Windows keeps it."""

    PathName: str
    StartName: str = "LocalSystem"
    Status: str = "Stopped"
    settings: dict[str, list[str]] = field(default_factory=dict)


def options_of(words: list[str]) -> dict[str, Any]:
    """What PowerShell makes of a script's command line."""
    options: dict[str, Any] = {}
    for place, word in enumerate(words):
        if word.startswith("-"):
            following = words[place + 1 : place + 2]
            is_switch = not following or following[0].startswith("-")
            options[word[1:]] = True if is_switch else following[0]
    return options


class Programs:
    """Of one computer."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self.is_agent_well = True
        self.running: list[str] = []
        """Programs that run besides."""

    # programs

    def start(self, path: str, words: list[str]) -> tuple[list[str], int]:
        """Output lines and exit status."""
        name = path.rpartition("\\")[2]
        match name, *words:
            case "sc.exe", verb, service, *rest:
                return self._control(verb, service, rest)
            case "python.exe", "-I", "-c", _:
                return [re.search(r"Python3(\d+)", path).expand(r"3.\1")], 0
            case "python.exe", "-I", "-m", "venv", "--without-pip", here:
                self._windows.step("make an environment")
                for each in ("python.exe", "pythonw.exe"):
                    place = self._windows.path(f"{here}\\Scripts\\{each}")
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.touch()
                return [], 0
            case "python.exe", "-I", pip, *rest if pip.endswith(".whl\\pip"):
                return self._pip(path, pip, rest)
            case "powershell.exe", "-NoProfile", "-ExecutionPolicy", "Bypass", "-File", file, *rest:
                return [], self._windows.run(self._windows.path(file).read_text(), **options_of(rest))
            case "alongside-agent.exe", verb, "--data", data, *rest:
                return self._agent(verb, data, rest)
        raise NotKnown(f"{path} {words}"[:120])

    def _control(self, verb: str, name: str, rest: list[str]) -> tuple[list[str], int]:
        services = self._windows.services
        if name not in services:
            return [], 1060
        self._windows.step(f"sc {verb}")
        if verb == "delete":
            del services[name]
        elif verb == "config":
            label, services[name].StartName = rest
            assert label == "obj="
        else:
            services[name].settings[verb] = rest
        return [], 0

    def _pip(self, python: str, pip: str, rest: list[str]) -> tuple[list[str], int]:
        assert {"--no-index", "--no-deps", "--require-hashes", "--isolated"} <= set(rest)
        self._windows.step("pip")
        assert self._windows.path(pip.removesuffix("\\pip")).is_file()
        wheels = self._windows.path(self.here)
        for line in (wheels / rest[-1]).read_text().splitlines():
            found = re.fullmatch(r"\./(\S+\.whl) --hash=sha256:([0-9a-f]{64})", line)
            assert found
            assert hashlib.sha256((wheels / found[1]).read_bytes()).hexdigest() == found[2]
        self._windows.path(python.replace("python.exe", "alongside-agent.exe")).touch()
        return [], 0

    def _agent(self, verb: str, data: str, rest: list[str]) -> tuple[list[str], int]:
        identity = self._windows.path(f"{data}\\identity.pem")
        self._windows.step(f"agent {verb}")
        if verb == "leave":
            identity.unlink()
            return [], 0
        assert verb == "join"
        if rest and self._windows.path(rest[1]).read_text() != "right":
            return [], 5
        identity.write_text("joined")
        return [], 0

    # cmdlets

    here = ""
    """Where Push-Location went."""

    def cmdlet(self, name: str, given: Given, incoming: list[Any]) -> list[Any] | None:
        """The output; None for none."""
        handler = getattr(self, "_" + name.replace("-", "_"), None)
        if handler is None:
            raise NotKnown(name)
        return handler(given, incoming)

    def _set_strictmode(self, _given: Given, _incoming: list[Any]) -> None:
        pass

    _start_sleep = _pop_location = _set_location = _set_strictmode

    def _push_location(self, given: Given, _incoming: list[Any]) -> None:
        self.here = given.named["-LiteralPath"]

    def _write_host(self, given: Given, _incoming: list[Any]) -> None:
        self._windows.said.append(str(given.others[0]))

    def _out_host(self, _given: Given, incoming: list[Any]) -> None:
        self._windows.said += [str(each) for each in incoming]

    def _new_object(self, given: Given, _incoming: list[Any]) -> list[Any]:
        kind, *rest = given.others
        return self._windows._made(kind, rest)

    def _convertfrom_json(self, given: Given, _incoming: list[Any]) -> list[Any]:
        return self._windows.command("ConvertFrom-Json", given.others)

    def _get_filehash(self, given: Given, _incoming: list[Any]) -> list[Any]:
        assert given.named["-Algorithm"] == "SHA256"
        content = given.named["-InputStream"].file.read()
        return [SimpleNamespace(Hash=hashlib.sha256(content).hexdigest().upper())]

    def _join_path(self, given: Given, _incoming: list[Any]) -> list[Any]:
        folder, name = given.others
        if not folder:
            raise DotnetError("ParameterBindingException: an empty path")
        return [f"{folder}\\{name}"]

    def _resolve_path(self, given: Given, _incoming: list[Any]) -> list[Any]:
        return [SimpleNamespace(ProviderPath=given.named["-LiteralPath"])]

    def _get_content(self, given: Given, _incoming: list[Any]) -> list[Any]:
        return self._windows.path(given.named["-LiteralPath"]).read_text().splitlines()[:1]

    def _get_command(self, _given: Given, _incoming: list[Any]) -> list[Any]:
        return [SimpleNamespace(ScriptBlock=SimpleNamespace(File="C:\\Windows\\Temp\\one.ps1"))]

    def _select_object(self, given: Given, incoming: list[Any]) -> list[Any]:
        return incoming[: given.named["-First"]]

    def _measure_object(self, given: Given, incoming: list[Any]) -> list[Any]:
        return [SimpleNamespace(Sum=float(sum(each.Length for each in incoming)))]

    def _get_childitem(self, given: Given, _incoming: list[Any]) -> list[Any]:
        if given.others == ["Env:"]:
            return [SimpleNamespace(Name="PYTHONPATH"), SimpleNamespace(Name="PATH")]
        place = given.named["-LiteralPath"]
        if "-Directory" in given.named:
            return [
                SimpleNamespace(
                    Name=each.name,
                    FullName=f"{place}\\{each.name}",
                    LastWriteTimeUtc=(each / ".complete").stat().st_mtime_ns
                    if (each / ".complete").exists()
                    else 0,
                )
                for each in self._windows.path(place).iterdir()
                if each.is_dir()
            ]
        files = [each for each in self._windows.path(place).rglob("*") if each.is_file()]
        return [SimpleNamespace(Length=each.stat().st_size) for each in files]

    def _test_path(self, given: Given, _incoming: list[Any]) -> list[Any]:
        place = given.named["-LiteralPath"]
        if place.startswith("HKLM:"):
            return [place in self._windows.registry]
        path = self._windows.path(place)
        return [path.is_file() if given.named.get("-PathType") == "Leaf" else path.exists()]

    def _get_item(self, given: Given, _incoming: list[Any]) -> list[Any]:
        return [SimpleNamespace(values=self._windows.registry[given.named["-LiteralPath"]])]

    def _new_item(self, given: Given, _incoming: list[Any]) -> list[Any]:
        self._windows.step(f"new key {given.named['-Path']}")
        self._windows.registry[given.named["-Path"]] = {}
        return ["the new key"]

    def _set_itemproperty(self, given: Given, _incoming: list[Any]) -> None:
        self._windows.step(f"set {given.named['-Name']}")
        assert type(given.named["-Value"]) is {"String": str, "DWord": int}[given.named["-Type"]]
        self._windows.registry[given.named["-LiteralPath"]][given.named["-Name"]] = given.named["-Value"]

    def _remove_itemproperty(self, given: Given, _incoming: list[Any]) -> None:
        self._windows.step(f"unset {given.named['-Name']}")
        del self._windows.registry[given.named["-LiteralPath"]][given.named["-Name"]]

    def _remove_item(self, given: Given, _incoming: list[Any]) -> None:
        place = given.named["-LiteralPath"]
        if place.startswith("Env:"):
            assert place == "Env:PYTHONPATH"
            return
        self._windows.step(f"remove {place}")
        del self._windows.registry[place]

    def _new_service(self, given: Given, _incoming: list[Any]) -> list[Any]:
        self._windows.step("new service")
        assert given.named["-Name"] not in self._windows.services
        self._windows.services[given.named["-Name"]] = Service(given.named["-BinaryPathName"])
        return ["the new service"]

    def _get_service(self, given: Given, _incoming: list[Any]) -> list[Any]:
        found = self._windows.services.get(given.named["-Name"])
        if found is None and given.named.get("-ErrorAction") != "SilentlyContinue":
            raise DotnetError("ServiceCommandException: there is no such service")
        return [found] if found else []

    def _start_service(self, given: Given, _incoming: list[Any]) -> None:
        self._windows.step("start the service")
        service = self._windows.services[given.named["-Name"]]
        assert service.StartName == "NT SERVICE\\AlongsideAgent", "never as the system"
        service.Status = "Running" if self.is_agent_well else "Stopped"

    _restart_service = _start_service

    def _stop_service(self, given: Given, _incoming: list[Any]) -> None:
        self._windows.step("stop the service")
        self._windows.services[given.named["-Name"]].Status = "Stopped"

    def _get_ciminstance(self, given: Given, _incoming: list[Any]) -> list[Any]:
        if given.named["-ClassName"] == "Win32_Process":
            return [
                SimpleNamespace(ProcessId=place, ExecutablePath=path)
                for place, path in enumerate(self.running)
            ]
        name = re.fullmatch(r"Name='(\w+)'", given.named["-Filter"])[1]
        found = self._windows.services.get(name)
        return [found] if found else []

    def _invoke_cimmethod(self, given: Given, _incoming: list[Any]) -> list[Any]:
        self._windows.step("change the service")
        assert given.named["-MethodName"] == "Change"
        given.named["-InputObject"].PathName = given.named["-Arguments"]["PathName"]
        return [SimpleNamespace(ReturnValue=0)]

    def _stop_process(self, given: Given, _incoming: list[Any]) -> None:
        self._windows.step("end a process")
        self.running[given.named["-Id"]] = ""
