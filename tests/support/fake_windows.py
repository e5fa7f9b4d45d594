"""A Windows computer that is only pretended: files below a folder, registry, services, and .NET for them.

It knows what `install.ps1` uses, as documented, and raises NotKnown for the rest. `steps` are what changes
it, in their order; `dies_at` kills the script before one of them.
"""

import re
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.dotnet import VOID, Dotnet, DotnetError, NotKnown, Stream
from tests.support.fake_windows_programs import Programs, Service
from tests.support.powershell_script import Block, Given, Script

SYSTEM, ADMINISTRATORS = "S-1-5-18", "S-1-5-32-544"
SERVICE_SID = "S-1-5-80-1"
PROGRAMS, DATA, WINDOWS = "C:\\Program Files", "C:\\ProgramData", "C:\\Windows"


class Killed(BaseException):
    """The script's process is gone, between two steps."""


class Version(tuple[int, ...]):
    """System.Version."""


@dataclass
class Security:
    """What an ACL says."""

    owner: str = ADMINISTRATORS
    is_protected: bool = False
    rules: list[tuple[str, ...]] = field(default_factory=list)


class Uri(SimpleNamespace):
    """System.Uri of a proxy."""

    def __init__(self, text: str) -> None:
        parts = urlsplit(text)
        place = parts.netloc.rpartition("@")[2]
        super().__init__(Scheme=parts.scheme, Authority=place, UserInfo=parts.netloc.rpartition("@")[0])


