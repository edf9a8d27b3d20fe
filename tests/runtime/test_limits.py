"""Runs that grow towards their limits, as the log and other runs see them."""

from __future__ import annotations

import pytest
from tests.conformance.messages import activity, failure, marker, signal_external
from tests.runtime.conversation import conversation, types


async def test_the_log_warns_once_of_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    limits = {"limit.historySize.warn": 3000, "limit.historyCount.warn": 6, "limit.mutableStateSize.warn": 1000}
    async with conversation(dynamic_config=limits) as d:
        await d.start(memo={"m": "x" * 900})
        await d.step(marker(details={"data": "x" * 4000}))
        for _ in range(3):
            await d.signal()
    warnings = [record.getMessage() for record in caplog.records if "exceeds warn limit" in record.getMessage()]
    assert sorted(text.partition(" exceeds")[0] for text in warnings) == [
        "history count",
        "history size",
        "mutable state size",
    ]
    assert all(f"namespace default, workflow {d.workflow_id}, run " in text for text in warnings)


async def test_the_log_warns_of_large_values_below_the_limits(caplog: pytest.LogCaptureFixture) -> None:
    limits = {
        "limit.blobSize.warn": 1000,
        "limit.memoSize.warn": 500,
        "limit.mutableStateActivityFailureSize.warn": 300,
    }
    async with conversation(dynamic_config=limits) as d:
        await d.start(memo={"m": "x" * 600})
        await d.signal(input="x" * 1100)
        await d.signal(input="x" * 1200)
        await d.step(activity(retry_policy={"initial_interval": 3600}))
        await d.fail_activity(await d.poll_activity(), failure("x" * 400))
        small = d.name("small")
        await d.start(small, input="x" * 600, task_queue=d.name("nobody"))
    messages = [record.getMessage() for record in caplog.records]
    warnings = [text for text in messages if "exceeds warn limit" in text]
    assert sorted(text.partition(" exceeds")[0] for text in warnings) == [
        "activity failure size",
        "blob size",
        "memo size",
    ]
    assert all(f"namespace default, workflow {d.workflow_id}, run " in text for text in warnings)


async def test_a_signal_from_a_workflow_that_ends_its_target_has_failed() -> None:
    async with conversation(dynamic_config={"limit.historyCount.error": 8}) as d:
        target = d.name("target")
        await d.start(target, task_queue=d.name("nobody"))
        for _ in range(7):
            await d.signal(execution=target)
        await d.start()
        await d.step(signal_external(target))
        await d.until_event("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED")
        assert types(await d.events(target))[-1] == "WORKFLOW_EXECUTION_TERMINATED"
