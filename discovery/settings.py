"""The settings of a method, read from its source: listing flags imports no method and no torch.

A method is a class statement with annotations, defaults and a docstring, all of which are in its
file; aliases of types are followed to the module that defines them. Methods of third parties, whose
source may be anything, are imported instead; for the built-in ones a test holds the two equal.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib.util
import inspect
import re
import typing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from discovery.base import FAMILIES, TOOL, Method

__all__ = ["Description", "Setting", "described", "read_method"]


@dataclass(frozen=True)
class Setting:
    """One field of a method.

    Attributes:
        name: Of the field.
        type: Its type, resolved.
        default: Its value where nothing is given.
        help: Its lines in the docstring's Attributes.
    """

    name: str
    type: Any
    default: Any
    help: str


@dataclass(frozen=True)
class Description:
    """Description of a method for the command.

    Attributes:
        family: The base class that declares the arguments of `discover`.
        settings: The fields, in order.
        executes: Whether it has a field `executor`, for where its work is done.
    """

    family: type[Method]
    settings: tuple[Setting, ...]
    executes: bool = False


def described(method: type[Method]) -> Description:
    """The description of a method that is imported."""
    family = next(base for base in FAMILIES if issubclass(method, base))
    hints, helps = typing.get_type_hints(method), dict[str, str]()
    for kind in reversed(method.__mro__):
        helps |= _helps(inspect.cleandoc(kind.__doc__ or ""))
    return Description(
        family,
        tuple(
            Setting(f.name, hints[f.name], f.default, helps.get(f.name, ""))
            for f in dataclasses.fields(method)
            if not f.metadata.get(TOOL)
        ),
        any(f.name == "executor" for f in dataclasses.fields(method)),
    )


def read_method(location: str) -> Description:
    """The description of a method that is not imported.

    Args:
        location: `module:Class` of a package whose source files are at hand.

    Example:
        >>> found = read_method("discovery.unsupervised.sefa:SeFa")
        >>> found.family.__name__, found.settings[1].name, found.settings[1].default
        ('GeneratorMethod', 'layers', 'all')
    """
    module, _, name = location.partition(":")
    statement = _definition(module, name)
    assert isinstance(statement, ast.ClassDef)
    # Of `Paths[Warp]` the class is Paths.
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in statement.bases]
    parents = [name for name in map(ast.unparse, bases) if name != "Generic"]
    helps = _helps(ast.get_docstring(statement) or "")
    executes = any(
        isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == "executor"
        for line in statement.body
    )
    own = tuple(
        Setting(
            line.target.id,
            _type(module, line.annotation),
            ast.literal_eval(line.value),
            helps.get(line.target.id, ""),
        )
        for line in statement.body
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and line.value is not None
        and ast.unparse(line.value) != "tool()"
        and not ast.unparse(line.annotation).startswith("ClassVar")
    )
    families = [family for family in FAMILIES if family.__name__ in parents]
    if families:
        return Description(families[0], own, executes)
    inherited = [read_method(f"{_home(module, parent)}:{parent}") for parent in reversed(parents)]
    found = [setting for parent in inherited for setting in parent.settings]
    merged = {setting.name: setting for setting in (*found, *own)}
    executes = executes or any(parent.executes for parent in inherited)
    return Description(inherited[0].family, tuple(merged.values()), executes)


@cache
def _source(module: str) -> ast.Module:
    """The syntax tree of a module, found without importing its package."""
    top, *parts = module.split(".")
    spec = importlib.util.find_spec(top)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0], *parts)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _definition(module: str, name: str) -> ast.stmt | None:
    """The statement of a module that defines a class or a type, if there is one."""
    for statement in _source(module).body:
        match statement:
            case ast.ClassDef(name=found) if found == name:
                return statement
            case ast.Assign(targets=[ast.Name(id=found)]) if found == name:
                return statement
    return None


def _home(module: str, name: str) -> str:
    """The module that defines a name which another module uses."""
    if _definition(module, name) is not None:
        return module
    for statement in _source(module).body:
        match statement:
            case ast.ImportFrom(module=str(source)) if name in {a.name for a in statement.names}:
                return _home(source, name)
    raise NameError(f"{module} neither defines nor imports {name}")


def _type(module: str, annotation: ast.expr) -> Any:
    """The type that an annotation stands for, its aliases looked up where they are defined."""
    known: dict[str, Any] = {"Literal": typing.Literal}
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name) and node.id not in known and not hasattr(builtins, node.id):
            home = _home(module, node.id)
            alias = _definition(home, node.id)
            assert isinstance(alias, ast.Assign)
            known[node.id] = _type(home, alias.value)
    return eval(ast.unparse(annotation), known)


def _helps(docstring: str) -> dict[str, str]:
    """The lines of a docstring's Attributes section, by field."""
    found = re.findall(r"^ {4}(\w+): (.+(?:\n {6,}\S.*)*)", docstring, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
