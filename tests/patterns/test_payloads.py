"""Payloads above the limit go through workflows and activities, and histories stay small."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import DataConverter, PayloadCodec
from temporalio.service import RPCError

from perdure.patterns import large_payloads, options

MB = 1024 * 1024


class Rot1(PayloadCodec):
    """A cipher that nobody should use."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        shift = bytes((number + 1) % 256 for number in range(256))
        return [
            Payload(metadata={"encoding": b"rot"}, data=each.SerializeToString().translate(shift)) for each in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        shift = bytes((number - 1) % 256 for number in range(256))
        return [Payload.FromString(each.data.translate(shift)) for each in payloads]


@pytest.fixture(params=["plain", "codec"])
def folder(request, tmp_path):
    return tmp_path / request.param


@pytest.fixture
def perdure_client_options(folder):
    codec = Rot1() if folder.name == "codec" else None
    return {"data_converter": large_payloads(folder, converter=replace(DataConverter.default, payload_codec=codec))}


@activity.defn
async def double(text: str) -> str:
    return text + text


@workflow.defn
class Doubles:
    def __init__(self) -> None:
        self.more = ""

    @workflow.run
    async def run(self, text: str) -> str:
        twice = await workflow.execute_activity(double, text, **options.quick.config())
        await workflow.wait_condition(lambda: bool(self.more))
        return twice + self.more

    @workflow.update
    def add(self, text: str) -> str:
        self.more = text
        return text

    @workflow.query
    def so_far(self) -> str:
        return "z" * MB


async def test_five_megabytes_through_everything(perdure, folder):
    perdure.faults(evict_every_task=folder.name == "plain")
    async with perdure.worker(Doubles, activities=[double]):
        handle = await perdure.start(Doubles.run, "x" * 5 * MB)
        assert await handle.query(Doubles.so_far) == "z" * MB
        assert await handle.execute_update(Doubles.add, "y" * MB) == "y" * MB
        assert await handle.result() == "x" * 10 * MB + "y" * MB
    raw = await perdure.client.get_workflow_handle(handle.id).fetch_history()
    assert sum(event.ByteSize() for event in raw.events) < 20_000
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) == 5, "arguments and results that are the same are stored once"
    assert (b"json/plain" in files[0].read_bytes()) == (folder.name == "plain")
    history = await perdure.history(handle)
    assert [step.status for step in history.activities("double")] == ["completed"]


async def test_small_ones_stay_in_the_history(perdure, folder):
    async with perdure.worker(Doubles, activities=[double]):
        handle = await perdure.start(Doubles.run, "x")
        await handle.execute_update(Doubles.add, "y")
        assert await handle.result() == "xxy"
    assert not folder.exists()


async def test_without_it_they_are_refused(perdure):
    plain = Client(perdure.client.service_client, namespace=perdure.namespace)
    with pytest.raises(RPCError):
        await plain.start_workflow("Doubles", "x" * 5 * MB, id="x", task_queue="q")


@pytest.mark.perdure(replay=False)
async def test_what_is_gone_or_damaged_is_told(perdure, folder):
    async with perdure.worker(Doubles, activities=[double]):
        handle = await perdure.start(Doubles.run, "x" * MB)
        await handle.execute_update(Doubles.add, "y" * MB)
        await handle.result()
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        file.write_bytes(b"")
    with pytest.raises(RuntimeError, match="is damaged"):
        await handle.result()
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        file.unlink()
    with pytest.raises(RuntimeError, match="need the same folder"):
        await handle.result()


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(ValueError, match="above is 3000000"):
        large_payloads(tmp_path, above=3_000_000)
    with pytest.raises(ValueError, match="one only"):
        large_payloads(tmp_path, converter=large_payloads(tmp_path))
