"""How late a time of a schedule is on purpose, so that schedules of one time do not all start at once.

It follows from the time and the schedule's ids by the hash that the real server uses (FarmHash's 32-bit fingerprint of
strings over 24 bytes), so a schedule has the same times here as there.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_C1 = 0xCC9E2D51
_C2 = 0x1B873593
_C3 = 0xE6546B64
_YEAR_1_S = 62_135_596_800
"""From the first moment of the year 1 to the epoch."""
_MAX_MS = 2**32 - 1


def jitter_ms(seed: str, nominal_s: int, maximum_ms: int) -> int:
    """By how many milliseconds the time `nominal_s` is put off: at least 0, less than `maximum_ms` if that is not 0."""
    moment = b"\x01" + (nominal_s + _YEAR_1_S).to_bytes(8, "big") + b"\0\0\0\0" + b"\xff\xff"
    return fingerprint(moment + seed.encode()) * min(max(maximum_ms, 0), _MAX_MS) >> 32


def fingerprint(data: bytes) -> int:
    """FarmHash's Fingerprint32 of more than 24 bytes."""
    size = len(data)
    assert size > 24, "ids of schedules are longer"

    def word(at: int) -> int:
        return int.from_bytes(data[at : at + 4], "little")

    a, b, c, d, e = (_scramble(word(size - back)) for back in (4, 8, 16, 12, 20))
    h = _stir(_stir(size ^ a) ^ c)
    g = _stir(_stir(size * _C1 & _MASK ^ b) ^ d)
    f = _rotate(size * _C1 + e & _MASK, 19) + 113 & _MASK
    for at in range(0, (size - 1) // 20 * 20, 20):
        a, b, c, d, e = (word(at + step) for step in (0, 4, 8, 12, 16))
        h, g, f = h + a & _MASK, g + b & _MASK, f + c & _MASK
        h = _mix(d, h) + e & _MASK
        g = _mix(c, g) + a & _MASK
        f = _mix(b + e * _C1 & _MASK, f) + d & _MASK
        f = f + g & _MASK
        g = g + f & _MASK
    g, f = _spread(g), _spread(f)
    h = _fold(h + g & _MASK)
    return _fold(h + f & _MASK)


def _rotate(value: int, by: int) -> int:
    return (value >> by | value << 32 - by) & _MASK


def _scramble(value: int) -> int:
    return _rotate(value * _C1 & _MASK, 17) * _C2 & _MASK


def _stir(value: int) -> int:
    return _rotate(value, 19) * 5 + _C3 & _MASK


def _mix(value: int, into: int) -> int:
    return _stir(into ^ _scramble(value))


def _spread(value: int) -> int:
    return _rotate(_rotate(value, 11) * _C1 & _MASK, 17) * _C1 & _MASK


def _fold(value: int) -> int:
    return _rotate(_stir(value), 17) * _C1 & _MASK
