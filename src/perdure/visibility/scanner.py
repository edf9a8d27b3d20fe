"""From the text of a query to tokens.

The rules are those of the SQL dialect that the real server reads: strings in single or double quotes with doubled
quotes and backslash escapes, names bare or in backticks, keywords in any case, four kinds of comments.

The scanner also bounds what a query may cost, before anything is built from it: its length, the nesting of
parentheses, NOTs and signs, and the number of conditions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from perdure.errors import InvalidArgument
from perdure.visibility.problems import problem

MAX_QUERY_BYTES = 128 * 1024
"""Longest query, in bytes of UTF-8."""

MAX_WORDS = 20_000
"""Longest query, in names, values and symbols: what takes time to parse, a fifth of a second at this length."""

MAX_NESTING = 200
"""The real server refuses this depth, and so do we."""

MAX_CONDITIONS = 1000
"""The real server refuses a tree of this depth, and a chain of ANDs makes a deep tree there."""

END = "$END"

_PLAIN_WORDS = """
not in is null true false between like regexp starts_with order group by asc desc limit having binary
"""
_GRAMMAR_WORDS = {word: word.upper() for word in _PLAIN_WORDS.split()} | {
    "and": "_AND",
    "or": "_OR",
    "escape": "_ESCAPE",
    "rlike": "REGEXP",
}
"""Terminals by word. Those that begin with an underscore leave no trace in the tree."""

_RESERVED = """
_binary add all alter analyze as auto_increment boolean case cast collate column constraint convert create cross
database databases default delete describe distinct div drop else end exists explain extended for force from full
if ignore index inner insert interval into join key left lock match maxvalue mod natural next on outer processlist
rename replace right schema select separator set show sql_cache sql_no_cache straight_join stream substr substring
table tables then to union unique update use using values when where xor
"""
_RESERVED_WORDS = frozenset(_RESERVED.split())
"""Words that are names only in backticks."""

_CLOCK = "current_date current_time current_timestamp utc_date utc_time utc_timestamp localtime localtimestamp"
_CLOCK_WORDS = frozenset(_CLOCK.split())
"""Functions that may be called without parentheses."""

_SYMBOLS = {
    "&&": "_AND",
    "||": "_OR",
    "=": "EQ",
    "!=": "NE",
    "<>": "NE",
    "<": "LT",
    ">": "GT",
    "<=": "LE",
    ">=": "GE",
    "<=>": "SAME",
    "(": "OPEN",
    ")": "CLOSE",
    ",": "_COMMA",
    ";": "SEMICOLON",
    ".": "_DOT",
    "+": "PLUS",
    "-": "MINUS",
    "~": "TILDE",
    "!": "BANG",
}

_TOKEN = re.compile(
    r"""(?P<blank>(?:[ \n\r\t]++|--[^\n]*+|//[^\n]*+|\#[^\n]*+|/\*(?s:.*?)\*/)++)
      | (?P<opaque>[xXbB]'[0-9a-fA-F]*+'|0[xX][0-9a-fA-F]*+(?![A-Za-z_@])|:[A-Za-z_@][\w@.]*+|\?)
      | (?P<name>[A-Za-z_@][A-Za-z0-9_@]*+)
      | (?P<number>(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]*+)?)(?P<glued>(?=[A-Za-z_@]))?
      | (?P<string>'(?:[^'\\]++|''|\\(?s:.))*+'|"(?:[^"\\]++|""|\\(?s:.))*+")
      | (?P<quoted>`(?:[^`]++|``)++`)
      | (?P<symbol><=>|->>|->|<<|>>|<=|>=|<>|!=|&&|\|\||[-+*/%^~,();.=<>!&|])
      | (?P<unknown>(?s:.))""",
    re.VERBOSE | re.ASCII,
)

_ESCAPE = re.compile(r"\\(.)|''", re.DOTALL)
_ESCAPE_DOUBLE = re.compile(r'\\(.)|""', re.DOTALL)
_ESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}

_OPERANDS = frozenset(("NAME", "STRING", "NUMBER", "OPAQUE", "TRUE", "FALSE", "NULL", "CLOCK", "CLOSE"))
"""Tokens that end an operand: a NOT or a sign behind one of them is not a prefix."""

_ENDS_TERM = frozenset(("_AND", "_OR", "_COMMA", "ORDER", "GROUP", "LIMIT", "HAVING"))
_PREFIXES = frozenset(("NOT", "PLUS", "MINUS", "TILDE", "BANG", "BINARY"))


_NOT_ASCII = "\ufffd"
"""What clients see of the one byte that the real server repeats of any other character."""


class Word(NamedTuple):
    """A token. `kind` is a terminal of the grammar, `value` what the real server would repeat of it in a message."""

    kind: str
    value: str
    start: int
    end: int


def scan(query: str) -> Iterator[Word]:
    """The tokens of a query. Raises InvalidArgument for a query that is too long, too deep or has too many terms."""
    size_bytes = len(query) if query.isascii() else len(query.encode())
    if size_bytes > MAX_QUERY_BYTES:
        raise InvalidArgument(f"invalid query: length {size_bytes} exceeds limit {MAX_QUERY_BYTES} (in bytes)")
    return _bounded(query, _words(query))


def _words(query: str) -> Iterator[Word]:
    for match in _TOKEN.finditer(query):
        group = match.lastgroup
        start, end = match.span()
        text = match.group()
        match group:
            case "blank":
                continue
            case "name":
                yield _word(text, start, end)
            case "symbol":
                yield Word(_SYMBOLS.get(text, "ARITHMETIC"), "", start, end)
            case "string":
                yield Word("STRING", _unescape(text), start, end)
            case "number":
                yield Word("NUMBER", text, start, end)
            case "quoted":
                yield Word("NAME", text.replace("`", ""), start, end)
            case "opaque":
                yield Word("OPAQUE", ":v1" if text == "?" else text, start, end)
            case "glued":
                yield Word("ERROR", text, start, end)
            case _:
                yield _unknown(query, text, start)
                return


