"""What an entity takes to its next run has room there, whatever it is made of."""

import re
from dataclasses import dataclass
from datetime import timedelta

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowUpdateFailedError
from temporalio.converter import DataConverter
from tests.patterns.lives import kept, load, save

from perdure.patterns import Entity, Limits, query, signal, update
from perdure.patterns.entity import mailbox
from perdure.patterns.entity.carried import json_payload, pack, unpack, weight
from perdure.testing import assert_replays

MIB = 1024 * 1024
TOO_LARGE = "EntityTooLarge: the state and what is to be sent later would have 24[0-9]{5} bytes, and may have 1800000"


@dataclass
class Hoard:
    n: int = 0
    text: str = ""


class Hoarder(Entity[Hoard], limits=Limits(messages_a_run=5)):
    @update
    def plan(self, number: int, size: int) -> None:
        for each in range(number):
            self.later(timedelta(days=30), Hoarder.due, "x" * size, key=str(each))

    @signal
    def plan_more(self, number: int, size: int) -> None:
        for each in range(number):
            self.later(timedelta(days=30), Hoarder.due, "x" * size, key=str(each))

    @update
    def fill(self, size: int) -> None:
        self.state.text = "x" * size

    @update
    def hit(self, reply: int = 0) -> str:
        self.state.n += 1
        return f"{self.state.n:_<{reply}}"

    @signal
    def due(self, text: str) -> None:
        self.state.n += 100
        raise ValueError("not now")

    @query
    def n(self) -> int:
        return self.state.n


def hoarder(perdure):
    return Hoarder.of(perdure.client, "h", task_queue="hoards")


async def refused(awaitable):
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await awaitable
    return str(raised.value.cause)


async def test_what_is_planned_is_bounded_in_bytes(perdure):
    async with perdure.worker(Hoarder, task_queue="hoards"):
        h = hoarder(perdure)
        text = await refused(h.plan(300, 8000))
        assert re.fullmatch(TOO_LARGE, text)
        await h.plan_more(300, 8000)
        await h.plan(200, 8000)
        for _ in range(12):
            await h.hit()
        assert [text in letter.error for letter in await h.dead_letters()] == [True]
        assert (await h.status())["later"] == 200
        assert len(await perdure.histories("h")) >= 3


async def test_all_together_has_room_in_the_next_run(perdure):
    """The state, signals for later, the replies and the dead letters, each within its own limit."""
    async with perdure.worker(Hoarder, task_queue="hoards"):
        h = hoarder(perdure)
        await h.fill(900_000)
        await h.plan(100, 8700)
        for number in range(20):
            await h.due("x" * 10_000)
            await h.hit(40_000, message_id=str(number))
        assert (await h.hit(40_000, message_id="19")).startswith("20_"), "the first reply"
        assert await h.n() == 20
        runs = await perdure.histories("h")
        assert len(runs) >= 5 and (await h.status())["later"] == 100
        sizes = [run.events[0].workflow_execution_started_event_attributes.input.ByteSize() for run in runs]
        assert 1_500_000 < max(sizes) < 2 * MIB


async def test_what_past_runs_have_taken_replays(perdure, monkeypatch, tmp_path):
    monkeypatch.setattr(mailbox, "KEPT_BYTES", 10**9)
    async with perdure.worker(Hoarder, task_queue="hoards"):
        await hoarder(perdure).plan(300, 8000)
        (await perdure.history("h")).save(tmp_path / "hoard.json")
    monkeypatch.undo()
    assert_replays(Hoarder, str(tmp_path / "hoard.json"))


class Saved(Entity[Hoard], idle=timedelta(days=1), load=load, save=save):
    @update
    def fill(self, text: str, size: int) -> int:
        self.state.text = text * size
        return size


async def test_what_is_saved_fits_into_a_text(perdure):
    kept.clear()
    async with perdure.worker(Saved, activities=[load, save], task_queue="saved"):
        saved = Saved.of(perdure.client, "s", task_queue="saved")
        assert "EntityTooLarge: the state and what" in await refused(saved.fill('"', 490_000))
        for text, size in (("ю", 150_000), ('"', 420_000)):
            await saved.fill(text, size)
            await perdure.client.get_workflow_handle("s").result()
            assert kept["s"].count("ю" if text == "ю" else '\\"') == size


@pytest.mark.parametrize("value", ["plain", "юг \U0001f600", ["\ud800", 1.5, None], {"k": "\x00"}])
def test_payloads_are_the_same_bytes_again(value):
    utf8 = json_payload(value, escaped=False)
    for payload in (DataConverter.default.payload_converter.to_payload(value), utf8, Payload(data=b"\xff\x00" * 50)):
        carried = json_payload(pack(payload), escaped=False)
        assert unpack(json_value(carried)) == payload
        assert len(carried.data) <= weight(payload, quoted=False)


def json_value(payload):
    return DataConverter.default.payload_converter.from_payload(payload)