class Windows(Dotnet):
    """One computer. `relay` holds what a relay hands out, by address; None where it does not answer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.registry: dict[str, dict[str, Any]] = {
            "HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run": {},
        }
        self.security: dict[str, Security] = {}
        self.said: list[str] = []
        self.argv: list[list[str]] = []
        self.steps: list[str] = []
        self.requests: list[SimpleNamespace] = []
        self.relay: dict[str, bytes] = {}
        self.dies_at: int | None = None
        self.services: dict[str, Service] = {}
        self.is_administrator = self.is_64_bit = True
        self.is_somebody_there = False
        self.machine = "AMD64"
        self._locked: set[Path] = set()
        self._open: list[Stream] = []
        self.programs = Programs(self)
        for folder in (PROGRAMS, DATA, f"{WINDOWS}\\Temp"):
            self.path(folder).mkdir(parents=True)

    # the script's surroundings

    def run(self, text: str, **options: Any) -> int:
        """Run the script with these options; its exit status."""
        self.steps = []
        self.path(f"{WINDOWS}\\Temp\\one.ps1").write_text(text)
        words = ("Fingerprint", "Relay", "Offline", "TokenFile", "AtLeast", "Proxy", "ProxyFile")
        switches = ("NoJoin", "DryRun", "Uninstall", "Purge", "Help")
        variables: dict[str, Any] = dict.fromkeys(words, "") | dict.fromkeys(switches, False)
        variables |= options | {"Rest": options.get("Rest", [])}
        variables |= {
            "Run": None,
            "PSCommandPath": f"{WINDOWS}\\Temp\\one.ps1",
            "PSHOME": f"{WINDOWS}\\System32\\WindowsPowerShell\\v1.0",
            "ExecutionContext": SimpleNamespace(SessionState=SimpleNamespace(LanguageMode="FullLanguage")),
        }
        try:
            return Script(text, self, variables).start("Start-Installation")
        finally:
            self._locked.clear()  # a process that is gone holds nothing
            for each in self._open:
                each.file.close()

    def _opened(self, path: Path, mode: str) -> Stream:
        self._open.append(Stream(path.open(mode)))
        return self._open[-1]

    def function(self, text: str, name: str, *arguments: Any) -> Any:
        """What a function of a script returns."""
        return Script(text, self, {}).call(name, *arguments)

    def path(self, name: str) -> Path:
        """Where a file of this computer is."""
        if not re.match(r"[A-Z]:\\", name):
            raise NotKnown(f"a path that is not whole: {name}")
        return self.root.joinpath(*name.replace(":", "").split("\\"))

    def step(self, what: str) -> None:
        """Something is about to change."""
        if len(self.steps) == self.dies_at:
            raise Killed(what)
        self.steps.append(what)

    def state(self) -> dict[str, Any]:
        """Everything that can be seen of the computer afterwards, without what differs from run to run."""
        below = {str(each.relative_to(self.root)): each for each in sorted(self.root.rglob("*"))}
        files = {name: each.read_bytes() if each.is_file() else None for name, each in below.items()}
        for name in ("C/Windows/Temp/one.ps1", "C/bundle"):  # what the tests put there
            files.pop(name, None)
        return {
            "files": files,
            "registry": {key: dict(values) for key, values in self.registry.items()},
            "services": {name: vars(each).copy() for name, each in self.services.items()},
        }

    def program(self, path: str, words: list[str]) -> tuple[list[str], int]:
        """See `Computer`."""
        self.argv.append([path, *words])
        return self.programs.start(path, words)

    # errors

    def error_record(self, cause: DotnetError) -> SimpleNamespace:
        """`$_` in a catch block."""
        return SimpleNamespace(Exception=_exception(cause))

    def is_a(self, cause: DotnetError, name: str) -> bool:
        """Whether a catch block for this type takes it."""
        return str(cause).startswith(name.rpartition(".")[2] + ":")

    # .NET

    def operator(self, word: str, left: Any, right: Any) -> Any:
        """See `Dotnet`."""
        match word:
            case "-eq" | "-ne":
                if type(left) is not type(right) and None not in (left, right):
                    raise NotKnown(f"{left!r} {word} {right!r}"[:80])
                left, right = (each.lower() if isinstance(each, str) else each for each in (left, right))
                return (left == right) is (word == "-eq")
            case "-f":
                values = right if isinstance(right, list) else [right]
                return re.sub(r"\{(\d)\}", lambda found: self.text(values[int(found[1])]), left)
            case "-join":
                return right.join(left)
            case "-in":
                return left in right
            case "-notcontains":
                return right not in left
            case "-band":
                return left & right
            case "/":
                return left / right
            case "+" if isinstance(left, list):
                return [*left, *right] if isinstance(right, list) else [*left, right]
            case "-lt" | "-le" if isinstance(left, Version | datetime):
                return left < right or (word == "-le" and left == right)
        return super().operator(word, left, right)

    def text(self, value: Any) -> str:
        """See `Dotnet`."""
        if isinstance(value, Version):
            return ".".join(map(str, value))
        if isinstance(value, list):
            return " ".join(map(str, value))
        return "" if value is None else super().text(value)

    def cast(self, kind: str, value: Any) -> Any:
        """See `Dotnet`."""
        match kind.lower(), value:
            case "bool", bool():
                return value
            case "version", str():
                return Version(int(each) for each in value.split("."))
            case "version", Version():
                return value
            case "string", None:
                return ""
            case "string[]", list():
                return [self.text(each) for each in value]
            case "char[]", str():
                return list(value)
            case "scriptblock", Block():
                return value
            case "int", float():
                return int(value)
        return super().cast(kind, value)

    def _made(self, kind: str, rest: list[Any]) -> list[Any]:
        flat = rest[0] if len(rest) == 1 and isinstance(rest[0], list) else rest
        match kind, *flat:
            case "System.OperationCanceledException", str(text):
                return [_exception(DotnetError(f"OperationCanceledException: {text}"))]
            case "System.Security.Principal.WindowsPrincipal", "me":
                return [SimpleNamespace(kind="principal")]
            case "System.Security.Principal.SecurityIdentifier", str(sid):
                return [sid]
            case "System.Security.Principal.NTAccount", str(name):
                return [SimpleNamespace(account=name)]
            case ("System.Security.AccessControl.DirectorySecurity",):
                return [Security()]
            case "System.Security.AccessControl.FileSystemAccessRule", *words:
                return [tuple(words)]
            case "System.IO.DirectoryInfo", str(path):
                attributes = 1024 if self.path(path).is_symlink() else 16
                return [SimpleNamespace(folder=path, Attributes=attributes)]
            case "System.Uri", str(text):
                return [Uri(text)]
            case "System.Net.WebProxy", str(text):
                return [SimpleNamespace(address=text, Credentials=None)]
            case "System.Net.NetworkCredential", str(name), str(word):
                return [(name, word)]
        return super()._made(kind, rest)

    def member(self, target: Any, name: str) -> Any:
        """See `Dotnet`."""
        if isinstance(target, dict):
            for key, value in target.items():
                if key.lower() == name.lower():
                    return value
            if name == "Keys":
                return list(target)
        if isinstance(target, DotnetError):
            return getattr(_exception(target), name)
        if isinstance(target, Service) and hasattr(target, name):
            return getattr(target, name)
        return super().member(target, name)

    def set_member(self, target: Any, name: str, value: Any) -> None:
        """`target.name = value`."""
        if isinstance(target, dict):
            target[name] = value
        elif isinstance(target, SimpleNamespace):
            setattr(target, name, value)
        else:
            raise NotKnown(f"{target!r}.{name} ="[:80])

    def set_static(self, kind: str, name: str, value: Any) -> None:
        """`[kind]::name = value`."""
        if (kind, name) != ("Environment", "CurrentDirectory"):
            raise NotKnown(f"[{kind}]::{name} =")

    def static_member(self, kind: str, name: str) -> Any:
        """See `Dotnet`."""
        known = {
            ("Environment", "SystemDirectory"): f"{WINDOWS}\\System32",
            ("Environment", "Is64BitOperatingSystem"): True,
            ("Environment", "Is64BitProcess"): self.is_64_bit,
            ("Environment", "UserInteractive"): self.is_somebody_there,
            ("Console", "IsInputRedirected"): not self.is_somebody_there,
            ("Console", "Error"): SimpleNamespace(kind="error"),
            ("DateTimeOffset", "UtcNow"): datetime.now(UTC),
            ("Globalization.CultureInfo", "InvariantCulture"): "",
            ("StringComparison", "OrdinalIgnoreCase"): "i",
            ("System.IO.FileAttributes", "ReparsePoint"): 1024,
            ("System.Net.ServicePointManager", "SecurityProtocol"): 0,
            ("System.Security.Principal.WindowsBuiltInRole", "Administrator"): "administrator",
        }
        return known[kind, name] if (kind, name) in known else super().static_member(kind, name)

    def static_call(self, kind: str, name: str, arguments: list[Any]) -> Any:
        """See `Dotnet`."""
        handler = getattr(self, f"_{kind.rpartition('.')[2].lower()}_{name.lower()}", None)
        return handler(*arguments) if handler else super().static_call(kind, name, arguments)

    def _environment_getfolderpath(self, name: str) -> str:
        return {"ProgramFiles": PROGRAMS, "CommonApplicationData": DATA, "Windows": WINDOWS}[name]

    def _environment_getenvironmentvariable(self, name: str, _whose: str) -> str:
        return {"PROCESSOR_ARCHITECTURE": self.machine}[name]

    def _windowsidentity_getcurrent(self) -> str:
        return "me"

    def _guid_newguid(self) -> SimpleNamespace:
        return SimpleNamespace(guid=f"{len(self.steps):032x}")

    def _regex_ismatch(self, text: str, form: str) -> bool:
        return re.search(form.replace(r"\z", r"\Z"), text) is not None

    def _datetimeoffset_parse(self, text: str, _culture: str) -> datetime:
        return datetime.fromisoformat(text)

    def _uri_unescapedatastring(self, text: str) -> str:
        return unquote(text)

    def _path_combine(self, folder: str, name: str) -> str:
        return f"{folder.removesuffix(chr(92))}\\{name}" if folder else name

    def _path_getfilename(self, path: str) -> str:
        return path.rpartition("\\")[2]

    def _path_getfullpath(self, path: str) -> str:
        return path

    def _path_gettemppath(self) -> str:
        return f"{WINDOWS}\\Temp"

    def _directory_exists(self, path: str) -> bool:
        return self.path(path).is_dir()

    def _directory_createdirectory(self, path: str, security: Security | None = None) -> str:
        if not self.path(path).exists():
            self.step(f"make {path}")
            self.path(path).mkdir(parents=True)
            if security is not None:
                self.security[path] = security
        return path

    def _directory_delete(self, path: str, _recursive: bool) -> object:
        self.step(f"remove {path}")
        if any(self.path(path) in each.parents for each in self._locked):
            raise DotnetError("IOException: a file in it is in use")
        shutil.rmtree(self.path(path))
        return VOID

    def _directory_getdirectories(self, path: str, pattern: str) -> list[str]:
        return [f"{path}\\{each.name}" for each in self.path(path).glob(pattern) if each.is_dir()]

    def _file_exists(self, path: str) -> bool:
        return bool(path) and re.match(r"[A-Z]:\\", path) is not None and self.path(path).is_file()

    def _file_delete(self, path: str) -> object:
        self.step(f"remove {path}")
        self.path(path).unlink(missing_ok=True)
        return VOID

    def _file_copy(self, source: str, target: str, _replace: bool) -> object:
        self.step(f"copy to {target}")
        shutil.copyfile(self.path(source), self.path(target))
        return VOID

    def _file_move(self, source: str, target: str) -> object:
        self.step(f"move to {target}")
        if self.path(target).exists():
            raise DotnetError("IOException: the file is there")
        self.path(source).rename(self.path(target))
        return VOID

    def _file_readalltext(self, path: str) -> str:
        return self.path(path).read_text()

    def _file_writeallbytes(self, path: str, content: bytearray) -> object:
        self.step(f"write {path}")
        self.path(path).write_bytes(content)
        return VOID

    def _file_writealllines(self, path: str, lines: list[str]) -> object:
        self.path(path).write_text("".join(f"{line}\r\n" for line in lines))
        return VOID

    def _file_openread(self, path: str) -> Stream:
        return self._opened(self.path(path), "rb")

    def _file_open(self, path: str, mode: str, _access: str, _share: str) -> Stream:
        if mode == "Open":
            return self._opened(self.path(path), "rb")
        if self.path(path) in self._locked:
            raise DotnetError("IOException: another process uses it")
        if mode == "CreateNew" and self.path(path).exists():
            raise DotnetError("IOException: the file is there")
        self.step(f"open {path}")
        self._locked.add(self.path(path))
        return self._opened(self.path(path), "ab+" if mode == "OpenOrCreate" else "wb")

    def _webrequest_createhttp(self, address: str) -> SimpleNamespace:
        request = SimpleNamespace(address=address, Proxy=None)
        self.requests.append(request)
        return request

    def call(self, target: Any, name: str, arguments: list[Any]) -> Any:
        """See `Dotnet`."""
        if isinstance(target, Security):
            return self._call_security(target, name, arguments)
        if isinstance(target, SimpleNamespace):
            return self._call_object(target, name, arguments)
        match target, name, *arguments:
            case Stream(), "Dispose":
                self._locked.discard(Path(target.file.name))
                target.file.close()
                return VOID
            case dict(), "GetEnumerator":
                return [SimpleNamespace(Key=key, Value=value) for key, value in target.items()]
            case dict(), "Contains", str(key):
                return key in target
            case str(), "StartsWith", str(start), "i":
                return target.lower().startswith(start.lower())
            case str(), "EndsWith", str(end), _:
                return target.endswith(end)
            case str(), "Substring", int(at), int(count):
                return target[at : at + count]
            case str(), "Split", [sign], int(count):
                return target.split(sign, count - 1)
            case str(), "Trim":
                return target.strip()
            case DotnetError(), "GetBaseException":
                return target
        return super().call(target, name, arguments)

    def _call_security(self, target: Security, name: str, arguments: list[Any]) -> Any:
        match name, *arguments:
            case "SetOwner", str(owner):
                target.owner = owner
            case "GetOwner", _:
                return target.owner
            case "SetAccessRuleProtection", True, False:
                target.is_protected = True
            case "AddAccessRule", tuple(rule):
                target.rules.append(rule)
            case _:
                raise NotKnown(name)
        return VOID

    def _call_object(self, target: SimpleNamespace, name: str, arguments: list[Any]) -> Any:
        match target, name, *arguments:
            case SimpleNamespace(kind="error"), "WriteLine", str(text):
                self.said.append(text)
                return VOID
            case SimpleNamespace(kind="principal"), "IsInRole", "administrator":
                return self.is_administrator
            case SimpleNamespace(guid=text), "ToString", "N":
                return text
            case SimpleNamespace(values=values), "GetValue", str(key), default:
                return values.get(key, default)
            case SimpleNamespace(account="NT SERVICE\\AlongsideAgent"), "Translate", _ if self.services:
                return SERVICE_SID
            case SimpleNamespace(folder=path), "GetAccessControl":
                return self.security.setdefault(path, Security())
            case SimpleNamespace(folder=path), "SetAccessControl", Security() as wanted:
                self.security[path] = wanted
                return VOID
            case SimpleNamespace(address=address), "GetResponse":
                if address not in self.relay:
                    raise DotnetError("WebException: the relay does not answer.")
                return SimpleNamespace(content=self.relay[address])
            case SimpleNamespace(content=content), "GetResponseStream":
                kept = self.root / "answer"
                kept.write_bytes(content)
                return self._opened(kept, "rb")
            case SimpleNamespace(content=_), "Dispose":
                (self.root / "answer").unlink()
                return VOID
        raise NotKnown(f"{target!r}.{name}()"[:80])

    def cmdlet(self, name: str, given: Given, incoming: list[Any]) -> list[Any]:
        """See `Computer`."""
        return self.programs.cmdlet(name, given, incoming) or []


def _exception(cause: DotnetError) -> Any:
    """The exception with the members that the script reads."""
    if not hasattr(cause, "Data"):
        cause.Data = {}
        cause.HResult = 0
        cause.Message = str(cause).partition(": ")[2]
    return cause
