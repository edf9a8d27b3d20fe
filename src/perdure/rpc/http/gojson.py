"""How Go reads and writes JSON, as far as clients can tell it from how Python does."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

Tree = Any
"""JSON as it was read by `parse`: `Pairs`, list, str, `Number`, bool or None."""


class Pairs(list[tuple[str, Tree]]):
    """An object, with its members in order and repeated names kept."""


class Number(str):
    """A number, as it is written."""

    __slots__ = ()


class SyntaxProblem(ValueError):
    """Text that is no JSON, in Go's words."""


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_constant, strict=True
)
WHITE_SPACE = " \t\r\n"


def parse(text: str, at: int = 0) -> tuple[Tree, int]:
    """The value of `text` that begins at `at`, and where it ends. Raises `SyntaxProblem`."""
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        from perdure.rpc.http.gosyntax import read

    try:
        return read(text, _DECODER, at)
    except ValueError as problem:
        raise SyntaxProblem(str(problem))


def write_tree(tree: Tree) -> bytes:
    """`tree` as Go writes it after reading: names in order, the last of repeated ones, `<>&` escaped, empty lists null.

    Raises `OverflowError` for a number that Go can't hold.
    """
    try:
        encoded = msgspec.json.encode(_plain(tree))
    except RecursionError:
        encoded = write_deep(tree, lambda scalar: msgspec.json.encode(_plain(scalar)))
    for character in b"<>&":
        encoded = encoded.replace(bytes((character,)), b"\\u%04x" % character)
    return encoded.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")


def _plain(tree: Tree) -> object:
    if isinstance(tree, Pairs):
        members = dict(tree)
        return {name: _plain(members[name]) for name in sorted(members)}
    if isinstance(tree, list):
        return [_plain(each) for each in tree] or None
    if isinstance(tree, Number):
        whole = integer(tree, 64)
        return msgspec.Raw((str(whole) if whole is not None else float_text(finite(tree))).encode())
    return tree


def write_deep(tree: Tree, scalar: Callable[[Any], bytes]) -> bytes:
    """`tree`, of lists and objects however deep, as Go writes it; `scalar` does so with all else, names among them."""
    written: list[bytes] = []
    left: list[Any] = [tree]
    while left:
        each = left.pop()
        if isinstance(each, bytes):
            written.append(each)
        elif isinstance(each, Pairs | dict):
            members = dict(each)
            pieces = [piece for name in sorted(members) for piece in (b"," + scalar(name) + b":", members[name])]
            left += (b"}", *reversed(pieces))
            if pieces:
                left[-1] = left[-1][1:]
            written.append(b"{")
        elif isinstance(each, list):
            pieces = [piece for member in each for piece in (b",", member)]
            left += (b"]", *reversed(pieces[1:])) if pieces else ()
            written.append(b"[" if pieces else b"null")
        else:
            written.append(scalar(each))
    return b"".join(written)


def finite(number: str) -> float:
    """Raises `OverflowError` where Go's parser says that it is out of range."""
    value = float(number)
    if math.isinf(value):
        raise OverflowError(number)
    return value


PARTS = re.compile(r"(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")


def integer(text: str, bits: int, *, signed: bool = True) -> int | None:
    """The integer that a JSON number is (`1.0` and `1e2` are ones), or None when it is none of that size."""
    parts = PARTS.fullmatch(text)
    if parts is None:
        return None
    sign, whole, fraction, exponent = parts.groups()
    fraction = (fraction or "").rstrip("0")
    digits = (whole + fraction).lstrip("0")
    shift = (_bounded(exponent) if digits else 0) - len(fraction)
    if shift < 0:
        if fraction or digits[shift:].strip("0") or len(digits) < -shift:
            return None
        digits, shift = digits[:shift], 0
    if len(digits) + shift > 20:
        return None
    value = int(digits + "0" * shift or "0") * (-1 if sign else 1)
    if sign and not signed:
        return None
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return value if low <= value <= high else None


def _bounded(exponent: str | None) -> int:
    """As a number that is no larger than any text is long."""
    if not exponent:
        return 0
    size = int(exponent.lstrip("+-").lstrip("0")[:10] or "0")
    return -size if exponent[0] == "-" else size


def float_text(value: float, bits: int = 64) -> str:
    """A finite float as Go's JSON has it: the shortest digits, an exponent only below 1e-6 and from 1e21."""
    shortest = repr(value) if bits == 64 else _shortest_32(value)
    mantissa, _, exponent = shortest.partition("e")
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    if abs(value) < 1e-6 or abs(value) >= 1e21:
        if not exponent:
            mantissa, _, exponent = f"{value:e}".partition("e")
        power = int(exponent)
        return f"{mantissa.removesuffix('.0')}e{power:+d}" if power < 0 else f"{mantissa.removesuffix('.0')}e+{power}"
    if exponent:
        return _positional(mantissa, int(exponent))
    return shortest.removesuffix(".0")


def _positional(mantissa: str, exponent: int) -> str:
    sign, mantissa = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    whole, _, fraction = mantissa.removesuffix(".0").partition(".")
    digits, point = whole + fraction, len(whole) + exponent
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return sign + digits.ljust(point, "0") if point >= len(digits) else f"{sign}{digits[:point]}.{digits[point:]}"


def _shortest_32(value: float) -> str:
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.unpack("f", struct.pack("f", float(text)))[0] == value:
            return text
    return repr(value)


def json_float(value: float, bits: int = 64) -> object:
    """A float of a message: `NaN` and the infinities are strings."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return msgspec.Raw(float_text(value, bits).encode())


def base64_problem(text: str) -> str:
    """Go's words for text that is no base64."""
    whole = re.match(r"[A-Za-z0-9+/_-]*", text)
    return f"illegal base64 data at input byte {whole.end() if whole else 0}"


def base64_bytes(text: str) -> bytes | None:
    """Standard or URL-safe base64, with padding or, where that is missing, without it. None if it is neither."""
    text = text.replace("\n", "").replace("\r", "")
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            return None
        text = text.translate({ord("-"): "+", ord("_"): "/"})
    if len(text) % 4:
        if "=" in text:
            return None
        text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
