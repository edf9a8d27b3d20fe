"""What goes wrong, how often, and when: all of it drawn from one seed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

MS = 1_000_000
S = 1_000 * MS


@dataclass
class Rates:
    """Chances of one event each, 0 to 1."""

    lose: float = 0.01
    duplicate: float = 0.02
    delay: float = 0.03
    fail_commit: float = 0.006
    slow_commit: float = 0.01
    full_disk: float = 0.0015
    suspend: float = 0.3
    fail_read: float = 0.004
    slow_read: float = 0.005
    stall: float = 0.04
    die: float = 0.01
    misbehave: float = 0.06
    twice: float = 0.05


CALM = Rates(**{**dict.fromkeys(vars(Rates()), 0.0), "suspend": 0.1})


class Faults:
    """Decides on each occasion. `heal` ends all of it."""

    def __init__(self, chance: random.Random, counts: Counter[str]) -> None:
        self.chance = chance
        self.rates = Rates()
        self._counts = counts
        scale = chance.choice([0.0, 0.5, 1.0, 1.0, 1.0, 2.5])
        for name, rate in vars(self.rates).items():
            setattr(self.rates, name, min(0.5, rate * scale * chance.choice([0.3, 1, 1, 2])))

    def heal(self) -> None:
        self.rates = CALM

    def happens(self, name: str) -> bool:
        rate: float = getattr(self.rates, name)
        if rate and self.chance.random() < rate:
            self._counts[f"fault {name.replace('_', ' ')}"] += 1
            return True
        return False

    def clock_jump_ns(self) -> int:
        """By how much somebody sets the wall clock."""
        jump_ns = self.chance.choice([-3600, -600, -60, -5, 5, 60, 600]) * S + self.chance.randrange(S)
        self._counts[f"fault clock set {'back' if jump_ns < 0 else 'forward'}"] += 1
        return jump_ns

    def network_delay_ns(self) -> int:
        if self.happens("delay"):
            return self.chance.randrange(100 * MS, 15 * S)
        return self.chance.randrange(50_000, 3 * MS)
