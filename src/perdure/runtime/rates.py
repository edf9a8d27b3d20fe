"""How fast things happen: `Rate` measures it, `Limit` bounds it. Times are nanoseconds of the server's clock."""

from __future__ import annotations

from perdure.clock import SECOND_NS

_BUCKET_NS = 5 * SECOND_NS
_BUCKETS = 7
"""Six that are full and the one that is being filled."""
_WINDOW_NS = (_BUCKETS - 1) * _BUCKET_NS

NEVER_NS = 7 << 60
"""When a limit of zero lets the next one through."""
_LOWEST_RATE = 1e-9


class Rate:
    """How many a second, over the last half minute, or since it was made if that is less."""

    __slots__ = ("_counts", "_filling", "_started_ns")

    def __init__(self, now_ns: int) -> None:
        self._started_ns = now_ns
        self._filling = 0
        self._counts = [0] * _BUCKETS

    def add(self, now_ns: int) -> None:
        """One more."""
        bucket = (now_ns - self._started_ns) // _BUCKET_NS
        if bucket != self._filling:
            self._advance(bucket)
        self._counts[bucket % _BUCKETS] += 1

    def _advance(self, bucket: int) -> None:
        for passed in range(max(self._filling + 1, bucket - _BUCKETS + 1), bucket + 1):
            self._counts[passed % _BUCKETS] = 0
        self._filling = bucket

    def per_second(self, now_ns: int) -> float:
        """The rate as of now."""
        elapsed_ns = now_ns - self._started_ns
        self._advance(elapsed_ns // _BUCKET_NS)
        measured_ns = min(elapsed_ns, _WINDOW_NS + elapsed_ns % _BUCKET_NS)
        return sum(self._counts) * SECOND_NS / measured_ns if measured_ns > 0 else 0.0


class Limit:
    """So many a second, and as many at once as a second brings (the generic cell rate algorithm).

    A rate of zero lets nothing through. `ready_ns` is when the next one may go.
    """

    __slots__ = ("_burst_ns", "_interval_ns", "per_second", "ready_ns")

    def __init__(self, per_second: float, *, before: Limit | None = None, now_ns: int = 0) -> None:
        self.per_second = per_second
        self._burst_ns = SECOND_NS
        self._interval_ns = int(SECOND_NS / per_second) if per_second > _LOWEST_RATE else -1
        self.ready_ns: int = before.ready_ns if before is not None else 0
        if self._interval_ns < 0:
            self.ready_ns = NEVER_NS
        else:
            # A limit that replaces a lower one, or zero, must not wait as long as that one would have.
            self.ready_ns = min(self.ready_ns, now_ns + self._interval_ns + self._burst_ns)

    def take(self, now_ns: int, number: int = 1) -> None:
        """Count what goes through now; a negative number gives back what did not go through after all."""
        if self._interval_ns < 0:
            return
        self.ready_ns = max(now_ns - self._burst_ns, self.ready_ns) + number * self._interval_ns
