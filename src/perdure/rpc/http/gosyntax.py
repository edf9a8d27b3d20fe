"""JSON as Go reads it: in its words where there is a mistake, and nested deeper than Python's own reader goes.

Slower than that, so it is asked only when that gives up.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

WHITE_SPACE = re.compile(r"[ \t\r\n]*")
PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
HEX = frozenset("0123456789abcdefABCDEF")
DIGITS = frozenset("0123456789")
ESCAPES = frozenset('bfnrt\\/"')
MAX_DEPTH = 10_000


class _Problem(Exception):
    pass


class _End(Exception):
    pass


def read(text: str, decoder: json.JSONDecoder, at: int = 0, *, whole: bool = False) -> tuple[Any, int]:
    """The value at `at`, made as `decoder` would, and where it ends; with `whole`, nothing may follow.

    Raises `ValueError` with the first mistake.
    """
    try:
        value, end = _value(text, _skip(text, at), decoder)
        end = _skip(text, end) if whole else end
        if whole and end < len(text):
            _unexpected(text, end, "after top-level value")
        return value, end
    except _Problem as found:
        raise ValueError(str(found)) from None
    except _End:
        raise ValueError("unexpected end of JSON input" if whole else "unexpected EOF") from None


def _skip(text: str, at: int) -> int:
    match = WHITE_SPACE.match(text, at)
    return match.end() if match else at


def _peek(text: str, at: int) -> str:
    if at >= len(text):
        raise _End
    return text[at]


def _unexpected(text: str, at: int, context: str) -> NoReturn:
    character = chr(_peek(text, at).encode("utf-8", "surrogateescape")[0])
    if character == "'":
        shown = "\\'"
    elif character == '"' or character.isprintable():
        shown = character if character != "\\" else "\\\\"
    else:
        names = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", "\v": "\\v", "\a": "\\a"}
        code = ord(character)
        shown = names.get(character) or (f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}")
    raise _Problem(f"invalid character '{shown}' {context}")


def _value(text: str, at: int, decoder: json.JSONDecoder) -> tuple[Any, int]:
    """Without recursion: `open_ones` holds the arrays and objects around `at`, `names` those of the members begun."""
    open_ones: list[tuple[str, list[Any]]] = []
    names: list[str] = []
    while True:
        first = _peek(text, at)
        if first in ("{", "["):
            if len(open_ones) == MAX_DEPTH:
                raise _Problem(f"invalid character '{first}' exceeded max depth")
            at = _skip(text, at + 1)
            open_ones.append(("}" if first == "{" else "]", []))
            if _peek(text, at) != open_ones[-1][0]:
                at = _name(text, at, decoder, names) if first == "{" else at
                continue
            at += 1
            value = _made(open_ones.pop(), decoder)
        else:
            value, at = _scalar(text, at, decoder)
        while open_ones:
            end, members = open_ones[-1]
            members.append((names.pop(), value) if end == "}" else value)
            at = _skip(text, at)
            if _peek(text, at) == ",":
                at = _skip(text, at + 1)
                at = _name(text, at, decoder, names) if end == "}" else at
                break
            if text[at] != end:
                _unexpected(text, at, "after object key:value pair" if end == "}" else "after array element")
            at += 1
            value = _made(open_ones.pop(), decoder)
        else:
            return value, at


def _made(ended: tuple[str, list[Any]], decoder: json.JSONDecoder) -> Any:
    end, members = ended
    if end == "]":
        return members
    hook: Any = decoder.object_pairs_hook
    return dict(members) if hook is None else hook(members)


def _name(text: str, at: int, decoder: json.JSONDecoder, names: list[str]) -> int:
    """Read the name of a member; returns where its value begins."""
    if _peek(text, at) != '"':
        _unexpected(text, at, "looking for beginning of object key string")
    name, at = _scalar(text, at, decoder)
    names.append(name)
    at = _skip(text, at)
    if _peek(text, at) != ":":
        _unexpected(text, at, "after object key")
    return _skip(text, at + 1)


def _scalar(text: str, at: int, decoder: json.JSONDecoder) -> tuple[Any, int]:
    first = text[at]
    if first == '"':
        try:
            return decoder.raw_decode(text, at)
        except ValueError:
            end = _string(text, at + 1)
    elif first in ("t", "f", "n"):
        end = _word(text, at, {"t": "true", "f": "false", "n": "null"}[first])
    elif first == "-" or first in DIGITS:
        end = _number(text, at)
    else:
        _unexpected(text, at, "looking for beginning of value")
    return decoder.raw_decode(text[at:end])[0], end


def _string(text: str, at: int) -> int:
    while True:
        plain = PLAIN.match(text, at)
        at = plain.end() if plain else at
        character = _peek(text, at)
        if character == '"':
            return at + 1
        if character < " ":
            _unexpected(text, at, "in string literal")
        at += 1
        if character != "\\":
            continue
        escape = _peek(text, at)
        if escape == "u":
            for _ in range(4):
                at += 1
                if _peek(text, at) not in HEX:
                    _unexpected(text, at, "in \\u hexadecimal character escape")
        elif escape not in ESCAPES:
            _unexpected(text, at, "in string escape code")
        at += 1


def _word(text: str, at: int, word: str) -> int:
    for offset, expected in enumerate(word):
        if _peek(text, at + offset) != expected:
            _unexpected(text, at + offset, f"in literal {word} (expecting '{expected}')")
    return at + len(word)


def _number(text: str, at: int) -> int:
    if text[at] == "-":
        at += 1
        if _peek(text, at) not in DIGITS:
            _unexpected(text, at, "in numeric literal")
    at = at + 1 if text[at] == "0" else _digits(text, at)
    if text[at : at + 1] == ".":
        at += 1
        if _peek(text, at) not in DIGITS:
            _unexpected(text, at, "after decimal point in numeric literal")
        at = _digits(text, at)
    if text[at : at + 1] in ("e", "E"):
        at += 1
        if _peek(text, at) in ("+", "-"):
            at += 1
        if _peek(text, at) not in DIGITS:
            _unexpected(text, at, "in exponent of numeric literal")
        at = _digits(text, at)
    return at


def _digits(text: str, at: int) -> int:
    while at < len(text) and text[at] in DIGITS:
        at += 1
    return at