def _word(text: str, start: int, end: int) -> Word:
    lowered = text.lower()
    if kind := _GRAMMAR_WORDS.get(lowered):
        return Word(kind, lowered, start, end)
    if lowered in _CLOCK_WORDS:
        return Word("CLOCK", lowered, start, end)
    if lowered in _RESERVED_WORDS:
        return Word("RESERVED", lowered, start, end)
    return Word("NAME", text, start, end)


def _unescape(text: str) -> str:
    pattern = _ESCAPE if text[0] == "'" else _ESCAPE_DOUBLE
    return pattern.sub(lambda found: _ESCAPED.get(found[1], found[1]) if found[1] else text[0], text[1:-1])


def _unknown(query: str, text: str, start: int) -> Word:
    """A quote that is never closed takes the rest of the query; of anything else the character is enough."""
    if text in "'\"`":
        return Word("ERROR", query[start + 1 :], start, len(query))
    return Word("ERROR", text if text.isascii() else _NOT_ASCII, start, start + 1)


def _bounded(query: str, words: Iterator[Word]) -> Iterator[Word]:
    """The same tokens, while their nesting and number stay within the bounds."""
    previous = ""
    depth = conditions = 0
    # For each open parenthesis, and the query itself: how many prefixes (NOT, signs) wait for their operand to end.
    prefixes = [0]
    for number, word in enumerate(words, 1):
        if number > MAX_WORDS:
            raise problem(query, word.start, word.end, f"number of words exceeds limit {MAX_WORDS}")
        kind = word.kind
        if kind == "OPEN":
            prefixes.append(0)
            depth += 1
        elif kind == "CLOSE" and len(prefixes) > 1:
            depth -= 1 + prefixes.pop()
        elif kind in _ENDS_TERM:
            depth -= prefixes[-1]
            prefixes[-1] = 0
            conditions += kind == "_AND" or kind == "_OR"
        elif kind in _PREFIXES and previous not in _OPERANDS and previous != "IS":
            prefixes[-1] += 1
            depth += 1
        if depth >= MAX_NESTING:
            raise malformed(query, word, "max nesting level reached")
        # A BETWEEN has an AND of its own, so this lets at most twice the conditions through; the checker is exact.
        if conditions > 2 * MAX_CONDITIONS:
            raise too_deep(query, word.start, word.end)
        previous = kind
        yield word


def malformed(query: str, word: Word, what: str = "syntax error") -> InvalidArgument:
    """The real server's message about a token that cannot stand where it stands."""
    near = f" near '{word.value}'" if word.value else ""
    position = _position_in_statement(query, word)
    return problem(query, word.start, word.end, f"malformed SQL query: {what} at position {position}{near}")


def too_deep(query: str, start: int, end: int) -> InvalidArgument:
    """The real server's message about a query with too many conditions."""
    return problem(query, start, end, "malformed SQL query: max ast depth reached")


def _position_in_statement(query: str, word: Word) -> int:
    """Where the real server would say the token is.

    It trims the query, pastes it into a SELECT statement, counts bytes, and stands one behind the token.
    """
    trimmed = query.lstrip()
    if trimmed[:8].lower() in ("", "order by", "group by"):
        prefix = "select * from table1 "
    else:
        prefix = "select * from table1 where "
    before = query[len(query) - len(trimmed) : word.start]
    width = 1 if word.value == _NOT_ASCII else len(query[word.start : word.end].encode())
    return len(prefix) + len(before.encode()) + width + 1
