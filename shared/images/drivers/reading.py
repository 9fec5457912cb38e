"""A program that reads a driver, and runs nothing of it: is it Python, and does it have a `run`?

It is run by its path, with nothing of the app to import: `reading.py FILE`. What it prints is a JSON object: `error` and
`line` of what is no Python; or `missing`, the functions of a driver without `run`, and `inside` and `line` of a `run` that
lies within one of them; or nothing, when there is nothing to object to.
"""

import ast
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

_ENTRIES = frozenset({"run", "run_batch"})
"""Either will do, as for the scoring server: `slipway_server/drivers/driver.py`."""
_DYNAMIC = frozenset({
    "__builtins__", "__dict__", "__getattr__", "__setattr__", "_getframe", "currentframe", "eval", "exec", "globals",
    "locals", "modules", "setattr", "vars",
})  # fmt: skip
"""Whoever uses one of these may bind names that are written nowhere."""
_MOST_NAMES = 8


def objections(content: bytes) -> dict[str, object]:
    """What is wrong with that driver. What may be right is passed: only what is certain is said."""
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(content, "driver", "exec", dont_inherit=True)  # more than a parser knows: 'return' outside function
            tree = ast.parse(content)
    except SyntaxError as error:
        return {"error": error.msg, "line": error.lineno}
    return {} if _may_have_run(tree) else {"missing": _functions(tree), **_misplaced(tree)}


def _may_have_run(tree: ast.Module) -> bool:
    return not _ENTRIES.isdisjoint(_bound(tree)) or any(map(_may_bind, ast.walk(tree)))


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that are bound in the scope of that node."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
            return
        case ast.Name(id=name, ctx=ast.Store()) | ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
            yield name
        case ast.alias(name=name):
            yield name.partition(".")[0]
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _may_bind(node: ast.AST) -> bool:
    """Whether that may bind `run` from elsewhere: another scope, another module, or a name made of text."""
    match node:
        case ast.Global(names=names):
            return not _ENTRIES.isdisjoint(names)
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name) if name in _DYNAMIC:
            return True
        case ast.alias(name=name):
            return name == "*" or name in _DYNAMIC
        case ast.Constant(value=str(text)):
            return text in _ENTRIES
        case _:
            return False


def _functions(tree: ast.Module) -> list[str]:
    defined = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return list(dict.fromkeys(defined))[:_MOST_NAMES]


def _misplaced(tree: ast.Module) -> dict[str, object]:
    """A `run` that is there, where it is not found."""
    for outer in ast.walk(tree):
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for inner in outer.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name in _ENTRIES:
                    return {"inside": outer.name, "line": inner.lineno}
    return {}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(objections(Path(sys.argv[1]).read_bytes())))
