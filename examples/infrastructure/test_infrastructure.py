"""Provisioning: all of a plan or nothing of it, in order."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowFailureError

from examples.infrastructure.__main__ import check, read, show
from examples.infrastructure.activities import Cloud, CloudActivities, Plan, Resource
from examples.infrastructure.workflow import Provision, layers
from perdure.testing import Env

SHOP = read()[0]


async def test_the_story(perdure: Env, capsys: pytest.CaptureFixture[str]) -> None:
    await show(perdure.client)
    assert "the cloud has made 19 things, and keeps 11" in capsys.readouterr().out


@pytest.mark.parametrize("faults", [{"evict_every_task": True}, {"duplicate_attempts": True}])
@pytest.mark.parametrize("kind", ["", "subnet", "machine", "balancer"])
async def test_all_or_nothing_under_faults(perdure: Env, kind: str, faults: dict[str, bool]) -> None:
    perdure.faults(**faults)
    cloud = Cloud(quota={kind: 1})
    if kind == "balancer":
        cloud.quota[kind] = 0
    async with perdure.worker(Provision, activities=CloudActivities(cloud).all()):
        handle = await perdure.start(Provision.run, SHOP)
        if kind:
            with pytest.raises(WorkflowFailureError):
                await handle.result()
        else:
            await handle.result()
    check(cloud, SHOP, built=not kind)


async def test_what_does_not_come_up_is_given_up(perdure: Env) -> None:
    cloud = Cloud(slow={"database": 0})
    began = perdure.now()
    async with perdure.worker(Provision, activities=CloudActivities(cloud).all()):
        with pytest.raises(WorkflowFailureError) as raised:
            await perdure.execute(Provision.run, SHOP)
    assert "last seen: Status(name='database', state='creating')" in str(raised.value.cause)
    assert timedelta(minutes=15) < perdure.now() - began < timedelta(minutes=25)
    check(cloud, SHOP, built=False)


@pytest.mark.perdure(time="manual")
async def test_cancelled_while_it_waits(perdure: Env) -> None:
    cloud = Cloud(slow={"database": 0})
    async with perdure.worker(Provision, activities=CloudActivities(cloud).all()):
        handle = await perdure.start(Provision.run, SHOP)
        await perdure.advance(timedelta(minutes=5))
        assert "web-2" in await handle.query(Provision.running)
        await handle.cancel()
        await perdure.advance(timedelta(minutes=5))
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    check(cloud, SHOP, built=False)


async def test_the_wait_costs_one_activity(perdure: Env) -> None:
    cloud = Cloud(slow={"bucket": 12})
    async with perdure.worker(Provision, activities=CloudActivities(cloud).all()):
        handle = await perdure.start(Provision.run, Plan("p", [Resource("b", "bucket", [])]))
        await handle.result()
    [look] = (await perdure.history(handle)).activities("look")
    assert look.attempts == 12


def test_layers() -> None:
    assert [sorted(resource.name for resource in layer) for layer in layers(SHOP)] == [
        ["logs", "network"],
        ["subnet-a", "subnet-b"],
        ["database", "web-1", "web-2"],
        ["balancer"],
        ["dns"],
    ]
    with pytest.raises(ValueError, match="need each other"):
        layers(Plan("p", [Resource("a", "x", ["b"]), Resource("b", "x", ["a"])]))
