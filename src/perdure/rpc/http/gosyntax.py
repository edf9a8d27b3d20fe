"""What Go says of text that is no JSON. Only read when something is wrong."""

from __future__ import annotations

import re

WHITE_SPACE = re.compile(r"[ \t\r\n]*")
HEX = frozenset("0123456789abcdefABCDEF")
DIGITS = frozenset("0123456789")
ESCAPES = frozenset('bfnrt\\/"')
MAX_DEPTH = 10_000


class _Problem(Exception):
    pass


class _End(Exception):
    pass


def problem(text: str, *, whole: bool = False) -> str:
    """The first mistake in `text`; with `whole`, what follows the value is one, too."""
    try:
        at = _value(text, _skip(text, 0), 0, "looking for beginning of value")
        at = _skip(text, at)
        if whole and at < len(text):
            _unexpected(text, at, "after top-level value")
    except _Problem as found:
        return str(found)
    except (_End, RecursionError) as found:
        if isinstance(found, RecursionError):
            return "exceeded max depth"
    return "unexpected end of JSON input" if whole else "unexpected EOF"


def _skip(text: str, at: int) -> int:
    match = WHITE_SPACE.match(text, at)
    return match.end() if match else at


def _peek(text: str, at: int) -> str:
    if at >= len(text):
        raise _End
    return text[at]


def _unexpected(text: str, at: int, context: str) -> None:
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


def _value(text: str, at: int, depth: int, context: str) -> int:
    first = _peek(text, at)
    if depth > MAX_DEPTH:
        raise _Problem("exceeded max depth")
    if first == "{":
        return _object(text, at + 1, depth + 1)
    if first == "[":
        return _array(text, at + 1, depth + 1)
    if first == '"':
        return _string(text, at + 1)
    for word in ("true", "false", "null"):
        if first == word[0]:
            return _word(text, at, word)
    if first == "-" or first in DIGITS:
        return _number(text, at)
    _unexpected(text, at, context)
    raise AssertionError


def _object(text: str, at: int, depth: int) -> int:
    at = _skip(text, at)
    if _peek(text, at) == "}":
        return at + 1
    while True:
        if _peek(text, at) != '"':
            _unexpected(text, at, "looking for beginning of object key string")
        at = _skip(text, _string(text, at + 1))
        if _peek(text, at) != ":":
            _unexpected(text, at, "after object key")
        at = _value(text, _skip(text, at + 1), depth, "looking for beginning of value")
        at = _skip(text, at)
        if _peek(text, at) == "}":
            return at + 1
        if text[at] != ",":
            _unexpected(text, at, "after object key:value pair")
        at = _skip(text, at + 1)


def _array(text: str, at: int, depth: int) -> int:
    at = _skip(text, at)
    if _peek(text, at) == "]":
        return at + 1
    while True:
        at = _skip(text, _value(text, at, depth, "looking for beginning of value"))
        if _peek(text, at) == "]":
            return at + 1
        if text[at] != ",":
            _unexpected(text, at, "after array element")
        at = _skip(text, at + 1)


def _string(text: str, at: int) -> int:
    while True:
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
