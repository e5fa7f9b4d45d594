"""The members of .NET that the checks of `verify.ps1` use, as documented; whatever else is asked for raises.

Hashes and elliptic curves are those of `cryptography`. A void method leaves nothing, every other its result.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import IO, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

VOID = object()


class NotKnown(Exception):
    """The script asks for something that this stand-in does not have."""


class DotnetError(Exception):
    """An exception of .NET, such as of a malformed text; the script has to end on it."""


class ArrayList(list[Any]):
    """A list that PowerShell hands on as one object when a comma stands before it."""


class Groups(list[Any]):
    """GroupCollection: a group that is not there is one that matched nothing."""


class Sha256:
    """SHA256CryptoServiceProvider."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()


class EcdsaCng:
    """ECDsaCng with a public key."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key

    def verify(self, digest: bytearray, signature: bytearray) -> bool:
        """VerifyHash: the signature is r and s, 32 bytes each."""
        numbers = [int.from_bytes(part) for part in (signature[:32], signature[32:])]
        try:
            self._key.verify(
                encode_dss_signature(*numbers), bytes(digest), ec.ECDSA(Prehashed(hashes.SHA256()))
            )
        except InvalidSignature:
            return False
        return True


class Stream:
    """A FileStream."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file


def _imported(blob: bytearray, form: str) -> ec.EllipticCurvePublicKey:
    # BCRYPT_ECCKEY_BLOB: magic "ECS1", the length of a coordinate, X, Y
    if form != "EccPublicBlob" or blob[:8] != b"ECS1\x20\0\0\0" or len(blob) != 72:
        raise DotnetError("CryptographicException: the blob")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + bytes(blob[8:]))
    except ValueError as exc:
        raise DotnetError(f"CryptographicException: {exc}") from None


def _copy(source: bytearray, at: int, target: bytearray, to: int, count: int) -> object:
    if min(at, to, count) < 0 or at + count > len(source) or to + count > len(target):
        raise DotnetError("ArgumentException: Array.Copy beyond an end")
    target[to : to + count] = source[at : at + count]
    return VOID


def _from_base64(text: str) -> bytearray:
    try:
        return bytearray(base64.b64decode("".join(text.split()), validate=True))
    except binascii.Error as exc:
        raise DotnetError(f"FormatException: {exc}") from None


def _matches(text: str, pattern: str) -> list[SimpleNamespace]:
    pattern = pattern.replace(r"\z", r"\Z")
    return [_match(found) for found in re.finditer(pattern, text)]


def _match(found: "re.Match[str] | None") -> SimpleNamespace:
    if found is None:
        return SimpleNamespace(Success=False, Value="", Groups=Groups())
    groups = [SimpleNamespace(Value=each or "") for each in (found[0], *found.groups())]
    return SimpleNamespace(Success=True, Value=found[0], Groups=Groups(groups))


_CONSTANTS = {
    ("System.IO.SeekOrigin", "Begin"): "Begin",
    ("StringComparer", "Ordinal"): "Ordinal",
    ("StringComparison", "Ordinal"): "Ordinal",
    ("System.Text.Encoding", "ASCII"): "ascii",
    ("System.Text.Encoding", "UTF8"): "utf-8",
    ("System.Security.Cryptography.CngKeyBlobFormat", "EccPublicBlob"): "EccPublicBlob",
}

_STATIC: dict[tuple[str, str], Callable[..., Any]] = {
    ("Array", "Copy"): _copy,
    ("BitConverter", "ToString"): lambda data: "-".join(f"{each:02X}" for each in data),
    ("Convert", "FromBase64String"): _from_base64,
    ("Convert", "ToInt64"): lambda text, base: int(text, base),
    ("Math", "Min"): min,
    ("regex", "Match"): lambda text, form: _match(re.search(form.replace(r"\z", r"\Z"), text)),
    ("regex", "Matches"): _matches,
    ("System.Security.Cryptography.CngKey", "Import"): _imported,
}


def _read(stream: Stream, block: bytearray, at: int, count: int) -> int:
    found = stream.file.read(count)
    block[at : at + len(found)] = found
    return len(found)


def _add(table: dict[str, Any], key: str, value: Any) -> object:
    if key in table:
        raise DotnetError("ArgumentException: the key is there")
    table[key] = value
    return VOID


def _append(items: ArrayList, value: Any) -> int:
    items.append(value)
    return len(items) - 1


def _hashed(sha: Sha256, data: bytearray, at: int, count: int, *_: Any) -> int:
    sha._hash.update(data[at : at + count])
    return count


def _written(stream: Stream, data: bytearray, at: int, count: int) -> object:
    stream.file.write(data[at : at + count])
    return VOID


_METHODS: dict[tuple[type, str], Callable[..., Any]] = {
    (str, "Replace"): lambda text, old, new: text.replace(old, new),
    (str, "ToLowerInvariant"): lambda text: text.lower(),
    (str, "Trim"): lambda text, *chars: text.strip("".join(chars)),
    (str, "TrimEnd"): lambda text, *chars: text.rstrip("".join(chars)),
    (str, "Contains"): lambda text, part: part in text,
    (str, "StartsWith"): lambda text, part, _how: text.startswith(part),
    # on the two encodings, which stand here as their names
    (str, "GetString"): lambda name, data: data.decode(name, "replace"),
    (str, "GetBytes"): lambda name, text: bytearray(text.encode(name, "replace")),
    (dict, "Add"): _add,
    (dict, "ContainsKey"): lambda table, key: key in table,
    (ArrayList, "Add"): _append,
    (Stream, "Seek"): lambda stream, offset, _origin: stream.file.seek(offset),
    (Stream, "Read"): _read,
    (Stream, "Write"): _written,
    (Sha256, "ComputeHash"): lambda _sha, data: bytearray(hashlib.sha256(data).digest()),
    (Sha256, "TransformBlock"): _hashed,
    (Sha256, "TransformFinalBlock"): lambda sha, data, at, count: bytearray(data[at : at + count]),
    (EcdsaCng, "VerifyHash"): EcdsaCng.verify,
}

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "%": lambda left, right: left % right,
    "-lt": lambda left, right: left < right,
    "-le": lambda left, right: left <= right,
    "-gt": lambda left, right: left > right,
    "-ge": lambda left, right: left >= right,
}


