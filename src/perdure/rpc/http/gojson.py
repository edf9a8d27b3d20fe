"""How Go reads and writes JSON, as far as clients can tell it from how Python does."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from typing import Any, NoReturn

import msgspec

from perdure.engine import gotext

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


def parse(text: str) -> tuple[Tree, int]:
    """The first value of `text`, which has no white space in front, and where it ends. Raises `SyntaxProblem`."""
    try:
        return _DECODER.raw_decode(text)
    except RecursionError:
        raise SyntaxProblem("exceeded max depth")
    except ValueError:
        from perdure.rpc.http.gosyntax import problem

        raise SyntaxProblem(problem(text))


def write_tree(tree: Tree) -> bytes:
    """`tree` as Go writes it after reading: names in order, the last of repeated ones, `<>&` escaped, empty lists null.

    Raises `OverflowError` for a number that Go can't hold.
    """
    encoded = msgspec.json.encode(_plain(tree))
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
    digits = whole.lstrip("0") + fraction
    shift = (_bounded(exponent) if digits else 0) - len(fraction)
    if shift < 0:
        if fraction or digits[shift:].strip("0") or len(digits) < -shift:
            return None
        digits = digits[:shift]
    elif len(digits) + shift > 20:
        return None
    value = gotext.integer(digits + "0" * max(shift, 0) or "0") * (-1 if sign else 1)
    if sign and not signed:
        return None
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return value if low <= value <= high else None


def _bounded(exponent: str | None) -> int:
    return max(-1000, min(1000, gotext.integer(exponent))) if exponent else 0


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
