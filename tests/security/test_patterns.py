"""Every regular expression of the project is linear by its form, so that no text from outside can make it backtrack."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.security.ambiguity import ambiguous

ROOT = Path(__file__).parents[2]
FOLDERS = ("functions", "shared", "runtime", "local", "admin")
METHODS = ("match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")
MADE_OF_ARGUMENTS = {
    "local/compute/contents.py": "of the folder of this machine's own state, escaped",
    "shared/domain/fields.py": "of what fields are declared with, each looked at by itself",
    "local/host/routes.py": "of the templates of the app's own routes; a parameter ends at a slash",
}
"""Patterns that are only known when they run, and of what they are made."""
PASSED_ON = {"past": "match"}
"""Functions that are given a pattern, and the method of it that they call."""
TABLES = {
    "shared/compute/kubernetes/diagnosis.py": lambda module: [words for words, *_ in module._REFUSALS],
    "shared/images/drivers/checking.py": lambda module: list(module._ODD),
    "shared/images/packages/uv.py": lambda module: list(module._MEANINGS),
}
"""Patterns that stand in tables and are searched for one by one."""


@dataclass(frozen=True)
class Use:
    """One pattern, as one method of it is used in one place."""

    where: str
    pattern: re.Pattern[Any]
    method: str


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file.relative_to(ROOT), ast.parse(file.read_text())


def called(node: ast.AST, owner: str) -> str | None:
    """The name of the method of `owner` that a node calls."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if name == owner:
            return method
        case ast.Call(func=ast.Name(id=function), args=[ast.Name(id=name), *_]) if name == owner:
            return PASSED_ON.get(function)
    return None


def imported(file: Path) -> ModuleType:
    return importlib.import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))


def evaluated(file: Path, node: ast.expr) -> Any:
    """The value of an expression in its module; raises NameError for one that is made of arguments."""
    return eval(compile(ast.Expression(node), str(file), "eval"), vars(imported(file)))


def compiled(call: ast.Call) -> ast.expr:
    """What `re.search(pattern, text, flags=…)` compiles."""
    flags = [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
    made = ast.Call(ast.parse("re.compile", mode="eval").body, [call.args[0], *flags], [])
    return ast.fix_missing_locations(ast.copy_location(made, call))


def uses() -> Iterator[Use]:
    """Each pattern with each method that is called of it, by its name anywhere, or of `re` where it stands."""
    everywhere = list(modules())
    named = {
        id(node.value): node.targets[0].id
        for _, tree in everywhere
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for table, patterns in TABLES.items():
        yield from (Use(f"{table} {text}", re.compile(text), "search") for text in patterns(imported(Path(table))))
    for file, tree in everywhere:
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id="Matching"), args=[text, *_]):
                    yield Use(f"{file}:{node.lineno}", re.compile(evaluated(file, text)), "fullmatch")
    calls = [(file, node) for file, tree in everywhere for node in ast.walk(tree) if called(node, "re")]
    for file, call in calls:
        method = called(call, "re")
        assert isinstance(call, ast.Call)
        if method not in (*METHODS, "compile"):
            continue
        try:
            pattern = evaluated(file, call if method == "compile" else compiled(call))
        except NameError:
            assert str(file) in {**MADE_OF_ARGUMENTS, **TABLES}, (
                f"{file}:{call.lineno} is made of arguments; name a compiled pattern"
            )
            continue
        name = named.get(id(call))
        found = {m for _, tree in everywhere for node in ast.walk(tree) if name and (m := called(node, name)) in METHODS}
        for used in sorted(found or {"search"}) if method == "compile" else [method]:
            yield Use(f"{file}:{call.lineno} {name or ''}", pattern, used)


USES = list(uses())


def test_patterns_are_found():
    assert len(USES) > 60


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.where.replace('/', '.')}-{use.method}")
def test_a_pattern_matches_in_linear_time(use):
    assert not ambiguous(use.pattern, use.method), f"{use.where}: {use.pattern.pattern} may backtrack in {use.method}"


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        ("(a+)+b", "fullmatch"),
        ("a*a*b", "match"),
        ("a*b?a*c", "match"),
        ("x*y", "search"),
        (r"(\b\w+://[^\s?#]*)[?#]", "sub"),
        (r"(\w+\s?)*$", "match"),
        ("(a|b|ab)*c", "match"),
    ],
)
def test_a_pattern_that_may_backtrack_is_found(pattern, method):
    assert ambiguous(re.compile(pattern), method)


@pytest.mark.parametrize(
    ("pattern", "method"), [("a*b*c", "match"), ("[^,]*,[^,]*,", "match"), ("x{1,9}y", "fullmatch"), (r"\Ax*y", "search")]
)
def test_a_pattern_that_cannot_backtrack_is_not(pattern, method):
    assert not ambiguous(re.compile(pattern), method)
