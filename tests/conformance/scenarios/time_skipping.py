"""Workflows that skip time by themselves, each by a clock of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import activity, cancel_timer, child, continue_as_new, fail_workflow, succeed, timer

DAY = 86_400
ON = {"enabled": True}
SKIPPED = "WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED"
RETRY = {"initial_interval": 3600, "backoff_coefficient": 2}
NO_RUN = "11111111-2222-4333-8444-555555555555"


def forward(seconds: float, name: str = "forward", **fields: Any) -> dict[str, Any]:
    return {"enabled": True, "fast_forward_config": {"id": name, "duration": seconds}, **fields}


async def _update(d: Driver, config: Any, **fields: Any) -> Any:
    options = {"time_skipping_config": config} if config is not None else {}
    fields = {"workflow_execution": d.workflow_id, "identity": "operator", **fields}
    mask = {"paths": ["time_skipping_config"]}
    return await d.call(
        "UpdateWorkflowExecutionOptions", workflow_execution_options=options, update_mask=mask, **fields
    )


async def _poll(d: Driver, name: str = "forward", execution: Any = None, **fields: Any) -> Any:
    fields = {"workflow_execution": execution or d.workflow_id, "fast_forward_id": name, **fields}
    return await d.call("PollWorkflowExecutionTimeSkipping", **fields)


async def _waiting(d: Driver) -> asyncio.Task[Any]:
    """A poll that has arrived; await the task for its answer."""
    fields: dict[str, Any] = {"workflow_execution": d.workflow_id, "fast_forward_id": "forward"}
    poll = d.begin("PollWorkflowExecutionTimeSkipping", **fields)
    await asyncio.sleep(0.3)
    return poll


# What time skips to.


async def timer_of_a_year(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.describe()
    await d.step(timer(seconds=365 * DAY))
    await d.step(succeed())
    await d.describe()


async def timers_one_after_another(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.step(timer("a", seconds=DAY), timer("b", seconds=2 * DAY))
    await d.step()
    await d.step(timer("c", seconds=DAY / 2), cancel_timer("b"))
    await d.step(succeed())


async def start_delay(d: Driver) -> None:
    await d.start(time_skipping_config=ON, workflow_start_delay=DAY)
    await d.step(succeed())


async def activity_that_is_retried(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.step(activity(retry_policy=RETRY))
    for _ in range(3):
        await d.fail_activity(await d.poll_activity())
    await d.complete_activity(await d.poll_activity())
    await d.step(succeed())


async def run_timeout(d: Driver) -> None:
    await d.start(time_skipping_config=ON, workflow_run_timeout=DAY)
    await d.step()
    await d.until_closed()


async def execution_timeout(d: Driver) -> None:
    await d.start(time_skipping_config=ON, workflow_execution_timeout=DAY)
    await d.step()
    await d.until_closed()


async def timer_before_the_run_timeout(d: Driver) -> None:
    await d.start(time_skipping_config=ON, workflow_run_timeout=2 * DAY)
    await d.step(timer(seconds=DAY))
    await d.step(succeed())


async def nothing_to_skip_to(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.step()
    await d.signal()
    await d.step(succeed())


async def disabled(d: Driver) -> None:
    await d.start(time_skipping_config={})
    await d.step(timer(seconds=DAY))
    await d.describe()


# What holds time.


async def activity_holds_time(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.step(activity(), timer(seconds=DAY))
    task = await d.poll_activity()
    await d.describe()
    await d.complete_activity(task)
    await d.step()
    await d.step(succeed())


async def child_holds_time(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.step(timer(seconds=DAY), child(d.name("child"), task_queue=d.name("others")))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.step()
    await d.describe()
    await d.complete(await d.poll_wft(d.name("others")), succeed())
    await d.step()
    await d.step(succeed())


async def paused_workflow_holds_time(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    task = await d.poll_wft()
    await d.call("PauseWorkflowExecution", workflow_id=d.workflow_id, identity="operator", request_id="pause")
    await d.complete(task, timer(seconds=DAY))
    await d.describe()
    await d.call("UnpauseWorkflowExecution", workflow_id=d.workflow_id, identity="operator", request_id="unpause")
    await d.step()
    await d.step(succeed())


# Options.


async def is_enabled_later(d: Driver) -> None:
    await d.start()
    await d.step(timer(seconds=DAY))
    await d.describe()
    await _update(d, ON)
    await d.step(succeed())
    await d.describe()


async def is_disabled_later(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.step(timer(seconds=DAY))
    await d.poll_wft()
    await _update(d, {"enabled": False})
    await d.describe()
    await _update(d, {"enabled": False})
    await _update(d, None)
    await d.describe()
    await _update(d, None)


async def is_taken_from_one_that_has_none(d: Driver) -> None:
    await d.start()
    await _update(d, None)
    await d.describe()


async def priority_is_changed(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.call(
        "UpdateWorkflowExecutionOptions",
        workflow_execution=d.workflow_id,
        workflow_execution_options={"priority": {"priority_key": 2}, "time_skipping_config": {}},
        update_mask={"paths": ["priority"]},
    )
    await d.step(succeed())


async def so_many_skips(d: Driver) -> None:
    await d.start(time_skipping_config={"enabled": True, "max_session_skip_count": 2})
    for _ in range(3):
        await d.step(timer(seconds=DAY))
    await d.describe()
    await _update(d, {"enabled": True, "max_session_skip_count": 1})
    await d.step(timer(seconds=DAY))
    await d.describe()


async def same_config_again(d: Driver) -> None:
    await d.start(time_skipping_config={"enabled": True, "max_session_skip_count": 2})
    await _update(d, {"enabled": True, "max_session_skip_count": 2})
    await d.step(succeed())


# Fast-forwards.


async def fast_forward_at_the_start(d: Driver) -> None:
    await d.start(time_skipping_config=forward(DAY))
    await d.step(timer("a", seconds=DAY / 2), timer("b", seconds=2 * DAY))
    await d.step()
    await _poll(d)
    await d.describe()
    await _poll(d, "another")


async def fast_forward_without_a_timer(d: Driver) -> None:
    await d.start()
    await d.step()
    await _update(d, forward(DAY))
    await _poll(d)
    await d.describe()
    await _update(d, forward(DAY))
    await d.terminate()
    await _poll(d)


async def fast_forward_comes_by_itself(d: Driver) -> None:
    await d.start(time_skipping_config=forward(1))
    task = await d.poll_wft()
    await _poll(d)
    await d.complete(task, timer(seconds=DAY))
    await d.step(succeed())


async def fast_forward_of_one_that_ends(d: Driver) -> None:
    await d.start(time_skipping_config=forward(DAY))
    poll = await _waiting(d)
    await d.step(succeed())
    await poll
    await _poll(d)


async def fast_forward_is_replaced(d: Driver) -> None:
    await d.start(time_skipping_config=forward(DAY))
    poll = await _waiting(d)
    await _update(d, forward(2 * DAY, "second"))
    await poll
    await _poll(d)


async def fast_forward_is_begun_again(d: Driver) -> None:
    await d.start(time_skipping_config=forward(DAY))
    poll = await _waiting(d)
    await _update(d, forward(DAY))
    await poll


async def fast_forward_is_given_up(d: Driver) -> None:
    await d.start(time_skipping_config=forward(DAY))
    poll = await _waiting(d)
    await _update(d, {"enabled": False})
    await poll
    await _poll(d)


async def fast_forward_goes_on_in_the_next_run(d: Driver) -> None:
    await d.start(time_skipping_config=forward(2 * DAY))
    await d.step(timer(seconds=DAY))
    poll = await _waiting(d)
    await d.step(continue_as_new())
    await d.step()
    await poll
    await d.describe()


async def too_many_wait_for_one(d: Driver) -> None:
    await d.start(time_skipping_config=forward(DAY))
    polls = [await _waiting(d) for _ in range(5)]
    await _poll(d)
    await d.terminate()
    await asyncio.gather(*polls)


# What goes over to other runs.


async def continued_as_new(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.step(timer(seconds=DAY))
    await d.step(continue_as_new())
    await d.step(timer(seconds=DAY))
    await d.step(succeed())


async def continued_when_disabled(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.step(timer(seconds=DAY))
    task = await d.poll_wft()
    await _update(d, {"enabled": False})
    await d.complete(task)
    await d.step(continue_as_new())
    await d.poll_wft()
    await d.describe()


async def retried(d: Driver) -> None:
    await d.start(time_skipping_config=ON, retry_policy={**RETRY, "maximum_attempts": 3})
    await d.step(fail_workflow())
    await d.step(fail_workflow())
    await d.step(succeed())


async def child_inherits(d: Driver) -> None:
    await d.start(time_skipping_config={"enabled": True, "max_session_skip_count": 7})
    await d.step(timer(seconds=DAY))
    await d.step(child(d.name("child"), task_queue=d.name("others")))
    await d.complete(await d.poll_wft(d.name("others")), timer(seconds=DAY))
    await d.complete(await d.poll_wft(d.name("others")), succeed())
    await d.until_event("CHILD_WORKFLOW_EXECUTION_COMPLETED")
    await d.describe(d.name("child"))


async def child_does_not_inherit(d: Driver) -> None:
    await d.start(time_skipping_config={"enabled": True, "disable_propagation": True})
    await d.step(timer(seconds=DAY))
    await d.step(child(d.name("child"), task_queue=d.name("others")))
    await d.complete(await d.poll_wft(d.name("others")), timer(seconds=DAY))
    await d.describe(d.name("child"))


async def reset(d: Driver) -> None:
    await d.start(time_skipping_config=ON)
    await d.step(timer("a", seconds=DAY))
    await d.step(timer("b", seconds=DAY))
    await d.step(timer("c", seconds=DAY))
    await d.poll_wft()
    await d.reset(10)
    await d.step(timer("d", seconds=DAY))
    await d.step(succeed())


async def signal_with_start(d: Driver) -> None:
    await d.signal_with_start(time_skipping_config=ON)
    await d.step(timer(seconds=DAY))
    await d.step(succeed())


# Refusals.


async def is_refused(d: Driver) -> None:
    for config in (
        {"enabled": True, "fast_forward_config": {"id": "x"}},
        {"enabled": True, "fast_forward_config": {"duration": DAY}},
        {"enabled": True, "fast_forward_config": {"id": "  ", "duration": DAY}},
        {"enabled": False, "fast_forward_config": {"id": "x", "duration": DAY}},
        {"enabled": False, "fast_forward_config": {"id": "", "duration": DAY}},
    ):
        await d.start(time_skipping_config=config)
        await d.signal_with_start(time_skipping_config=config)
    await d.start(time_skipping_config={"max_session_skip_count": -1})
    await _update(d, {"enabled": True, "fast_forward_config": {"id": "x"}})
    await d.terminate()
    await _update(d, ON)


async def poll_is_refused(d: Driver) -> None:
    await d.start()
    await _poll(d, "")
    await _poll(d, " ")
    await _poll(d, namespace="")
    await _poll(d, namespace="nowhere")
    await _poll(d, workflow_execution=None)
    await _poll(d, execution="no such workflow")
    await _poll(d, execution=(d.workflow_id, NO_RUN))
    await _poll(d, execution=(d.workflow_id, "no uuid"))
    await _poll(d, workflow_execution="")
    await _poll(d)
