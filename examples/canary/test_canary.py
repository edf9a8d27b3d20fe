"""Canaries: up by the stages, and back to none from wherever they are."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowFailureError

from examples.canary.__main__ import check, show
from examples.canary.activities import Operations, Router, Service
from examples.canary.workflow import Canary
from perdure.testing import Env


def operations(requests: int, *rates: float) -> tuple[Router, Operations]:
    router = Router({"shop": Service(requests, {"v2": list(rates)})})

    async def tell(workflow_id: str, text: str) -> None:
        pass

    return router, Operations(router, tell)


async def test_the_story(perdure: Env, capsys: pytest.CaptureFixture[str]) -> None:
    await show(perdure.client)
    assert "checkout  v3   rolled back at 50 %: 540 of 6000 requests failed" in capsys.readouterr().out


@pytest.mark.parametrize("faults", [{"evict_every_task": True}, {"duplicate_attempts": True}])
@pytest.mark.parametrize(
    ("rates", "requests", "ending"),
    [
        ((0.0, 0.0, 0.0), 5000, "promoted"),
        ((0.0, 0.5, 0.5), 5000, "rolled back at 25 %"),
        ((0.0, 0.0, 0.0), 40, "rolled back at 5 %: only "),
    ],
)
async def test_under_faults(
    perdure: Env, rates: tuple[float, ...], requests: int, ending: str, faults: dict[str, bool]
) -> None:
    perdure.faults(**faults)
    router, found = operations(requests, *rates)
    async with perdure.worker(Canary, activities=found.all()):
        assert (await perdure.execute(Canary.run, "shop", "v2")).startswith(ending)
    check(router, "shop", "v2", promoted=ending == "promoted")


@pytest.mark.perdure(time="manual")
async def test_it_waits_before_it_measures(perdure: Env) -> None:
    router, found = operations(40, 0.0, 0.0, 0.0)
    async with perdure.worker(Canary, activities=found.all()):
        handle = await perdure.start(Canary.run, "shop", "v2")
        await perdure.advance(timedelta(minutes=9))
        assert router.services["shop"].seen["v2"] == [0, 0]
        await perdure.advance(timedelta(minutes=10))
        assert router.services["shop"].seen["v2"][0] > 0
        await handle.signal(Canary.stop, "pat")
        await perdure.advance(timedelta(minutes=30))
        assert (await handle.result()).startswith("rolled back at 5 %")


@pytest.mark.perdure(time="manual")
async def test_cancelled(perdure: Env) -> None:
    router, found = operations(5000, 0.0, 0.0, 0.0)
    async with perdure.worker(Canary, activities=found.all()):
        handle = await perdure.start(Canary.run, "shop", "v2")
        await perdure.advance_until(lambda: router.services["shop"].percent.get("v2") == 50)
        await handle.cancel()
        await perdure.advance(timedelta(minutes=1))
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    check(router, "shop", "v2", promoted=False)
