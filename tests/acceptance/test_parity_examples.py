"""`make parity` can play the examples and tell what happened in them."""

from parity import examples

from perdure.server import Server


async def test_what_happened_in_an_example_is_told():
    async with Server() as server:
        once = await examples._played(server.address, "subscription")
        again = await examples._played(server.address, "subscription")
    assert once == again and once["broken"] == ""
    assert set(once["executions"]) == {f"subscription-{name} 1" for name in ("ann", "bob", "cleo")}
    ann = once["executions"]["subscription-ann 1"]
    assert ann["ACTIVITY_TASK_SCHEDULED charge"] == 12 and ann["WORKFLOW_EXECUTION_COMPLETED"] == 1


async def test_a_story_that_fails_is_told(monkeypatch):
    async def fails(client):
        raise ValueError("no")

    monkeypatch.setattr(examples, "story", lambda name: fails)
    async with Server() as server:
        told = await examples._played(server.address, "x")
    assert "ValueError: no" in told["broken"] and told["executions"] == {}
