"""Values as they are now, whatever becomes of them before they are sent."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from temporalio.common import RawValue
from temporalio.converter import PayloadConverter


def snapshot(values: Sequence[Any], converter: Callable[[], PayloadConverter]) -> Sequence[Any]:
    """Copies, so that interceptors and converters get to see values as ever, and what can't change costs nothing.

    What can't be copied, such as an object with a lock in it, is converted: it could not be sent otherwise, either.
    """
    try:
        return copy.deepcopy(values)
    except Exception:  # a class of the user's may raise anything
        return [RawValue(each) for each in converter().to_payloads(values)]
