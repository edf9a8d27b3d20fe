"""Copying between protobuf messages, which in Python tells what is empty from what is absent."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message


def copy_present(source: Message, target: Message, names: Iterable[str]) -> None:
    """Copy the message fields of those names, as far as `source` has them; what is absent stays absent."""
    for name in names:
        if source.HasField(name):
            getattr(target, name).CopyFrom(getattr(source, name))
