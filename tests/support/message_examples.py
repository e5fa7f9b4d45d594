"""A message of every kind that there is, made from what its type says."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

import protocol.messages
from agent.desktop import ipc_messages
from agent.exec import messages as exec_messages
from protocol.codec import Codec
from protocol.messages import screen


def _families() -> Iterator[tuple[str, Codec[Any]]]:
    modules = [ipc_messages, exec_messages]
    for found in pkgutil.iter_modules(protocol.messages.__path__, "protocol.messages."):
        modules.append(importlib.import_module(found.name))
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, Codec):
                yield f"{module.__name__}.{name}", value


FAMILIES = dict(_families())
"""Every codec, by the names of its module and itself."""


# where the least value of each field makes no message
FITTING: dict[type[Any], dict[str, object]] = {
    screen.Copy: {"to_x": 1},
    screen.VideoFrame: {"codec": "jpeg", "is_key": True},
}


def kinds(codec: Codec[Any]) -> list[type[Any]]:
    """The messages of this family."""
    return kinds_of(codec._decoder.type)


def kinds_of(family: Any) -> list[type[Any]]:
    """The structs of this union, or the one that it is."""
    described = msgspec.inspect.type_info(family)
    several = described.types if isinstance(described, msgspec.inspect.UnionType) else (described,)
    return [one.cls for one in several if isinstance(one, msgspec.inspect.StructType)]


def example(described: Any) -> Any:
    """A built-in value that fits this description."""
    match described:
        case msgspec.inspect.StructType():
            fields = {field.encode_name: example(field.type) for field in described.fields}
            fields |= FITTING.get(described.cls, {})
            if described.array_like:
                return list(fields.values())
            return fields | ({described.tag_field: described.tag} if described.tag_field else {})
        case msgspec.inspect.UnionType():
            return example(described.types[0])
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return [example(described.item_type)] * (described.min_length or 0)
        case msgspec.inspect.DictType():
            return {}
        case msgspec.inspect.IntType():
            return max(described.ge or 0, 0 if described.gt is None else described.gt + 1)
        case msgspec.inspect.FloatType():
            return 1.0
        case msgspec.inspect.BoolType():
            return False
        case msgspec.inspect.BytesType():
            return b"b" * (described.min_length or 0)
        case msgspec.inspect.LiteralType():
            return described.values[0]
        case msgspec.inspect.EnumType():
            return next(iter(described.cls)).value
        case msgspec.inspect.NoneType():
            return None
        case msgspec.inspect.StrType():
            return _text(described)
    raise AssertionError(f"no example of {described}")


def _text(described: Any) -> str:
    for text in ("", "1234", "a" * 64, "0" * 64, "avc1.42E01F", "x" * (described.min_length or 0)):
        try:
            return str(msgspec.convert(text, _constrained(described)))
        except msgspec.ValidationError:
            continue
    raise AssertionError(f"no example of {described}")


def _constrained(described: Any) -> Any:
    bounds = {name: getattr(described, name) for name in ("min_length", "max_length", "pattern")}
    return Annotated[str, msgspec.Meta(**bounds)] if any(bounds.values()) else str
