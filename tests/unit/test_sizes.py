"""The code stays in pieces that can be read: no long file, no long function, no long list of parameters."""

import ast
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
FILES = sorted(SRC.rglob("*.py"))
MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_PARAMETERS = 300, 60, 8


def functions():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path.relative_to(SRC), node


def test_no_file_is_long():
    assert len(FILES) > 100
    assert not [(path, n) for path in FILES if (n := len(path.read_text("utf-8").splitlines())) > MOST_LINES]


def test_no_function_is_long():
    lengths = {(path, node.name): (node.end_lineno or 0) - node.lineno + 1 for path, node in functions()}
    assert not {name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION}


def test_no_function_has_many_parameters_but_commands():
    """Those of commands are a user's options."""
    many = []
    for path, node in functions():
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        n = len([name for name in names if name not in ("self", "cls")])
        if n > MOST_PARAMETERS and "cli" not in path.parts:
            many.append((path, node.name, n))
    assert not many