class Dotnet:
    """What the running script finds in .NET and in the few cmdlets of the checks."""

    def command(self, name: str, arguments: list[Any]) -> list[Any]:
        """The output of a cmdlet."""
        match name.lower(), *arguments:
            case "convertfrom-json", str(text):
                try:
                    return [json.loads(text, object_hook=lambda found: SimpleNamespace(**found))]
                except ValueError as exc:
                    raise DotnetError(f"ArgumentException: {exc}") from None
            case "new-object", str(kind), *rest:
                return self._made(kind, rest)
        raise NotKnown(name)

    def _made(self, kind: str, rest: list[Any]) -> list[Any]:
        match kind, *rest:
            case "byte[]", int(count):
                return [bytearray(count)]
            case "System.Collections.Hashtable", "Ordinal":
                return [{}]
            case ("System.Collections.ArrayList",):
                return [ArrayList()]
            case ("System.Security.Cryptography.SHA256CryptoServiceProvider",):
                return [Sha256()]
            case "System.Security.Cryptography.ECDsaCng", ec.EllipticCurvePublicKey() as key:
                return [EcdsaCng(key)]
            case "System.IO.InvalidDataException", str(text):
                return [DotnetError(f"InvalidDataException: {text}")]
            case _:
                raise NotKnown(f"New-Object {kind}")

    def cast(self, kind: str, value: Any) -> Any:
        """`[kind]value`, and what a parameter of this kind makes of its argument."""
        match kind.lower(), value:
            case "void", _:
                return VOID
            case "byte[]", list() | bytearray():
                return bytearray(value)
            case (("int" | "long"), int()):
                return value
            case "char", int():
                return chr(value)
            case "string", str() | int():
                return str(value)
            case "hashtable", dict():
                return value
            case "system.io.stream", None | Stream():
                return value
        raise NotKnown(f"[{kind}]{value!r}"[:80])

    def operator(self, word: str, left: Any, right: Any) -> Any:
        """Between two numbers or two texts; PowerShell would change a right side of another type."""
        if word in {"-ceq", "-cne"}:
            if type(left) is not type(right) and None not in (left, right):
                raise NotKnown(f"{left!r} {word} {right!r}"[:80])
            return (left == right) is (word == "-ceq")
        if isinstance(left, str) and word == "+":
            return left + self.text(right)
        if word not in _OPERATORS or type(left) is not int or type(right) is not int:
            raise NotKnown(f"{left!r} {word} {right!r}"[:80])
        return _OPERATORS[word](left, right)

    def text(self, value: Any) -> str:
        """The value inside of a text."""
        if type(value) not in (int, str):
            raise NotKnown(f"the text of {value!r}"[:80])
        return str(value)

    def element(self, target: Any, index: Any) -> Any:
        """`target[index]`; a key that is not there is $null."""
        if isinstance(target, dict):
            return target.get(index)
        if isinstance(target, Groups) and index >= len(target):
            return SimpleNamespace(Success=False, Value="")
        if not isinstance(target, list | bytearray) or not isinstance(index, int):
            raise NotKnown(f"{target!r}[{index!r}]"[:80])
        try:
            return target[index]
        except IndexError as exc:
            raise DotnetError(f"IndexOutOfRangeException: {exc}") from None

    def member(self, target: Any, name: str) -> Any:
        """`target.name`."""
        match target, name:
            case SimpleNamespace(), _ if hasattr(target, name):
                return getattr(target, name)
            case SimpleNamespace(), _:
                raise DotnetError(f"PropertyNotFoundStrict: {name}")
            case ((str() | bytearray()), "Length"):
                return len(target)
            case ((dict() | list()), "Count"):
                return len(target)
            case Stream(), "Length":
                here = target.file.tell()
                length = target.file.seek(0, 2)
                target.file.seek(here)
                return length
            case Sha256(), "Hash":
                return bytearray(target._hash.digest())
        raise NotKnown(f"{target!r}.{name}"[:80])

    def static_member(self, kind: str, name: str) -> Any:
        """`[kind]::name`."""
        try:
            return _CONSTANTS[kind, name]
        except KeyError:
            raise NotKnown(f"[{kind}]::{name}") from None

    def static_call(self, kind: str, name: str, arguments: list[Any]) -> Any:
        """`[kind]::name(arguments)`."""
        try:
            method = _STATIC[kind, name]
        except KeyError:
            raise NotKnown(f"[{kind}]::{name}()") from None
        return method(*arguments)

    def call(self, target: Any, name: str, arguments: list[Any]) -> Any:
        """`target.name(arguments)`."""
        try:
            method = _METHODS[type(target), name]
        except KeyError:
            raise NotKnown(f"{target!r}.{name}()"[:80]) from None
        return method(target, *arguments)
