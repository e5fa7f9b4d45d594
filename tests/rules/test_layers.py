"""The import rules of the house, checked on the syntax tree and, where it matters most, on a live import."""

import ast
import subprocess
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "protocol": {"protocol"},
    "agent": {"agent", "protocol"},
    "relay": {"relay", "protocol"},
    "technician_client": {"technician_client", "protocol"},
}
OURS = sorted(path for top in MAY_IMPORT for path in (ROOT / top).rglob("*.py"))
SHELL_ONLY = {
    "asyncio",
    "socket",
    "ssl",
    "threading",
    "time",
    "aiohttp",
    "websockets",
    "structlog",
    "logging",
}
CAPABILITIES = {"screen", "input", "clipboard", "files", "commands", "chat", "diagnostics"}

# what would let a relay read, forge or start a session
SESSION_MODULES = [
    "protocol.tunnel",
    "protocol.pairing",
    "protocol.support_code",
    "protocol.code_life",
    "protocol.grants",
    "protocol.channels",
    "protocol.consent",
    "protocol.session",
    *(
        f"protocol.messages.{name}"
        for name in ("session", "consent", "channel", "pairing", *sorted(CAPABILITIES))
    ),
    "protocol.aio.tunnel_io",
    "protocol.aio.channel_io",
]
CAPTURE_LIBRARIES = {"mss", "numpy", "zstandard", "av", "pixelflux", "dxcam"}
WINDOW_LIBRARIES = {"tkinter", "pystray", "pynput"}
RISKY = {"pickle", "marshal", "shelve"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that this file imports anywhere, with `from x import y` given as both x and x.y."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return frozenset(names)


def top_level_imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    names = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module}


def tops(names: Collection[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", OURS, ids=named)
def test_a_file_imports_only_downwards(path):
    top = path.relative_to(ROOT).parts[0]
    names = imports(path)
    assert not (tops(names) & MAY_IMPORT.keys()) - MAY_IMPORT[top]
    is_shell = "aio" in path.parts or path.name == "runtime.py"
    if top == "protocol" and not is_shell:
        assert not tops(names) & SHELL_ONLY
    if top == "protocol" and not is_shell:
        assert not any(name.startswith("protocol.aio") for name in names)


@pytest.mark.parametrize("path", [p for p in OURS if "relay" in p.relative_to(ROOT).parts[:1]], ids=named)
def test_a_file_of_the_relay_imports_nothing_of_a_session(path):
    assert not imports(path) & set(SESSION_MODULES)


@pytest.mark.real
def test_a_started_relay_has_nothing_of_a_session_in_memory():
    """The relay's whole import graph, as Python sees it, and not only its own files."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "relay").rglob("*.py")
        if "migrations" not in path.parts and path.name != "__main__.py"
    ]
    program = f"import sys, importlib\nfor n in {modules!r}: importlib.import_module(n)\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT)
    assert not set(loaded.stdout.decode().split()) & {*SESSION_MODULES, "agent", "technician_client"}


@pytest.mark.parametrize("path", [p for p in OURS if "capabilities" in p.parts], ids=named)
def test_a_capability_imports_no_other_capability_and_no_platform_back_end(path):
    parts = path.relative_to(ROOT).parts
    own = parts[parts.index("capabilities") + 1].removesuffix(".py")
    program = parts[0]
    for name in imports(path):
        words = name.split(".")
        if words[:2] == [program, "capabilities"] and len(words) > 2:
            assert words[2] == own or words[2] not in CAPABILITIES, name
        assert words[:2] != ["agent", "platform"] or words[2:3] in (["interfaces"], ["select"]), name


@pytest.mark.parametrize("path", [p for p in OURS if "agent" in p.relative_to(ROOT).parts[:1]], ids=named)
def test_only_the_screen_worker_has_capture_and_only_the_desktop_process_has_windows(path):
    parts = path.relative_to(ROOT).parts
    is_worker = parts[1:3] == ("capabilities", "screen") or parts[1] == "platform"
    names = tops(imports(path))
    if not is_worker:
        assert not names & CAPTURE_LIBRARIES
    if parts[1] != "desktop":
        assert not names & WINDOW_LIBRARIES


@pytest.mark.parametrize("path", [p for p in OURS if "agent" in p.relative_to(ROOT).parts[:1]], ids=named)
def test_only_the_updater_imports_what_reads_the_list_of_updates(path):
    """The service is long-lived and stays small; what the updater fetches never meets its memory."""
    if path.relative_to(ROOT).parts[1] != "update":
        assert not tops(imports(path)) & {"tuf", "securesystemslib"}


@pytest.mark.parametrize(
    "path", [p for p in OURS if "technician_client" in p.relative_to(ROOT).parts[:1]], ids=named
)
def test_the_technicians_program_leaves_pixels_to_the_page(path):
    """What an agent compressed is inflated in the browser's sandbox, never in the process with the key."""
    assert not tops(imports(path)) & CAPTURE_LIBRARIES


@pytest.mark.parametrize("path", [p for p in OURS if "platform" in p.parts], ids=named)
def test_a_platform_back_end_imports_its_bindings_only_when_it_is_opened(path):
    assert not tops(top_level_imports(path)) & (CAPTURE_LIBRARIES | WINDOW_LIBRARIES | {"xcffib"})


@pytest.mark.parametrize("path", OURS, ids=named)
def test_nothing_that_turns_data_into_code_is_imported(path):
    assert not tops(imports(path)) & RISKY


@pytest.mark.parametrize("path", [p for p in OURS if p.name == "app.py"], ids=named)
def test_nothing_but_the_entry_points_imports_an_app(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    users = {named(other) for other in OURS if other != path and module in imports(other)}
    top = path.relative_to(ROOT).parts[0]
    may = (f"{top}/cli", f"{top}/app.py", named(path.parent / "__main__.py"))
    assert all(user.startswith(may) for user in users), users
