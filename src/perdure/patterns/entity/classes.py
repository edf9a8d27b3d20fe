"""What a class of entities may not be, said when it is defined."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from types import UnionType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union

if TYPE_CHECKING:
    from perdure.patterns.entity.handlers import Definition

NOT_JSON = (Decimal, Fraction, complex, bytes, bytearray, timedelta, PurePath)
"""What the SDK's converter can't carry in a plain dataclass."""

CARRIES_ALL = (
    "Use whole numbers or text, or a data converter that can (temporalio.contrib.pydantic), and say carries_all=True"
)


def check_members(cls: type, entity: type) -> None:
    """`entity` is `Entity`. Raises `TypeError`."""
    for base in cls.__mro__:
        if base in (object, Generic, entity) or (base is not cls and issubclass(base, entity)):
            continue
        for name, member in vars(base).items():
            _check_member(f"{cls.__name__}.{name}", name, member, entity)


def _check_member(where: str, name: str, member: Any, entity: type) -> None:
    if name == "__init__":
        raise TypeError(
            f"{where}: an entity has nothing but its state. Give the fields of the state defaults, or send the first "
            "message by `of(..., initial=...)`"
        )
    if _is_of_the_sdk(member):
        raise TypeError(
            f"{where}: what temporalio.workflow decorates would see no state and not wait for its turn. Decorate it "
            "with update, signal or query of perdure.patterns; `run` is the library's"
        )
    if not name.startswith("__") and (name == "run" or name in vars(entity)):
        raise TypeError(f"{where} would hide what Entity has by that name: give it another one")


def _is_of_the_sdk(member: Any) -> bool:
    """Whether a decorator of `temporalio.workflow` has left its mark on a function."""
    marks = getattr(getattr(member, "__func__", member), "__dict__", {})
    return any(
        name.startswith("__temporal_workflow") or type(value).__module__.startswith("temporalio.workflow")
        for name, value in marks.items()
    )


def check_state(cls: type, state_type: Any, carries_all: bool) -> None:
    """Raises `TypeError`."""
    if not carries_all and (wrong := list(not_json(state_type))):
        raise TypeError(f"{cls.__name__}: the SDK's converter can't carry {', '.join(wrong)}. {CARRIES_ALL}")
    try:
        parameters = inspect.signature(state_type).parameters.values()
    except (TypeError, ValueError):
        return
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if needed := [each.name for each in parameters if each.kind in named and each.default is each.empty]:
        raise TypeError(
            f"{cls.__name__} begins with {state_type.__name__}(), which needs {', '.join(needed)}: give each field a "
            "default, for entities whose first message comes without `initial`"
        )


def check_initial(name: str, state_type: Any, initial: Any) -> None:
    """What an entity of the class `name` is to begin with, if anything. Raises `TypeError`."""
    wanted = typing.get_origin(state_type) or state_type
    if initial is not None and isinstance(wanted, type) and not isinstance(initial, wanted):
        found = type(initial).__name__
        raise TypeError(
            f"initial is of the class {found}, and the state of {name} of {wanted.__name__}: give one of that"
        )


def check_types(cls: type, definition: Definition) -> None:
    """Of the arguments and the result of a handler. Raises `TypeError`."""
    parameters = [*inspect.signature(definition.fn).parameters][1:]
    for name, type_ in [*zip(parameters, definition.types, strict=True), ("its result", definition.result)]:
        if wrong := [each.lstrip(": ") for each in not_json(type_) if not _is_bytes(type_)]:
            where = f"{cls.__name__}.{definition.name}"
            raise TypeError(f"{where}: the SDK's converter can't carry {name} ({', '.join(wrong)}). {CARRIES_ALL}")


def _is_bytes(type_: Any) -> bool:
    """As they are, bytes are a payload of their own."""
    members = typing.get_args(type_) if typing.get_origin(type_) in (Union, UnionType) else (type_,)
    return set(members) <= {bytes, type(None)}


def is_pydantic(type_: Any) -> bool:
    """Whether it needs a converter for pydantic, which carries all."""
    return hasattr(type_, "__pydantic_fields__")


def not_json(type_: Any, path: str = "", seen: frozenset[Any] = frozenset()) -> Iterator[str]:
    """Fields of plain dataclasses that the SDK's converter can't carry."""
    origin = typing.get_origin(type_)
    if origin is not None or isinstance(type_, UnionType):
        for argument in typing.get_args(type_) if origin is not Union else type_.__args__:
            yield from not_json(argument, path, seen)
    elif isinstance(type_, type) and type_ not in seen:
        if issubclass(type_, NOT_JSON):
            yield f"{path}: {type_.__name__}"
        elif dataclasses.is_dataclass(type_) and not is_pydantic(type_):
            hints = typing.get_type_hints(type_)
            for each in dataclasses.fields(type_):
                yield from not_json(hints[each.name], f"{path}.{each.name}".lstrip("."), seen | {type_})


def state_type_of(cls: type) -> Any:
    """The S of `Entity[S]`, or None where a class leaves that to its subclasses. Raises `TypeError` if nobody says."""
    argument = _state_argument(cls)
    if isinstance(argument, str | typing.ForwardRef):
        raise TypeError(f"{cls.__name__}: define the class of the state before it, not as a string")
    if argument is None and not getattr(cls, "__parameters__", ()):
        raise TypeError(
            f"{cls.__name__} doesn't say what its state is: class {cls.__name__}(Entity[TheState]), for one"
        )
    return argument


def _state_argument(cls: type) -> Any:
    for base in cls.__mro__:
        for parent in getattr(base, "__orig_bases__", ()):
            for argument in typing.get_args(parent)[:1]:
                origin = typing.get_origin(parent)
                if isinstance(origin, type) and any(each.__dict__.get("_is_entity") for each in origin.__mro__):
                    return None if isinstance(argument, TypeVar) else argument
    return None
