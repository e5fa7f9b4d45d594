"""Consent is a type: who may hold what makes grants, and what every capability has to say of itself."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import agent.capabilities
from agent.session_channels import GrantedChannel
from protocol.channels import CHANNEL_TERMS
from protocol.grantables import Grantable

ROOT = Path(__file__).parents[2]
PRODUCT = sorted(
    path for top in ("agent", "protocol", "relay", "technician_client") for path in (ROOT / top).rglob("*.py")
)
BROKER = "agent/session_consent.py"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def names_in(path: Path) -> set[str]:
    """Every name, attribute and imported name of a file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Name():
                found.add(node.id)
            case ast.Attribute():
                found.add(node.attr)
            case ast.ImportFrom():
                found |= {alias.name for alias in node.names}
            case ast.Constant(value=str()):
                found.add(node.value)  # getattr by a name
            case _:
                pass
    return found


def users_of(*names: str) -> set[str]:
    """The files of the product that name all of these."""
    texts = {path: path.read_text("utf-8") for path in PRODUCT}
    near = [path for path, text in texts.items() if all(name in text for name in names)]
    return {named(path) for path in near if set(names) <= names_in(path)}


def test_con_02_p4_only_the_broker_can_make_a_grant() -> None:
    assert users_of("GrantBook") == {BROKER}
    assert users_of("Grant", "_MINT") == {"protocol/grants.py"}


def capabilities() -> list[type]:
    """Every class of `agent/capabilities` that serves a channel."""
    found = set()
    for module in pkgutil.walk_packages(agent.capabilities.__path__, "agent.capabilities."):
        if module.name.endswith("._picture"):
            continue  # compiled where a compiler is; it has no Python classes
        for kind in vars(importlib.import_module(module.name)).values():
            is_ours = inspect.isclass(kind) and kind.__module__ == module.name
            if is_ours and "channel" in inspect.signature(getattr(kind, "serve", list.append)).parameters:
                found.add(kind)
    return sorted(found, key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", capabilities(), ids=lambda kind: kind.__name__)
def test_con_02_p4_every_handler_names_the_grant_that_it_needs(kind: type) -> None:
    if getattr(kind, "_is_protocol", False):
        return
    assert isinstance(kind.grantable, Grantable)
    assert kind.name == kind.grantable.capability
    assert kind.__module__.split(".")[2] == kind.name


def test_p4_the_handlers_are_those_of_the_channels_and_of_the_grants() -> None:
    names = [kind.name for kind in capabilities() if not getattr(kind, "_is_protocol", False)]
    assert sorted(names) == sorted(CHANNEL_TERMS) == sorted(each.capability for each in Grantable)


def test_p4_what_the_agent_builds_is_what_was_looked_at() -> None:
    """A handler that is not in `agent/capabilities` would be found here."""
    tree = ast.parse((ROOT / "agent" / "app.py").read_text("utf-8"))
    [built] = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "built"
    ]
    assert isinstance(built, ast.List)
    names = {
        each.func.id for each in built.elts if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)
    }
    assert len(names) == len(built.elts)
    kinds = {kind.__name__ for kind in capabilities() if not getattr(kind, "_is_protocol", False)}
    assert names == kinds


def test_p4_a_channel_of_the_product_always_goes_back_to_the_book() -> None:
    """There is one class that a handler can be given, and both of its directions ask for the grant."""
    near = [path for path in PRODUCT if "def require(" in path.read_text("utf-8")]
    channels = [
        (named(path), node.name)
        for path in near
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
        and {"send", "receive", "require"} <= {each.name for each in node.body if hasattr(each, "name")}
    ]
    assert channels == [
        ("agent/capabilities/base.py", "CapabilityChannel"),
        ("agent/session_channels.py", "GrantedChannel"),
    ]
    for way in (GrantedChannel.send, GrantedChannel.receive):
        assert "self.require(self._grantable)" in inspect.getsource(way)
