"""The engine: `decide(execution, input, now) -> Decision`, pure and deterministic.

No await, no I/O, no clock and no chance in here; it imports nothing of ours but `perdure.errors` and `perdure.config`.
"""
