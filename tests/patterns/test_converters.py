"""Each pattern with a codec that encrypts and a converter of the user's own: played once, without faults."""

import json

import pytest
from tests.patterns import test_fan_out_matrix, test_poll_matrix, test_saga_matrix, test_till_matrix, waiting
from tests.patterns import test_waits_matrix as waits
from tests.patterns.converters import encrypting
from tests.patterns.matrix import Cell, play_one
from tests.patterns.test_callback import started

CASES = [
    test_saga_matrix.TRIP,
    test_saga_matrix.FAILING,
    test_till_matrix.TILL,
    test_fan_out_matrix.FLAT,
    test_fan_out_matrix.PAGES,
    test_poll_matrix.ONE,
    test_poll_matrix.MANY,
    waits.APPROVAL,
    waits.CALLBACK,
]


@pytest.fixture(params=["encrypted", "pydantic"])
def perdure_client_options(request):
    if request.param == "encrypted":
        return {"data_converter": encrypting}
    converters = pytest.importorskip("temporalio.contrib.pydantic", exc_type=ImportError)
    return {"data_converter": converters.pydantic_data_converter}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_what_holds_with_converters_of_the_user(perdure, case, request):
    problem, _ = await play_one(case, perdure, Cell("clean", options={"sandboxed": True}))
    assert not problem, problem
    if "encrypted" in request.node.callspec.id:
        for history in await perdure.histories():
            assert_unreadable(json.loads(history.raw.to_json()))


@pytest.mark.parametrize("row", ["terminated"])
async def test_resume_reads_what_is_encrypted(perdure, row):
    from tests.patterns.matrix import Moment

    def prepare(stage):
        stage.probe.actions[Moment("task", 4)] = stage.terminate

    problem, played = await play_one(test_saga_matrix.TRIP, perdure, Cell(row, prepare=prepare))
    assert not problem and played.probe.reached(Moment("task", 4)), problem


@pytest.mark.perdure(time="manual")
async def test_progress_is_json_in_any_encoding(perdure):
    waiting.fresh()
    async with perdure.worker(waiting.Call, activities=[waiting.submit]):
        handle, callbacks = await started(perdure, waiting.Call, waiting.Wanted(stall_s=3600))
        assert (await callbacks.heartbeat({"frame": 10})).taken
        assert (await callbacks.state()).progress == {"frame": 10}
        assert (await callbacks.heartbeat(b"bytes")).status == "refused"
        assert (await callbacks.complete({"url": "x", "seconds": 2})).taken
        await handle.result()


def assert_unreadable(node):
    """No payload but those of search attributes and of patches is plain."""
    if isinstance(node, list):
        for each in node:
            assert_unreadable(each)
    elif isinstance(node, dict):
        if "metadata" in node and "data" in node and "encoding" in node["metadata"]:
            assert "nonce" in node["metadata"], node
        for name, each in node.items():
            if name != "searchAttributes" and node.get("markerName") != "core_patch":
                assert_unreadable(each)
