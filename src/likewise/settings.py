"""Settings: a frozen dataclass whose fields have a type, a default and a string below them.

The command line, the documentation and saved runs read that one place; pydantic checks the values that are given.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar, get_type_hints

from likewise.errors import InputError, unknown

__all__ = ["Setting", "build_settings", "settings_of"]

SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True)
class Setting:
    """One field of a dataclass of settings, for the command line and the docs.

    Args:
        name: Name of the field.
        annotation: Its type.
        default: What holds where it is not given.
        help: What it does, with unit and range: the string below the field.
    """

    name: str
    annotation: Any
    default: Any
    help: str


@cache
def settings_of(settings_type: type) -> tuple[Setting, ...]:
    """Return the fields of a dataclass of settings with the strings that document them.

    Raises:
        TypeError: A field has no default or no string below it.
    """
    hints = get_type_hints(settings_type)
    helps: dict[str, str] = {}
    for kind in reversed([one for one in settings_type.__mro__ if dataclasses.is_dataclass(one)]):
        helps |= _strings_below(kind)
    found = []
    for field in dataclasses.fields(settings_type):
        if field.name not in helps or field.default is dataclasses.MISSING:
            raise TypeError(
                f"{settings_type.__qualname__}.{field.name} needs a default and a string that documents it."
            )
        found.append(Setting(field.name, hints[field.name], field.default, helps[field.name]))
    return tuple(found)


def _strings_below(settings_type: type) -> dict[str, str]:
    """Return the string below each field that this class itself declares."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(settings_type)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        node.target.id: " ".join(str(below.value.value).split())
        for node, below in pairwise(body)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }


def build_settings(settings_type: type[SettingsT], values: Mapping[str, Any], *, of: str) -> SettingsT:
    """Build a dataclass of settings, checking names, types and ranges of the values.

    Args:
        settings_type: The dataclass; its ``__post_init__`` may raise ``InputError`` for a value out of range.
        values: What was given, by name; the rest keeps its default.
        of: Whose settings they are, for messages: "simcse", "knn".

    Raises:
        InputError: An unknown name (the nearest is named), or a value of the wrong type or range.
    """
    import pydantic

    names = [field.name for field in dataclasses.fields(settings_type)]  # type: ignore[arg-type]  # a dataclass
    for name in values:
        if name not in names:
            raise unknown(f"setting of {of}", name, names)
    try:
        return pydantic.TypeAdapter(settings_type).validate_python(dict(values))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            raise cause from None
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{name} is {first['input']!r}: {first['msg'].lower()}.") from error
