"""Many messages in one workflow task: an entity pauses before the SDK finds that it thinks for too long."""

import asyncio
import dataclasses
from dataclasses import dataclass
from pathlib import Path

from tests.patterns.bursts import Burst

from perdure.patterns.entity import bursts
from perdure.patterns.entity.copies import copied
from perdure.testing import assert_replays

HISTORY = Path(__file__).parent / "histories" / "0.1.0-entity-burst.json"


async def played(perdure, size, ticks):
    """The history of an entity that has got them all before a worker came."""
    burst = Burst.of(perdure.client, "b", task_queue="bursts")
    await burst.load(size)
    for number in range(ticks):
        await burst.tick(str(number))
    async with perdure.worker(Burst, task_queue="bursts"):
        while str(ticks - 1) not in await burst.ticks():
            await asyncio.sleep(0.01)
        return await perdure.history("b")


def marks(history):
    return sum(event.HasField("marker_recorded_event_attributes") for event in history.events)


async def test_a_large_state_makes_short_bursts(perdure, tmp_path, monkeypatch):
    history = await played(perdure, 80_000, 24)
    assert 3 <= len(history.timers) <= 6
    assert marks(history) == 1, "later bursts are as short without one"
    history.save(tmp_path / "burst.json")
    for size in (1, 10**9):  # as if the states of newer code were larger, and smaller
        monkeypatch.setattr(bursts, "BURST_BYTES", size)
        assert_replays(Burst, str(tmp_path / "burst.json"))


async def test_each_message_alone_may_cost_too_much(perdure):
    history = await played(perdure, 700_000, 5)
    assert len(history.timers) == 5


async def test_small_states_make_bursts_of_200(perdure):
    history = await played(perdure, 10, 205)
    assert len(history.timers) == 1 and marks(history) == 0


def test_bursts_of_the_past_replay_whatever_they_cost(monkeypatch):
    monkeypatch.setattr(bursts, "BURST_BYTES", 1)
    assert_replays(Burst, str(HISTORY))


@dataclass
class Inner:
    names: list[str]
    more: "Inner | None" = None


@dataclass(frozen=True)
class Frozen:
    of: dict[str, list[int]]


@dataclass(slots=True)
class Slotted:
    of: list[int]


class Own(Inner):
    def __deepcopy__(self, memo):
        return "its own way"


def test_copies_are_those_of_deepcopy():
    inner = Inner(["a"])
    inner.more = inner
    shared = [1]
    value = [inner, shared, (shared, inner), {"k": shared, (1, 2): {3}}, Frozen({"a": [1]}), Slotted(shared), 1.5, b"b"]
    copy = copied(value)
    assert copy[0].more is copy[0] and copy[0] is not inner and copy[0].names == ["a"]
    assert copy[1] is copy[2][0] is copy[3]["k"] is copy[5].of and copy[1] is not shared and copy[2][1] is copy[0]
    assert copy[3] == value[3] and copy[4:] == value[4:]
    assert copy[4].of["a"] is not value[4].of["a"] and copy[3][1, 2] is not value[3][1, 2]
    assert copied(Own(["a"])) == "its own way"
    assert dataclasses.is_dataclass(copy[0])
