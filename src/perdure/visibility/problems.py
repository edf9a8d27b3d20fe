"""Errors of a query: the real server's words, then the place and the word at fault."""

from __future__ import annotations

from perdure.errors import InvalidArgument

_LONGEST_WORD = 40
"""Characters of the word that a message repeats."""


def problem(query: str, start: int, end: int, message: str) -> InvalidArgument:
    """`message` about the characters `start` to `end` of `query`. Positions count characters from 1."""
    word = query[start:end]
    if not word:
        return InvalidArgument(f"invalid query: {message} (at position {start + 1}, at the end)")
    if len(word) > _LONGEST_WORD:
        word = word[:_LONGEST_WORD] + "..."
    return InvalidArgument(f"invalid query: {message} (at position {start + 1}, near '{word}')")
