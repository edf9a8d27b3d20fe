"""Deep copies of states: what `copy.deepcopy` makes of them, in a third of the time where they are plain."""

from __future__ import annotations

import copy
import copyreg
from typing import Any

ATOMS = frozenset({str, int, float, bool, bytes, type(None)})


def copied(value: Any) -> Any:
    """A copy that shares nothing that can change."""
    return _copied(value, {}, {})


def _copied(value: Any, memo: dict[int, Any], plain: dict[type, bool]) -> Any:
    """`memo` is that of `copy.deepcopy`, `plain` the classes that were looked at."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if id(value) in memo:
        return memo[id(value)]
    if kind is list:
        memo[id(value)] = items = []
        items.extend([_copied(each, memo, plain) for each in value])
        return items
    if kind is dict:
        memo[id(value)] = entries = {}
        for key, each in value.items():
            entries[_copied(key, memo, plain)] = _copied(each, memo, plain)
        return entries
    if kind not in plain:
        plain[kind] = _is_plain(kind)
    if not plain[kind]:
        return copy.deepcopy(value, memo)
    memo[id(value)] = new = object.__new__(kind)
    fields = new.__dict__
    for name, each in value.__dict__.items():
        fields[name] = _copied(each, memo, plain)
    return new


def _is_plain(kind: type) -> bool:
    """Whether an instance is its `__dict__`, and is copied as that."""
    return (
        hasattr(kind, "__dataclass_fields__")
        and kind.__dictoffset__ != 0
        and kind.__basicsize__ == _Plain.__basicsize__
        and not hasattr(kind, "__deepcopy__")
        and not hasattr(kind, "__getnewargs__")
        and not hasattr(kind, "__getnewargs_ex__")
        and not hasattr(kind, "__setstate__")
        and kind not in copyreg.dispatch_table
        and all(
            getattr(kind, each) is getattr(object, each) for each in ("__reduce__", "__reduce_ex__", "__getstate__")
        )
    )


class _Plain: ...
