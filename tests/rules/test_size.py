"""Files and functions stay small enough to be read."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("agent", "protocol", "relay", "technician_client", "scripts", "tests")
PYTHON = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
PAGES = sorted(p for p in (ROOT / "technician_client").rglob("*.js"))
FILE_LIMIT_LINES = 500
FUNCTION_LIMIT_LINES = 50
PARAMETER_LIMIT = 5


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*PYTHON, *PAGES], ids=named)
def test_a_file_has_at_most_500_lines(path):
    assert len(path.read_text("utf-8").splitlines()) <= FILE_LIMIT_LINES


@pytest.mark.parametrize("path", PYTHON, ids=named)
def test_a_function_has_at_most_50_lines_of_code(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            is_documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            start = node.body[1].lineno if is_documented and len(node.body) > 1 else first.lineno
            length = (node.end_lineno or start) - start + 1
            assert length <= FUNCTION_LIMIT_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", [p for p in PYTHON if "tests" not in p.parts], ids=named)
def test_a_public_name_has_a_docstring(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "the module"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
